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
from gateway.clients.read import ClientFile
from gateway.errors import StateError
from gateway.private import make_private, put

FOLDER = "clients"
_SUFFIX, _BACKUP, _LOCK = ".json", ".backup", ".lock"


class Connection(msgspec.Struct, frozen=True):
    """One file of a client's that the gateway was put into. `file`: as the client names it; `target`: where it is.

    `before` and `after` are digests of the whole file, and `found` of one that the gateway was in already, as it was
    found; `made` are the folders that were made for it.
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
    found: str = ""

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


def connection(state: Path, file: ClientFile, target: Path) -> Connection | None:
    """The one of a file, None where there is none; of a link, where its client put a file in its place since."""
    found = [made for made in connections(state) if (made.client, made.scope) == (file.client.name, file.place.scope)]
    there = [made for made in found if made.target == str(target)]
    if not there and not os.path.islink(file.path):  # noqa: PTH114 - what may not be looked at is none
        there = sorted((made for made in found if made.file == str(file.path)), key=lambda made: made.at)
    return there[-1] if there else None


def backup_file(state: Path, made: Connection) -> Path:
    """Where the client's file is as it was before."""
    return _folder(state) / f"{made.name}{_BACKUP}"


def backup(state: Path, made: Connection) -> bytes:
    """The client's file as it was before; nothing where it can't be read."""
    try:
        return backup_file(state, made).read_bytes()
    except OSError:
        return b""


def aside_file(state: Path, made: Connection) -> Path:
    """Where the client's file as it was before stays, once nothing else is kept of it."""
    return _folder(state) / f"{made.name}-{made.before[:12]}{_BACKUP}"


def set_aside(state: Path, made: Connection) -> None:
    """Keep the file as it was before for its owner: not all of it could be put back."""
    _put(state, aside_file(state, made), backup(state, made))


def keep(state: Path, made: Connection, before: bytes) -> None:
    """Write down what is about to be done, alone; whatever happens then, the file as it was is here."""
    _put(state, backup_file(state, made), before)
    _put(state, _folder(state) / f"{made.name}{_SUFFIX}", msgspec.json.encode(made))


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


def _put(state: Path, file: Path, content: bytes) -> None:
    try:
        put(file, content)
    except OSError as problem:
        raise StateError(
            f"the state folder `{state}` can't be written ({problem.strerror}): nothing was changed"
        ) from None


def _folder(state: Path) -> Path:
    return state / FOLDER


def _read(file: Path) -> Connection:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Connection)
    except (msgspec.DecodeError, OSError):
        raise StateError(f"`{file}` can't be read: the client's file as it was stands beside it") from None
