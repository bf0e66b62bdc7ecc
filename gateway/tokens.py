"""Bearer tokens of HTTP clients: printed once, kept as SHA-256, found in constant time. One small file in the state
folder.

A token carries 256 random bits, so a plain hash of it tells nothing; no password hashing is needed.
"""

import hashlib
import hmac
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gateway.errors import StateError

FILE_NAME = "clients.json"
PREFIX = "wgc_"


class Token(msgspec.Struct, frozen=True):
    """What is kept of a client's token."""

    name: str
    sha256: str
    created_at: datetime


class Tokens:
    """The tokens of one state folder; the file is read again whenever it has changed."""

    def __init__(self, state: Path) -> None:
        self._path = state / FILE_NAME
        self._seen: tuple[int, int] = (0, 0)
        self._tokens: tuple[Token, ...] = ()

    def all(self) -> tuple[Token, ...]:
        """Every token that is valid now, oldest first."""
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._seen, self._tokens = (0, 0), ()
            return ()
        if stat.st_mode & 0o077:
            raise StateError(f"`{self._path}` must be readable by its owner only (chmod 600)")
        if (stat.st_mtime_ns, stat.st_ino) != self._seen:
            self._tokens = msgspec.json.decode(self._path.read_bytes(), type=tuple[Token, ...])
            self._seen = (stat.st_mtime_ns, stat.st_ino)
        return self._tokens

    def name_of(self, token: str) -> str | None:
        """The client that a token belongs to; every kept hash is compared."""
        presented = hashlib.sha256(token.encode()).hexdigest()
        found = None
        for kept in self.all():
            if hmac.compare_digest(kept.sha256, presented):
                found = kept.name
        return found

    def add(self, name: str, now: datetime | None = None) -> str:
        """Make a token for a client and return it: it can't be read again. A name has one token; `ValueError` if it
        has.
        """
        if any(kept.name == name for kept in self.all()):
            raise ValueError(f"client `{name}` has a token already; revoke it first")
        token = PREFIX + secrets.token_urlsafe(32)
        kept = Token(name, hashlib.sha256(token.encode()).hexdigest(), now or datetime.now(UTC))
        self._write((*self.all(), kept))
        return token

    def revoke(self, name: str) -> bool:
        """Forget a client's token; whether there was one."""
        left = tuple(kept for kept in self.all() if kept.name != name)
        if len(left) == len(self.all()):
            return False
        self._write(left)
        return True

    def _write(self, tokens: tuple[Token, ...]) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._path.with_suffix(".new")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.encode(tokens))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
