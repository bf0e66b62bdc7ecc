"""Files that only their owner reads, written whole or not at all; and a small list in one, one writer at a time.

It knows nothing of what is in them, and keeps nothing in memory.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from gateway.errors import StateError

T = TypeVar("T", bound=msgspec.Struct)


class PrivateList(Generic[T]):
    """The list of one file, as JSON; `kind` is what its items are."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        self.path, self._kind = path, kind

    def stat(self) -> os.stat_result | None:
        """What the system says of the file, None where there is none; raises `StateError` if others can read it."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return None
        if stat.st_mode & 0o077 or stat.st_uid != os.geteuid():
            raise StateError(f"`{self.path}` must be its owner's, and readable by nobody else (chmod 600)")
        return stat

    def read(self) -> tuple[T, ...]:
        """The items of a file that is there; raises `StateError` for one that can't be read."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=tuple[self._kind, ...])  # type: ignore[name-defined]  # mypy takes no variable for a type
        except (msgspec.DecodeError, OSError):
            raise StateError(f"`{self.path}` can't be read: put a good copy back, or delete it") from None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One writer at a time: two commands at the same moment must not undo each other's change."""
        lock = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def write(self, items: tuple[T, ...]) -> None:
        """Write other items in their place: there are the old ones or the new ones, whatever happens."""
        put(self.path, msgspec.json.encode(items))


def put(file: Path, content: bytes) -> None:
    """Put a file of its owner's alone in the place of another one, whole or not at all; raises `OSError`."""
    draft = file.with_name(f".{file.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    draft.replace(file)


def make_private(path: Path) -> None:
    """Make the state folder, if need be; raises `StateError` for one that isn't its owner's alone."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
    except OSError as problem:
        raise StateError(f"the state folder `{path}` can't be used: {problem.strerror}") from None
    if found.st_uid != os.geteuid():
        raise StateError(f"the state folder `{path}` belongs to another user (uid {found.st_uid})")
    if found.st_mode & 0o077:
        raise StateError(f"the state folder `{path}` is open to others (mode {found.st_mode & 0o777:o}); chmod 700 it")
