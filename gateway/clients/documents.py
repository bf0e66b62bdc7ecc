"""A client's file as a document: its values by path, and edits that leave everything else as it was. No I/O here."""

from typing import Any, Protocol

from gateway.core.clients import Format

Path = tuple[str, ...]


class Document(Protocol):
    """One text that can be read and edited by paths of keys."""

    @property
    def text(self) -> str:
        """The text as it is now."""
        ...

    def get(self, path: Path) -> Any:
        """The plain value at a path, None where there is none."""
        ...

    def has(self, path: Path) -> bool:
        """Whether there is a value at a path."""
        ...

    def set(self, path: Path, value: Any) -> None:
        """Put a value at a path, making the tables that lead there."""
        ...

    def copy(self, path: Path) -> str:
        """The text of what is at a path, its key too, for `put_back`."""
        ...

    def put_back(self, path: Path, text: str) -> None:
        """Put back what was copied, in the place of what stands there now."""
        ...

    def remove(self, path: Path) -> None:
        """Remove what is at a path."""
        ...


def document(text: str, format: Format, name: str) -> Document:
    """The document of a text; raises `ConfigurationError` with the name, the line and what is wrong."""
    if format is Format.TOML:
        from gateway.clients.toml import TomlDocument  # imported late: only one client has it

        return TomlDocument(text, name)
    from gateway.clients.jsonc import JsonDocument  # as above

    return JsonDocument(text, name)


def value_at(plain: Any, path: Path) -> Any:
    """The value at a path of a plain one, None where there is none."""
    for step in path:
        plain = plain.get(step) if isinstance(plain, dict) else None
    return plain
