"""Bearer tokens of HTTP clients: printed once, kept as SHA-256, found in constant time. One small file in the state
folder.

A token carries 256 random bits, so a plain hash of it tells nothing; no password hashing is needed.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gateway.private import PrivateList

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
        self._file = PrivateList(state / FILE_NAME, Token)
        self._seen: tuple[int, int] = (0, 0)
        self._tokens: tuple[Token, ...] = ()

    def all(self) -> tuple[Token, ...]:
        """Every token that was not revoked, oldest first; raises `StateError` for a file that can't be trusted."""
        stat = self._file.stat()
        if stat is None:
            self._seen, self._tokens = (0, 0), ()
        elif (stat.st_mtime_ns, stat.st_ino) != self._seen:
            self._tokens = self._file.read()
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
            self._file.write((*(other for other in self.all() if other.name != name), kept))
        return token

    def revoke(self, name: str) -> bool:
        """Forget a client's token; whether there was one."""
        with self._alone():
            left = tuple(kept for kept in self.all() if kept.name != name)
            if len(left) == len(self.all()):
                return False
            self._file.write(left)
        return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._file.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._file.alone():
            yield
