"""Which values of a call's arguments stood in outputs that were delivered before. Pure search in bytes: no I/O here.

A fact for the record, not a verdict: that a value stood somewhere does not say that it came from there.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from gateway.core.canon import canonical
from gateway.core.screen import place
from gateway.core.secrets import Span
from gateway.core.views import look

MOST_LEAVES, LONGEST_LEAF, SHORTEST_LEAF = 64, 4096, 4
SHORTEST_DISGUISED = 6  # characters of a value that is looked for in disguise
MOST_DISGUISED = 1024 * 1024  # bytes of outputs that are looked through for that
MOST_SEARCHED = 8 * 1024 * 1024  # bytes that the search for one call's arguments looks through: some milliseconds

_WORD = re.compile(rb"[A-Za-z0-9_\x80-\xff]")
_ESCAPED = b"bfnrt"  # the letters of JSON's escapes: behind a backslash they are no part of a word


class Needle(NamedTuple):
    """One value of a call's arguments, as it would stand in canonical bytes."""

    place: tuple[str | int, ...]
    forms: tuple[bytes, ...]
    length: int


class Carried(NamedTuple):
    """An argument that stood in an output."""

    place: str
    source: str
    length: int
    disguised: bool = False  # not as it is, but in look-alike letters, with hidden characters between, or encoded


def needles(arguments: Mapping[str, Any]) -> list[Needle]:
    """The values that are looked for: texts of 4 characters and more, numbers of 4 digits and more; the first 64."""
    found = []
    for path, leaf in _leaves(arguments, ()):
        if isinstance(leaf, str):
            if not SHORTEST_LEAF <= len(leaf) <= LONGEST_LEAF:
                continue
            form = canonical(leaf)[1:-1]
            forms = (form, canonical(form.decode())[1:-1]) if b"\\" in form else (form,)
            needle = Needle(path, forms, len(leaf))
        else:
            form = canonical(leaf)
            if not SHORTEST_LEAF <= sum(48 <= byte <= 57 for byte in form) <= LONGEST_LEAF:
                continue
            needle = Needle(path, (form,), len(form))
        found.append(needle)
        if len(found) == MOST_LEAVES:
            break
    return found


def carried(wanted: Iterable[Needle], kept: Iterable[tuple[str, bytes]]) -> tuple[list[Carried], int]:
    """The values that stood in one of the outputs (oldest first) as a whole token, each with its newest source, and
    how many were not looked for everywhere because that would take too long.
    """
    newest, budget, found, left = tuple(kept)[::-1], MOST_SEARCHED, [], 0
    for needle in wanted:
        for id, data in newest:
            budget -= len(data) * len(needle.forms)
            if budget < 0:
                left += 1
                break
            if any(stands(data, form) for form in needle.forms):
                found.append(Carried(place(needle.place), id, needle.length))
                break
    return found, left


def disguised(wanted: Iterable[Needle], kept: Iterable[tuple[str, bytes]]) -> list[Carried]:
    """The texts that stood in one of the outputs only in disguise: in look-alike letters, with hidden characters
    between, or encoded; each with its newest source.

    Takes tens of milliseconds for each MiB. What it finds is for people's eyes: it makes no origin better or worse.
    """
    left, budget, found = [needle for needle in wanted if needle.length >= SHORTEST_DISGUISED], MOST_DISGUISED, []
    for id, data in tuple(kept)[::-1]:
        budget -= len(data)
        if not left or budget < 0:
            break
        seen = {int(span.kind) for span in look(data, partial(_hidden, left))}
        found += [Carried(place(left[at].place), id, left[at].length, True) for at in sorted(seen)]
        left = [needle for at, needle in enumerate(left) if at not in seen]
    return found


def _hidden(wanted: list[Needle], data: bytes) -> list[Span]:
    """Where the values stand in a view of an output."""
    plain, spans = data.lower(), []
    for at, needle in enumerate(wanted):
        form = needle.forms[0].lower()
        start = plain.find(form)
        if start >= 0:
            spans.append(Span(start, start + len(form), str(at), form))
    return spans


def stands(data: bytes, form: bytes) -> bool:
    """Whether a value stands in canonical bytes as a whole token: nothing that belongs to a word is next to it."""
    number = form.lstrip(b"-").isdigit()
    at = data.find(form)
    while at >= 0:
        end = at + len(form)
        if _ends(data, at) and not _WORD.match(data, end) and not (number and _digits(data, at, end)):
            return True
        at = data.find(form, at + 1)
    return False


def _ends(data: bytes, at: int) -> bool:
    """Whether a token may begin here: behind no letter or digit, but for those of an escape."""
    if at == 0 or not _WORD.match(data, at - 1):
        return True
    if data[at - 1] in _ESCAPED and at > 1 and data[at - 2] == 0x5C:
        return True
    return at > 5 and data[at - 6 : at - 4] == b"\\u"


def _digits(data: bytes, at: int, end: int) -> bool:
    """Whether a number goes on before or behind a point: `1234` is no token of `1234.56`."""
    before, behind = data[max(at - 2, 0) : at], data[end : end + 2]
    return (before[-1:] == b"." and before[:1].isdigit()) or (behind[:1] == b"." and behind[1:].isdigit())


def _leaves(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str | int | float]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list | tuple):
        for at, item in enumerate(value):
            yield from _leaves(item, (*path, at))
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield path, value
