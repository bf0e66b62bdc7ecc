"""The state folder: private, locked by one gateway for its life, with that gateway's id and key.

Opens no database. Everything here blocks for a moment: call it off the loop.
"""

import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from gateway import __version__
from gateway.errors import LockedError, StateError
from gateway.schema import ID_NAME, KEY_NAME, LOCK_NAME, STORE_NAME

KEY_SIZE = 32
_DRAFT = ".new"


@dataclass(slots=True)
class StateFolder:
    """A state folder that this process holds; `key` is for keyed digests, `fresh` until `confirm` was called once."""

    path: Path
    gateway_id: str
    key: bytes
    fresh: bool
    _lock: int

    @property
    def store(self) -> Path:
        """The file of the record."""
        return self.path / STORE_NAME

    @property
    def key_mark(self) -> str:
        """What tells that a store belongs to this key, without telling the key."""
        return hmac.new(self.key, b"wardgate store", hashlib.sha256).hexdigest()

    def confirm(self) -> None:
        """The store was made: from now on a missing store is an error, not a beginning."""
        if self.fresh:
            (self.path / (ID_NAME + _DRAFT)).replace(self.path / ID_NAME)
            _sync(self.path)
            self.fresh = False

    def release(self) -> None:
        """Let go of the lock; the folder can be held by another gateway."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> "StateFolder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, where: TracebackType | None
    ) -> None:
        self.release()


def hold(path: Path) -> StateFolder:
    """Make or check the folder, lock it, and read or make the gateway's id and key.

    Raises `StateError` if the folder isn't private, another gateway holds it, or what is in it doesn't belong together.
    """
    _prepare(path)
    lock = _lock(path)
    try:
        gateway_id, fresh = _identity(path)
        key = _key(path, fresh)
    except BaseException:
        os.close(lock)
        raise
    return StateFolder(path, gateway_id, key, fresh, lock)


def _prepare(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
    except OSError as problem:
        raise StateError(f"the state folder `{path}` can't be used: {problem.strerror}") from None
    if found.st_uid != os.geteuid():
        raise StateError(f"the state folder `{path}` belongs to another user (uid {found.st_uid})")
    if found.st_mode & 0o077:
        raise StateError(f"the state folder `{path}` is open to others (mode {found.st_mode & 0o777:o}); chmod 700 it")


def _lock(path: Path) -> int:
    """Take the lock, and write down who holds it."""
    try:
        lock = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as problem:
        raise StateError(f"the lock of the state folder `{path}` can't be opened: {problem.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(lock, 64, 0).decode("ascii", "replace").split()
        os.close(lock)
        raise LockedError(
            f"another gateway (pid {holder[0] if holder else '?'}) holds the state folder `{path}`"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()} {__version__}\n".encode("ascii"), 0)
    return lock


def _identity(path: Path) -> tuple[str, bool]:
    """The gateway's id; it stays a draft until the store was made with it."""
    final, draft = path / ID_NAME, path / (ID_NAME + _DRAFT)
    with contextlib.suppress(FileNotFoundError):
        return _read_private(final).decode("ascii").strip(), False
    try:
        return _read_private(draft).decode("ascii").strip(), True
    except FileNotFoundError:
        made = secrets.token_hex(16)
        _write_private(draft, made.encode("ascii") + b"\n")
        return made, True


def _key(path: Path, fresh: bool) -> bytes:
    file = path / KEY_NAME
    try:
        key = _read_private(file)
    except FileNotFoundError:
        if not fresh:
            raise StateError(f"`{file}` is gone: put it back, or begin with a new state folder") from None
        key = secrets.token_bytes(KEY_SIZE)
        _write_private(file, key)
    if len(key) != KEY_SIZE:
        raise StateError(f"`{file}` must hold {KEY_SIZE} bytes, {len(key)} found")
    return key


def _read_private(file: Path) -> bytes:
    """Read a small file that nobody else may read or write; `FileNotFoundError` if there is none."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise
    except OSError as problem:
        raise StateError(f"`{file}` can't be read: {problem.strerror}") from None
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise StateError(f"`{file}` must belong to you and to you alone; chmod 600 it")
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)


def _write_private(file: Path, content: bytes) -> None:
    """Make a file that is there whole or not at all; the lock keeps others from making it at the same time."""
    draft = file.with_name(file.name + ".draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.replace(file)
    _sync(file.parent)


def _sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
