"""The bookmark of an export: up to which row the record was handed over, durable and whole at any moment.

It is written after what it speaks of is safe where it was handed to, never before.
"""

import contextlib
import fcntl
import os
from pathlib import Path

import msgspec

from gateway.errors import StateError

SCHEMA = 1
_SIZE = 4096  # bytes that a bookmark may have


class Bookmark(msgspec.Struct, frozen=True):
    """Where an export stands: all rows up to `seq` of the record of `gateway` were handed over in the form `form`.

    `leaf` is the leaf hash (hex) of that row, empty where there was none to be seen; `length` is how long the output
    file is with that row in it (None: no file), `tail` a digest of that file's last bytes.
    """

    gateway: str
    seq: int
    leaf: str
    form: str
    length: int | None = None
    tail: str = ""
    schema: int = SCHEMA


class Keeper:
    """Keeps one bookmark; while it is open no other one can."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = -1

    def __enter__(self) -> "Keeper":
        beside = self.path.with_name(self.path.name + ".lock")
        try:
            self._lock = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as problem:
            raise StateError(f"the bookmark `{self.path}` can't be kept: {problem.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise StateError(f"another export uses the bookmark `{self.path}`") from None
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def load(self) -> Bookmark | None:
        """The bookmark, or None where there is none yet; raises `StateError` for a file that is none."""
        try:
            with self.path.open("rb") as file:
                content = file.read(_SIZE)
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise StateError(f"the bookmark `{self.path}` can't be read: {problem.strerror}") from None
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
            found = msgspec.json.decode(content, type=Bookmark)
            if found.schema == SCHEMA:
                return found
        raise StateError(f"`{self.path}` is no bookmark of this version")

    def save(self, mark: Bookmark) -> None:
        """Make the bookmark durable: there is the old one or the new one, whatever happens."""
        draft = self.path.with_name(self.path.name + ".draft")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.write(descriptor, msgspec.json.encode(mark) + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            draft.replace(self.path)
            sync_folder(self.path)
        except OSError as problem:
            raise StateError(f"the bookmark `{self.path}` can't be written: {problem.strerror}") from None


def sync_folder(path: Path) -> None:
    """Make the name of a file durable."""
    descriptor = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
