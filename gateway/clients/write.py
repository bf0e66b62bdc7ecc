"""Put another text in the place of a client's file: whole or not at all, where a link leads, with mode and owner kept.

Nothing is written where somebody changed the file since it was read, or where a file of a project leads out of it.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from gateway.clients.read import ClientFile, read_text
from gateway.errors import ConfigurationError


def target_of(file: ClientFile, project: Path) -> Path:
    """The file itself, where links lead; raises `ConfigurationError` for one of a project that leads out of it."""
    target = Path(os.path.realpath(file.path))
    root = Path(os.path.realpath(project))
    if file.place.scope == "project" and not target.is_relative_to(root):
        raise ConfigurationError(f"`{file.path}` leads out of the project, to `{target}`: edit that one by hand")
    return target


def content_of(target: Path) -> str | None:
    """The text of a file, None where there is none."""
    return read_text(target) if os.path.lexists(target) else None


def lacking_folders(target: Path) -> tuple[str, ...]:
    """The folders that lead to a file and aren't there, the outermost first."""
    return tuple(str(folder) for folder in reversed(target.parents) if not folder.exists())


def make_folders(target: Path) -> None:
    """Make the folders that lead to a file, for their owner alone."""
    for folder in lacking_folders(target):
        Path(folder).mkdir(mode=0o700, exist_ok=True)


def expect(target: Path, expected: str | None) -> None:
    """Raise `ConfigurationError` where a file isn't what it was when it was shown, or can't be written."""
    if content_of(target) != expected:
        raise ConfigurationError(
            f"`{target}` was changed meanwhile: nothing was written; close the client, and run the command again"
        )
    if expected is not None and not os.access(target, os.W_OK):
        raise ConfigurationError(f"`{target}` is read-only: something keeps it so, and nothing was changed")


def remove(target: Path, expected: str, made: tuple[str, ...]) -> None:
    """Delete a file that was made for the gateway alone, and the folders with it if they are empty."""
    expect(target, expected)
    target.unlink()
    for folder in reversed(made):
        with suppress(OSError):
            Path(folder).rmdir()


def replace(target: Path, expected: str | None, text: str) -> None:
    """Put a text where `expected` stands (None: where there is no file); raises `ConfigurationError`, and `OSError`."""
    draft = target.with_name(f".{target.name}.wardgate-{secrets.token_hex(4)}")
    try:
        known = target.stat() if expected is not None else None
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(text.encode("utf-8"))
            if known is not None:
                if (known.st_uid, known.st_gid) != (os.fstat(descriptor).st_uid, os.fstat(descriptor).st_gid):
                    os.fchown(descriptor, known.st_uid, known.st_gid)
                os.fchmod(descriptor, known.st_mode & 0o7777)
            opened.flush()
            os.fsync(opened.fileno())
        expect(target, expected)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
