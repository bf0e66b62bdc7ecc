"""Bearer tokens of HTTP clients: printed once, kept as SHA-256, found in constant time. One small file in the state
folder.

A token carries 256 random bits, so a plain hash of it tells nothing; no password hashing is needed.
"""

import fcntl
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gateway.errors import StateError

FILE_NAME = "clients.json"
PREFIX = "wgc_"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Token(msgspec.Struct, frozen=True):
    """What is kept of a client's token; `expires_at` is aware UTC, None for one that stays until it is revoked."""

    name: str
    sha256: str
    created_at: datetime
    expires_at: datetime | None = None

    def expired(self, now: datetime) -> bool:
        """Whether it is of no use any more."""
        return self.expires_at is not None and now >= self.expires_at


class Tokens:
    """The tokens of one state folder; the file is read again whenever it has changed."""

    def __init__(self, state: Path) -> None:
        self._path = state / FILE_NAME
        self._seen: tuple[int, int] = (0, 0)
        self._tokens: tuple[Token, ...] = ()

    def all(self) -> tuple[Token, ...]:
        """Every token that was not revoked, oldest first; raises `StateError` for a file that can't be trusted."""
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._seen, self._tokens = (0, 0), ()
            return ()
        if stat.st_mode & 0o077 or stat.st_uid != os.geteuid():
            raise StateError(f"`{self._path}` must be its owner's, and readable by nobody else (chmod 600)")
        if (stat.st_mtime_ns, stat.st_ino) != self._seen:
            try:
                self._tokens = msgspec.json.decode(self._path.read_bytes(), type=tuple[Token, ...])
            except (msgspec.DecodeError, OSError):
                raise StateError(f"`{self._path}` can't be read: put a good copy back, or delete it") from None
            self._seen = (stat.st_mtime_ns, stat.st_ino)
        return self._tokens

    def find(self, token: str) -> Token | None:
        """What is kept of a token, expired or not, or None for nobody's."""
        self.all()
        return self.match(token)

    def match(self, token: str) -> Token | None:
        """As `find`, among what was read last: touches no file. Every kept hash is compared."""
        presented = hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
        found = None
        for kept in self._tokens:
            if hmac.compare_digest(kept.sha256, presented):
                found = kept
        return found

    def add(self, name: str, expires_at: datetime | None = None, now: datetime | None = None) -> str:
        """Make a token for a client and return it: it can't be read again.

        A name has one token; `ValueError` if it has one that is still good, or is no name.
        """
        at = now or datetime.now(UTC)
        if not NAME.fullmatch(name) or name == "unknown":
            raise ValueError(f"expected a name from letters, digits and . _ - other than `unknown`, found {name!r}")
        token = PREFIX + secrets.token_urlsafe(32)
        with self._alone():
            if any(kept.name == name and not kept.expired(at) for kept in self.all()):
                raise ValueError(f"client `{name}` has a token already; revoke it first")
            kept = Token(name, hashlib.sha256(token.encode()).hexdigest(), at, expires_at)
            self._write((*(other for other in self.all() if other.name != name), kept))
        return token

    def revoke(self, name: str) -> bool:
        """Forget a client's token; whether there was one."""
        with self._alone():
            left = tuple(kept for kept in self.all() if kept.name != name)
            if len(left) == len(self.all()):
                return False
            self._write(left)
        return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One writer at a time: two commands at the same moment must not undo each other's change."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, tokens: tuple[Token, ...]) -> None:
        draft = self._path.with_suffix(".new")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.encode(tokens))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
