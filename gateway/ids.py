"""Ids of calls, approvals, grants and entries: a letter, `_`, and 10 characters of Crockford's base32.

Random, never derived from content. No I/O here but the system's randomness.
"""

import secrets

_ALPHABET = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TABLE = bytes(_ALPHABET[byte & 31] for byte in range(256))
_LOOKS_LIKE = str.maketrans("OIL", "011")

CALL, APPROVAL, GRANT, ENTRY = "d", "a", "g", "l"
SHORTEST_PREFIX = 4


def new_id(letter: str) -> str:
    """A fresh id, 50 random bits behind its letter."""
    return f"{letter}_{secrets.token_bytes(10).translate(_TABLE).decode('ascii')}"


def normal(text: str) -> str:
    """What a person typed, as ids are written: lower-case letter, upper-case rest, `O` as 0, `I` and `L` as 1."""
    letter, mark, rest = text.strip().partition("_")
    return letter.lower() + mark + rest.upper().translate(_LOOKS_LIKE)
