"""The ends of what sessions read, by upstream: they catch a known secret that is read in pieces.

Only exact secrets are looked for: the shape of half a token is nothing. In memory, and bounded in every direction.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import msgspec

from gateway.core.model import Act, Finding, Grade
from gateway.core.secrets import identity
from gateway.screening.exact import KnownSecrets

TAIL = 64  # bytes of each text that are kept, or twice the longest secret where that is more
LONGEST = 1_024  # bytes that are kept at most
MOST = 2_000  # pairs of session and upstream; the one that was quiet longest is forgotten first
PLACES = 16  # texts of one pair, by their keys
EDGE = 32  # items that are looked at on both ends of a list
DEEPEST = 4  # levels
JSON_TEXT = 16 * 1024  # characters of a text that is looked into if it is JSON
_FIXED = frozenset({"type", "mimeType", "uri"})  # keys whose values are no pieces of anything


class Tails:
    """What each session read last from each upstream, text by text."""

    def __init__(self, known: KnownSecrets) -> None:
        self._known = known
        self._read: OrderedDict[tuple[str, str], dict[str, bytes]] = OrderedDict()

    def __repr__(self) -> str:
        return f"Tails({len(self._read)} sessions and upstreams)"

    def completes(
        self, session: str, upstream: str, value: Mapping[str, Any], fingerprint: Callable[[bytes], str]
    ) -> tuple[Finding, ...]:
        """The exact secrets that begin in what was read before and end in a result; if none does, its end is kept.

        Texts are put against the earlier ones under the same keys, without the blanks around them.
        """
        if not self._known:
            return ()
        size = min(max(TAIL, 2 * self._known.longest), LONGEST)
        before = self._read.get((session, upstream), {})
        after, found = dict(before), dict[Finding, None]()
        for place, text in _joined(value, size).items():
            tail = before.get(place, b"")
            for span in self._known.find(tail + text[:size]) if tail else ():
                if span.start < len(tail) < span.end:
                    told = fingerprint(identity(span.secret))
                    found[Finding(span.kind, place, told, True, Grade.EXACT, Act.WITHHELD)] = None
            if place in after or len(after) < PLACES:
                after[place] = (tail + text)[-size:]
        if not found and after:
            self._read[session, upstream] = after
            self._read.move_to_end((session, upstream))
            while len(self._read) > MOST:
                self._read.popitem(last=False)
        return tuple(found)


def _joined(value: Mapping[str, Any], size: int) -> Mapping[str, bytes]:
    """The texts of a result by their keys, what stands in a list one after the other; of a long one only both ends."""
    texts: dict[str, list[str]] = {}
    _gather(value, "", 0, texts, size)
    told = {place: "".join(pieces).strip() for place, pieces in texts.items()}
    return {place: text.encode("utf-8", "replace") for place, text in told.items() if text}


def _gather(value: Any, place: str, depth: int, texts: dict[str, list[str]], size: int) -> None:
    if isinstance(value, str):
        short = value if len(value) <= 4 * size else value.strip()
        texts.setdefault(place, []).append(short if len(short) <= 4 * size else short[:size] + short[-size:])
        if value[:1] in ("{", "[") and len(value) <= JSON_TEXT:
            _inside(value, place, texts, size)
    elif depth > DEEPEST:
        return
    elif isinstance(value, dict):
        for key in value if len(value) <= EDGE else list(value)[:EDGE]:
            if key not in _FIXED:
                _gather(value[key], f"{place}.{key}" if place else key, depth + 1, texts, size)
    elif isinstance(value, list):
        for item in value if len(value) <= 2 * EDGE else chain(value[:EDGE], value[-EDGE:]):
            _gather(item, place, depth + 1, texts, size)


def _inside(text: str, place: str, texts: dict[str, list[str]], size: int) -> None:
    """The texts in a text that is JSON."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return
    _gather(value, f"{place}()", DEEPEST - 1, texts, size)
