"""Text of an upstream that holds the gateway's own words: find it, and mark it as the upstream's. No I/O here.

What the model reads as ours decides what it does next, so nothing that an upstream says may look like it. A mark is put
right before each of the words and takes nothing away; what is marked already stays as it is.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from gateway.core.render import MAX_DEPTH, LimitError

MARK = "[upstream text] "
EXACT = frozenset(
    (
        *("uri", "uriTemplate", "url", "src", "mimeType", "type", "name", "role", "blob", "resultType", "nextCursor"),
        *("enum", "const", "format", "pattern", "elicitationId"),
    )
)
"""Keys whose text is a name or an address: it is told of, and stays as it is."""
_ID = "[0-9A-HJKMNP-TV-Z]"
_GAP = r"[\s\u200b-\u200f\u2060\ufeff_]+"
_PHRASES = (
    *(
        rf"{first}{_GAP}{second}"
        for first, second in (("NOT", "EXECUTED"), ("NOT", "COMPLETED"), ("OUTCOME", "UNKNOWN"))
    ),
    *(rf"RESULT{_GAP}WITHHELD", r"\[REDACTED:", r"\[Wardgate\b", r"— ?Wardgate\b"),
)
_IDS = (
    rf"a_(?<![A-Za-z0-9_-]a_){_ID}{{10}}(?![A-Za-z0-9_-])",
    rf"approval{_GAP}a_{_ID}{{4,9}}(?![A-Za-z0-9_-])",
)
# Whether one is there is looked for one by one: each begins with letters of its own, which are found ten times as fast
# as one of many beginnings.
_ANY_PHRASE, _ANY_ID = tuple(map(re.compile, _PHRASES)), tuple(map(re.compile, _IDS))
_UNMARKED = re.compile(rf"(?<!{re.escape(MARK)})(?:{'|'.join((*_PHRASES, *_IDS))})")
_HINTS = ("EXECUTED", "COMPLETED", "UNKNOWN", "WITHHELD", "REDACTED:", "Wardgate")
# One letter of each: looking for a single byte is fifty times faster than looking for a word, and most texts hold few
# of these capitals.
_HINTS_SEALED = tuple(zip((b"X", b"P", b"K", b"H", b"D", b"W"), (hint.encode() for hint in _HINTS), strict=True))
_ID_HINT = re.compile(rf"a_{_ID}{{4}}")
_ID_HINT_SEALED = re.compile(_ID_HINT.pattern.encode())


def suspect(sealed: bytes) -> bool:
    """Whether the canonical bytes of a value may hold such words; cheap, and True too often rather than too seldom."""
    return any(letter in sealed and hint in sealed for letter, hint in _HINTS_SEALED) or (
        b"a_" in sealed and _ID_HINT_SEALED.search(sealed) is not None
    )


def poses(text: str) -> bool:
    """Whether a text holds words of the gateway's own, marked or not."""
    words = _ANY_PHRASE if any(hint in text for hint in _HINTS) else ()
    ids = _ANY_ID if _ID_HINT.search(text) is not None else ()
    return any(word.search(text) for word in (*words, *ids))


def marked(text: str) -> str:
    """The text, with each of the words marked that is not."""
    return _UNMARKED.sub(lambda found: MARK + found[0], text)


def tell_apart(value: Any, keeps: Callable[[Any], bool] = lambda structured: True) -> tuple[Any, bool]:
    """A result, an error or a question with its words marked (the very same where none are), and whether it poses.

    `keeps` says of structured content whether it is still valid once it is marked; if not, that part stays as it is.
    Raises `LimitError` for a value that is deeper than what is screened.
    """
    told, posed = _walk(value, 0)
    if told is value or not isinstance(value, Mapping) or "structuredContent" not in value:
        return told, posed
    before, after = value["structuredContent"], told["structuredContent"]
    if after is before or keeps(after):
        return told, posed
    return {**told, "structuredContent": before}, posed


def holds(value: Any) -> bool:
    """Whether a value poses; one that is deeper than what is screened is not looked at, and goes nowhere."""
    try:
        return tell_apart(value)[1]
    except LimitError:
        return False


def _walk(value: Any, depth: int, *, exact: bool = False, every: bool = False) -> tuple[Any, bool]:
    """Mark all texts below a value, but for `exact` ones; with `every`, a key's name makes none exact."""
    if isinstance(value, str):
        posed = poses(value)
        told = marked(value) if posed and not exact else value
        return (value if told == value else told), posed
    if depth > MAX_DEPTH:
        raise LimitError(f"expected at most {MAX_DEPTH} levels, found more")
    if isinstance(value, Mapping):
        return _walk_mapping(value, depth, every=every)
    if isinstance(value, list | tuple):
        below = [_walk(item, depth + 1, exact=exact, every=every) for item in value]
        same = all(told is item for (told, _), item in zip(below, value, strict=True))
        return (value if same else [told for told, _ in below]), any(posed for _, posed in below)
    return value, False


def _walk_mapping(value: Mapping[str, Any], depth: int, *, every: bool) -> tuple[Any, bool]:
    posed = any(map(poses, value))  # of a key it is told, and it stays
    below: dict[str, Any] = {}
    for key, item in value.items():
        free = every or key == "structuredContent"
        below[key], also = _walk(item, depth + 1, exact=key in EXACT and not free, every=free)
        posed = posed or also
    same = all(below[key] is item for key, item in value.items())
    return (value if same else below), posed
