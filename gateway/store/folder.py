"""The state folder: private, locked by one gateway for its life, with that gateway's id and key.

Opens no database. Everything here blocks for a moment: call it off the loop.
"""

import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Collection
from pathlib import Path
from types import TracebackType

from msgspec import Struct

from gateway import __version__
from gateway.errors import LockedError, StateError
from gateway.private import make_private
from gateway.schema import ID_NAME, KEY_NAME, LOCK_NAME, OLD_KEYS_NAME, SIGNING_NAME, STORE_NAME

KEY_SIZE = 32
DIGEST, SIGNING = "digest", "signing"  # the two keys: of keyed digests, and of checkpoints (an ed25519 seed)
MARKS = {DIGEST: "key", SIGNING: "signing"}  # what the store calls its mark of each
_NAMES = {DIGEST: KEY_NAME, SIGNING: SIGNING_NAME}
_DRAFT = ".new"
_NEXT = ".next"
_HALF = ".draft"  # a file that is being written


class StateFolder(Struct):
    """A state folder that this process holds, with its keys by name; `fresh` until `confirm` was called once.

    The store keeps a mark of each key, and the two are compared when it is opened. While a key is exchanged the next
    one lies beside it; the store's mark says which of them counts, whatever moment the exchange was cut off at.
    """

    path: Path
    gateway_id: str
    keys: dict[str, bytes]
    fresh: bool
    _lock: int

    @property
    def store(self) -> Path:
        """The file of the record."""
        return self.path / STORE_NAME

    @property
    def key(self) -> bytes:
        """The key of keyed digests."""
        return self.keys[DIGEST]

    @property
    def signing_key(self) -> bytes:
        """The seed of the ed25519 key that signs checkpoints."""
        return self.keys[SIGNING]

    def mark(self, which: str) -> str:
        """What tells that a store belongs to a key, without telling the key; empty where there is no key."""
        return mark(self.keys[which]) if which in self.keys else ""

    def make(self, which: str) -> None:
        """Make a key that there never was one of."""
        self.keys[which] = secrets.token_bytes(KEY_SIZE)
        _write_private(self.path / _NAMES[which], self.keys[which])

    def fits(self, which: str, known: str) -> bool:
        """Whether the key is the one that the store was marked with.

        An exchange that was cut off is ended first; a store of before an exchange gets its key back from the old ones.
        """
        if self.mark(which) == known:
            return True
        for file in (self._next(which), self._old(which, known)):
            with contextlib.suppress(FileNotFoundError):
                if mark(_read_private(file)) == known:
                    self._put(which, file)
                    return True
        return False

    def draft(self, which: str) -> bytes:
        """Make the next key, lay it beside the present one, and return it; it counts once the store has its mark."""
        made = secrets.token_bytes(KEY_SIZE)
        _write_private(self._next(which), made)
        return made

    def adopt(self, which: str) -> None:
        """Let the next key take the place of the present one, which is kept in `old-keys`."""
        self._put(which, self._next(which))

    def _put(self, which: str, source: Path) -> None:
        """Keep the present key, and let the one in another file take its place."""
        if which in self.keys:
            kept = self._old(which, self.mark(which))
            kept.parent.mkdir(mode=0o700, exist_ok=True)
            _sync(self.path)
            if not kept.exists():
                _write_private(kept, self.keys[which])
        self.keys[which] = _read_private(source)
        if source == self._next(which):
            source.replace(self.path / _NAMES[which])
            _sync(self.path)
        else:
            _write_private(self.path / _NAMES[which], self.keys[which])

    def _next(self, which: str) -> Path:
        return self.path / (_NAMES[which] + _NEXT)

    def _old(self, which: str, known: str) -> Path:
        return self.path / OLD_KEYS_NAME / f"{which}-{known[:16]}"

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


def missing(path: Path, which: str) -> str:
    """What to do about a key that isn't there, or isn't the store's."""
    return (
        f"`{path / _NAMES[which]}` is gone or another one: put it back, or go on with a new one by "
        f"`wardgate record rotate {which} --lost`"
    )


def mark(key: bytes) -> str:
    """What tells a key from another one, without telling the key."""
    return hmac.new(key, b"wardgate store", hashlib.sha256).hexdigest()


def digest_keys(path: Path) -> tuple[bytes, ...]:
    """The key of keyed digests that is in use, the next one, and the ones before that were kept; for looking values up.

    Raises `StateError` where one of them can't be read.
    """
    old = sorted((path / OLD_KEYS_NAME).glob(f"{DIGEST}-*"))
    files = (path / KEY_NAME, path / (KEY_NAME + _NEXT), *old)
    return tuple(_read_private(file) for file in files if file.exists() and not file.name.endswith(_HALF))


def key_files(path: Path) -> tuple[Path, ...]:
    """The files of a state folder that hold keys: those in use, the next ones, and the old ones."""
    used = [path / (name + more) for name in _NAMES.values() for more in ("", _NEXT)]
    kept = sorted((path / OLD_KEYS_NAME).glob("*-*"))
    return tuple(file for file in (*used, *kept) if file.is_file() and not file.name.endswith(_HALF))


def hold(path: Path, lost: Collection[str] = ()) -> StateFolder:
    """Make or check the folder, lock it, and read or make the gateway's id and keys.

    `lost` names keys that may be missing. Raises `StateError` if the folder isn't private, another gateway holds it,
    or what is in it doesn't belong together.
    """
    make_private(path)
    lock = _lock(path)
    try:
        gateway_id, fresh = _identity(path)
        keys = {which: key for which in _NAMES if (key := _key(path, which))}
        other = len(key_files(path)) > len(keys)  # the store's mark will tell whether one of them counts
        if DIGEST not in keys and not (fresh or other or DIGEST in lost):
            raise StateError(missing(path, DIGEST))
    except BaseException:
        os.close(lock)
        raise
    folder = StateFolder(path, gateway_id, keys, fresh, lock)
    if DIGEST not in keys and fresh:
        folder.make(DIGEST)
    return folder


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


def _key(path: Path, which: str) -> bytes | None:
    """A key, or None where there is none."""
    file = path / _NAMES[which]
    try:
        key = _read_private(file)
    except FileNotFoundError:
        return None
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
    draft = file.with_name(file.name + _HALF)
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
