"""What `connect` keeps in the state folder: the client's file as it was, and what was changed in it.

Only its owner reads it: a file of a client's may hold secrets. Nothing of it is ever written beside the client's file.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from gateway.clients.edit import Change
from gateway.errors import StateError
from gateway.private import make_private, put

FOLDER = "clients"
_SUFFIX, _BACKUP, _LOCK = ".json", ".backup", ".lock"


class Connection(msgspec.Struct, frozen=True):
    """One file of a client's that the gateway was put into. `file`: as the client names it; `target`: where it is.

    `before` and `after` are digests of the whole file; `made` are the folders that were made for it.
    """

    client: str
    scope: str
    file: str
    target: str
    project: str
    at: str
    created: bool
    before: str
    after: str
    changes: tuple[Change, ...]
    made: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What its files in the state folder are called."""
        return f"{self.client}-{self.scope}-{digest(os.fsencode(self.target))[:12]}"


def digest(content: bytes) -> str:
    """What tells one content from another."""
    return hashlib.sha256(content).hexdigest()


def connections(state: Path) -> tuple[Connection, ...]:
    """All that were made and not undone; raises `StateError` for what can't be read."""
    found = sorted(each for each in _folder(state).glob(f"*{_SUFFIX}") if not each.name.startswith("."))
    return tuple(map(_read, found))


def connected_files(state: Path) -> tuple[Path, ...]:
    """The files of clients that the gateway was put into, as far as that can be read."""
    try:
        return tuple(Path(made.target) for made in connections(state))
    except StateError:
        return ()


def connection(state: Path, client: str, scope: str, target: Path) -> Connection | None:
    """The one of a file, None where there is none."""
    found = (
        each for each in connections(state) if (each.client, each.scope, each.target) == (client, scope, str(target))
    )
    return next(found, None)


def backup_file(state: Path, made: Connection) -> Path:
    """Where the client's file is as it was before."""
    return _folder(state) / f"{made.name}{_BACKUP}"


def backup(state: Path, made: Connection) -> bytes:
    """The client's file as it was before; nothing where it can't be read."""
    try:
        return backup_file(state, made).read_bytes()
    except OSError:
        return b""


def keep(state: Path, made: Connection, before: bytes) -> None:
    """Write down what is about to be done, alone; whatever happens then, the file as it was is here."""
    try:
        put(backup_file(state, made), before)
        put(_folder(state) / f"{made.name}{_SUFFIX}", msgspec.json.encode(made))
    except OSError as problem:
        raise StateError(
            f"the state folder `{state}` can't be written ({problem.strerror}): nothing was changed"
        ) from None


def forget(state: Path, made: Connection) -> None:
    """Nothing of it is in the client's file any more."""
    (_folder(state) / f"{made.name}{_SUFFIX}").unlink(missing_ok=True)
    backup_file(state, made).unlink(missing_ok=True)


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """One command at a time."""
    try:
        make_private(state)
        make_private(_folder(state))
        lock = os.open(_folder(state) / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as problem:
        raise StateError(
            f"the state folder `{state}` can't be used ({problem.strerror}): nothing was changed"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _folder(state: Path) -> Path:
    return state / FOLDER


def _read(file: Path) -> Connection:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Connection)
    except (msgspec.DecodeError, OSError):
        raise StateError(f"`{file}` can't be read: the client's file as it was stands beside it") from None
