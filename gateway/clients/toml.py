"""TOML, edited where it stands: comments and layout stay. No I/O here."""

import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import tomlkit
from tomlkit import TOMLDocument
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AbstractTable, InlineTable

from gateway.clients.documents import Path, value_at
from gateway.errors import ConfigurationError

# Keys of so many parts that reading them takes the square of their number.
_DEEP = re.compile(r"""(?<![\w-])(?:(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){100}""")


class TomlDocument:
    """One text; the library that edits it reads it only once there is something to edit."""

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._bom = "\ufeff" if text.startswith("\ufeff") else ""
        self.text = text
        if _DEEP.search(text):
            raise ConfigurationError(f"`{name}` holds a name of a hundred parts: no client's settings do")
        try:
            self._plain: Any = tomllib.loads(text.removeprefix("\ufeff"))
        except (ValueError, RecursionError) as problem:
            raise ConfigurationError(f"`{name}`: this is no TOML ({problem}): mend it there") from None

    @cached_property
    def _document(self) -> TOMLDocument:
        try:
            return tomlkit.parse(self.text.removeprefix(self._bom))
        except (ValueError, TOMLKitError, RecursionError) as problem:
            raise ConfigurationError(f"`{self._name}`: this can't be edited ({problem}): do it by hand") from None

    def get(self, path: Path) -> Any:
        """The plain value at a path, None where there is none."""
        return value_at(self._plain, path)

    def has(self, path: Path) -> bool:
        """Whether there is a value at a path."""
        return self.get(path) is not None

    def set(self, path: Path, value: Any) -> None:
        """Put a value at a path, making the tables that lead there."""
        if isinstance(value, dict) and not self.has(path) and self._append(path, value):
            return
        self._set(path, value, value)

    def _set(self, path: Path, value: Any, written: Any) -> None:
        """Put a value at a path, `written` as it is to stand there."""
        with self._editing(path):
            table: Any = self._document
            for step in path[:-1]:
                if step not in table:
                    table.add(step, tomlkit.table())
                table = table[step]
                if not isinstance(table, dict):
                    raise ConfigurationError(f"`{self._name}`: expected a table as `{step}`")
            empty = tomlkit.inline_table() if isinstance(table, InlineTable) else tomlkit.table()
            table[path[-1]] = _item(written, empty)
        self._written(tomlkit.dumps(self._document), path, value)

    def copy(self, path: Path) -> str:
        """The text of a value that is there, its key and its comments too, for `put_back`; of a table, what it says."""
        value = self.get(path)
        if isinstance(value, dict):
            return tomlkit.dumps({path[-1]: value})
        with self._editing(path):
            item: Any = self._document
            for step in path:
                item = item[step]
            return tomlkit.dumps(tomlkit.document().add(path[-1], item))

    def put_back(self, path: Path, text: str) -> None:
        """Put back what was copied, in the place of what stands there."""
        value = tomllib.loads(text)[path[-1]]
        if not isinstance(value, dict):
            self._set(path, value, tomlkit.parse(text)[path[-1]])
            return
        if self.has(path):
            self.remove(path)
        self.set(path, value)

    def remove(self, path: Path) -> None:
        """Take a key or table out."""
        with self._editing(path):
            table: Any = self._document
            for step in path[:-1]:
                table = table[step]
            del table[path[-1]]
        self._written(tomlkit.dumps(self._document), path, None)

    def _append(self, path: Path, value: Any) -> bool:
        """Write a new table at the end of the file, if it can stand there."""
        nested: Any = value
        for step in reversed(path):
            nested = {step: nested}
        text = self.text.removeprefix(self._bom)
        newline = "\r\n" if "\r\n" in text else "\n"
        gap = newline * (2 - text.endswith("\n")) if text else ""
        try:
            self._written(text + gap + tomlkit.dumps(nested).replace("\n", newline), path, value)
        except ConfigurationError:
            return False
        return True

    def _written(self, text: str, path: Path, value: Any) -> None:
        """What came out must say exactly what was meant: what can't be edited is left alone."""
        try:
            now: Any = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            now = None
        meant = _changed(self._plain, path, value)
        if now not in (meant, _pruned(meant, path[:-1])):
            raise self._odd(path)
        self.text, self._plain = self._bom + text, now
        self.__dict__.pop("_document", None)  # of the text before

    @contextmanager
    def _editing(self, path: Path) -> Iterator[None]:
        """What the library can't edit, it says in many ways."""
        try:
            yield
        except (TOMLKitError, LookupError, TypeError, ValueError):
            raise self._odd(path) from None

    def _odd(self, path: Path) -> ConfigurationError:
        name = ".".join(path)
        return ConfigurationError(f"`{self._name}`: `{name}` stands in a way that can't be edited: do it by hand")


def _item(value: Any, made: AbstractTable) -> Any:
    if not isinstance(value, dict):
        return value
    for key, each in value.items():
        made.add(key, each)
    return made


def _changed(plain: Any, path: Path, value: Any) -> Any:
    """A copy in which the value at a path is another one, or none."""
    copy = dict(plain) if isinstance(plain, dict) else {}
    if len(path) > 1:
        copy[path[0]] = _changed(copy.get(path[0]), path[1:], value)
    elif value is None:
        copy.pop(path[0], None)
    else:
        copy[path[0]] = value
    return copy


def _pruned(plain: Any, path: Path) -> Any:
    """A copy without the tables along a path that are empty: nothing of them is written."""
    if not path or not isinstance(plain.get(path[0]), dict):
        return plain
    inner = _pruned(plain[path[0]], path[1:])
    rest = {key: value for key, value in plain.items() if key != path[0]}
    return {**rest, path[0]: inner} if inner else rest
