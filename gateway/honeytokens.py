"""Honeytokens: made-up credentials for an upstream's data. Nobody honest reads them: any sight of one is an alarm.

No value is at rest: each is made anew from a key of the state folder, the upstream, its kind and a number. What is kept
is that list, in one small file.
"""

import hmac
import string
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec

from gateway.errors import StateError
from gateway.private import PrivateList

FILE_NAME = "honeytokens.json"
MOST = 1_000  # of one state folder
_DIGITS, _UPPER32 = string.digits, string.ascii_uppercase + "234567"
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


class Honeytoken(msgspec.Struct, frozen=True):
    """What is kept of a honeytoken; `key` is the mark of the key that it is made from, `made_at` is aware UTC."""

    number: int
    upstream: str
    kind: str
    key: str
    made_at: datetime

    @property
    def name(self) -> str:
        """What records and incidents call it."""
        return f"honeytoken {self.number} of {self.upstream} ({self.kind})"


class Credential(msgspec.Struct, frozen=True):
    """A made-up credential: the text to plant, and the values in it that are looked for. Its repr shows neither."""

    text: str
    values: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Credential({len(self.values)} values)"


class _Draw:
    """Characters that only the key tells."""

    def __init__(self, key: bytes, seed: str) -> None:
        self._key, self._seed, self._count = key, seed, 0

    def take(self, length: int, alphabet: str) -> str:
        """The next characters."""
        data = b""
        while len(data) < 2 * length:
            data += hmac.digest(self._key, f"{self._seed}\0{self._count}".encode(), "sha256")
            self._count += 1
        pairs = (int.from_bytes(data[at : at + 2], "big") for at in range(0, 2 * length, 2))
        return "".join(alphabet[pair % len(alphabet)] for pair in pairs)


def _aws(draw: _Draw, upstream: str) -> Credential:
    identifier, secret = "AKIA" + draw.take(16, _UPPER32), draw.take(40, _BASE62 + "+/")
    return Credential(f"aws_access_key_id = {identifier}\naws_secret_access_key = {secret}", (identifier, secret))


def _github(draw: _Draw, upstream: str) -> Credential:
    body = draw.take(30, _BASE62)
    checksum, number = "", zlib.crc32(body.encode())
    for _ in range(6):
        number, digit = divmod(number, 62)
        checksum = _BASE62[digit] + checksum
    return _alone(f"ghp_{body}{checksum}")


def _gitlab(draw: _Draw, upstream: str) -> Credential:
    return _alone(f"glpat-{draw.take(20, _BASE62)}")


def _slack(draw: _Draw, upstream: str) -> Credential:
    return _alone(f"xoxb-{draw.take(12, _DIGITS)}-{draw.take(13, _DIGITS)}-{draw.take(24, _BASE62)}")


def _stripe(draw: _Draw, upstream: str) -> Credential:
    return _alone(f"sk_live_{draw.take(24, _BASE62)}")


def _database(draw: _Draw, upstream: str) -> Credential:
    user, password, host = f"svc_{upstream}", draw.take(24, _BASE62), f"db-{draw.take(2, _DIGITS)}"
    url = f"postgresql://{user}:{password}@{host}.internal:5432/{upstream}"
    return Credential(url, (url, password))


def _password(draw: _Draw, upstream: str) -> Credential:
    return _alone(f"{draw.take(10, _BASE62)}-{draw.take(9, _BASE62)}")


def _api_key(draw: _Draw, upstream: str) -> Credential:
    return _alone(draw.take(40, "0123456789abcdef"))


def _alone(value: str) -> Credential:
    return Credential(value, (value,))


KINDS: Mapping[str, Callable[[_Draw, str], Credential]] = {
    "password": _password,
    "api-key": _api_key,
    "aws": _aws,
    "database": _database,
    "github": _github,
    "gitlab": _gitlab,
    "slack": _slack,
    "stripe": _stripe,
}


def credential(honeytoken: Honeytoken, keys: Sequence[bytes]) -> Credential | None:
    """The value of a honeytoken, from that of the keys which it was made from; None where that one is lost."""
    make = KINDS.get(honeytoken.kind)
    for key in keys:
        if make is not None and mark(key) == honeytoken.key:
            seed = f"wardgate honeytoken\0{honeytoken.upstream}\0{honeytoken.kind}\0{honeytoken.number}"
            return make(_Draw(key, seed), honeytoken.upstream)
    return None


def mark(key: bytes) -> str:
    """What tells a key from another one, without telling the key."""
    return hmac.new(key, b"wardgate honeytokens", sha256).hexdigest()[:16]


class Honeytokens:
    """The honeytokens of one state folder."""

    def __init__(self, state: Path) -> None:
        self._file = PrivateList(state / FILE_NAME, Honeytoken)

    def all(self) -> tuple[Honeytoken, ...]:
        """Every one that was minted, oldest first; raises `StateError` for a file that can't be trusted or read."""
        return self._file.read() if self._file.stat() is not None else ()

    def mint(self, upstream: str, kind: str, key: bytes, now: datetime | None = None) -> tuple[Honeytoken, Credential]:
        """Make one more for an upstream, and write down that there is it; raises `StateError` where that can't be."""
        at = now or datetime.now(UTC).replace(microsecond=0)
        with self._file.alone():
            before = self.all()
            if len(before) >= MOST:
                raise StateError(f"expected at most {MOST} honeytokens")
            made = Honeytoken(before[-1].number + 1 if before else 1, upstream, kind, mark(key), at)
            found = credential(made, (key,))
            if found is None:
                raise StateError(f"expected a kind among {', '.join(KINDS)}, found `{kind}`")
            self._file.write((*before, made))
        return made, found
