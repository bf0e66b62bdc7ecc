"""What the signals remember, as text that the store keeps: pasts of identities, answers, and raised sessions.

No I/O here. No value is in it: what was seen is there as 64 bits of a keyed digest, good under one key only.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from gateway.core import overrides
from gateway.core.canon import keyed_digest
from gateway.core.past import Counts, Past
from gateway.core.pasts import Pasts
from gateway.core.session import Key

SIZE = 8  # bytes of a digest
_MARK = b"wardgate signals"


class _Identity(msgspec.Struct, omit_defaults=True):
    principal: str
    client: str
    counts: Counts
    seen: dict[str, list[int]]


class _Kept(msgspec.Struct):
    mark: str  # of the key
    seq: int  # up to which records are counted
    identities: list[_Identity]
    last: dict[str, str]
    people: overrides.Kept


class Remembered:
    """Reads and writes what is remembered under one key."""

    def __init__(self, key: bytes) -> None:
        self._begun = hashlib.blake2b(digest_size=SIZE, key=key[:64])
        self._mark = keyed_digest(key, _MARK)[:16]

    def fingerprint(self, data: bytes) -> int:
        """64 bits that stand for `data`: equal for what is equal, and telling nothing without the key."""
        state = self._begun.copy()
        state.update(data)
        return int.from_bytes(state.digest(), "big")

    def text(self, pasts: Pasts, people: overrides.Overrides, seq: int) -> str:
        """All pasts and answers, as they are after record `seq`."""
        identities = [
            _Identity(*identity, past.counts, {what: list(seen) for what, seen in past.seen.items() if seen})
            for identity, past in pasts.identities.items()
        ]
        return msgspec.json.encode(_Kept(self._mark, seq, identities, dict(pasts.last), people.kept())).decode()

    def read(self, text: str, pasts: Pasts, people: overrides.Overrides, size: int) -> int:
        """Take over what `text` holds, and tell up to which record; 0, with nothing taken over, for what was written
        under another key, of a record that was longer than `size`, or is no such text.
        """
        try:
            kept = msgspec.json.decode(text, type=_Kept)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return 0
        if kept.mark != self._mark or kept.seq > size:
            return 0
        for each in kept.identities:
            pasts.put((each.principal, each.client), Past(each.counts, each.seen))
        pasts.last.update(kept.last)
        people.put(kept.people)
        return kept.seq


def raised_text(raised: Sequence[tuple[Key, str]]) -> str:
    """Sessions with the signal that raised them, oldest first, as text."""
    return msgspec.json.encode(raised).decode()


def read_raised(text: str) -> list[tuple[Key, str]]:
    """What `raised_text` wrote; nothing where it is no such text."""
    try:
        return msgspec.json.decode(text, type=list[tuple[Key, str]]) if text else []
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return []
