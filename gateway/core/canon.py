"""Canonical JSON: what is checked, hashed, shown and sent is one sequence of bytes. No I/O here."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from math import isfinite
from typing import Any

import msgspec

_ENCODER = msgspec.json.Encoder(order="sorted")
_NO_FLOATS = frozenset((str, int, bool, type(None)))


def canonical(value: Any) -> bytes:
    """Encode a JSON value with sorted keys, UTF-8, no spaces and exact integers.

    Raises `ValueError` for what JSON can't carry: lone surrogates, NaN and infinities, other types.
    """
    try:
        encoded = _ENCODER.encode(value)
    except (TypeError, UnicodeEncodeError, msgspec.MsgspecError, RecursionError) as problem:
        raise ValueError(f"not canonical JSON: {type(problem).__name__}") from None
    if b"null" in encoded and not finite(value):  # which the encoder writes as null: what was checked would not be sent
        raise ValueError("not canonical JSON: a number that is none")
    return encoded


def finite(value: Any) -> bool:
    """Whether each number in a value is one that JSON can carry: no NaN, no infinity."""
    todo = [value]
    for item in todo:  # which grows meanwhile
        if type(item) in _NO_FLOATS:
            continue
        if isinstance(item, float):
            if not isfinite(item):
                return False
        elif isinstance(item, Mapping):
            todo.extend(item.values())
        elif isinstance(item, list | tuple | set | frozenset):
            todo.extend(item)
        elif isinstance(item, msgspec.Struct):
            todo.extend(getattr(item, name) for name in item.__struct_fields__)
    return True


def digest(value: Any) -> str:
    """SHA-256 (hex) of a value's canonical bytes; for definitions and policies, which are no secrets."""
    return hashlib.sha256(canonical(value)).hexdigest()


def keyed_digest(key: bytes, data: bytes) -> str:
    """HMAC-SHA256 (hex) of canonical bytes; for arguments and results, whose values may be guessable."""
    inner, outer = (state.copy() for state in _begun(key))
    inner.update(data)
    outer.update(inner.digest())
    return outer.hexdigest()


@lru_cache(maxsize=64)
def _begun(key: bytes) -> "tuple[hashlib._Hash, hashlib._Hash]":
    """Both hashes of an HMAC behind their key (RFC 2104): begun once and copied, it takes half of the time."""
    block = (key if len(key) <= 64 else hashlib.sha256(key).digest()).ljust(64, b"\0")
    return hashlib.sha256(bytes(byte ^ 0x36 for byte in block)), hashlib.sha256(bytes(byte ^ 0x5C for byte in block))


def count_nodes(value: Any, limit: int = 100_000) -> int:
    """Count the values in a JSON value, stopping once `limit` is passed."""
    count, todo = 0, [value]
    while todo and count <= limit:
        item = todo.pop()
        count += 1
        if isinstance(item, Mapping):
            todo.extend(item.values())
        elif isinstance(item, list | tuple):
            todo.extend(item)
    return count
