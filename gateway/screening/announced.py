"""Numbers that only count behind a word that announces them: `tel. 030 901820`, `"bsn": "111222333"`.

No I/O here. Without the word too many other numbers would pass.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from ahocorasick_rs import BytesAhoCorasick, Implementation

from gateway.core.secrets import Span
from gateway.screening.shapes import BEYOND, Shape

NEAR = 40  # bytes between the word and the number
LONGEST = 40  # bytes of a number
SHORT = 4  # letters of a word that must stand alone: `tel`, but not `hotel`
_BETWEEN = re.compile(rb"[^\n;{},\]]*(?:\[\s*[\"']?)?")  # the rest of a key or a phrase, perhaps the begin of a list
_OTHER = re.compile(
    rb"(?i)(?:(?<![a-z])(?:id|ts|time|timestamp|date|hash|version|count|build|size|port)|[_-](?:at|on))(?![a-z])"
)
_NEXT = re.compile(rb"[\"']?(?:\s*[,;/|]\s*|\s+(?:or|and)\s+|\s+)[\"']?")  # between the numbers of a list


class Announced:
    """Shapes by the words (lower case) that announce them."""

    def __init__(self, shapes: Mapping[str, Sequence[Shape]]) -> None:
        words = [(spelled, word) for word in shapes for spelled in _spelled(word)]
        self._shapes = tuple(shapes[word] for _, word in words)
        self._loose = tuple(len(word) > SHORT for _, word in words)
        self._words = BytesAhoCorasick([spelled for spelled, _ in words], implementation=Implementation.DFA)

    def find(self, page: bytes) -> Iterator[Span]:
        """Every number close behind one of its words, and those that follow it in a list."""
        for number, start, end in self._words.find_matches_as_indexes(page.lower(), overlapping=True):
            if self._loose[number] or not (page[start - 1 : start].isalpha() or page[end : end + 1].isalpha()):
                for shape in self._shapes[number]:
                    yield from _behind(page, end, shape)


def _spelled(word: str) -> list[bytes]:
    """The bytes of a word where only ASCII is in lower case for sure."""
    cases = (word,) if word.isascii() else (word, word.capitalize(), word.upper())
    return list(dict.fromkeys(case.encode().lower() for case in cases))


def _behind(page: bytes, end: int, shape: Shape) -> Iterator[Span]:
    first = next(shape.spans(page, end, end + NEAR + LONGEST), None)
    if first is None or first.start > end + NEAR:
        return
    between = page[end : first.start]
    if not _BETWEEN.fullmatch(between) or _OTHER.search(between):
        return
    span: Span | None = first
    while span is not None:
        yield span
        gap = _NEXT.match(page, span.end)
        high = 0 if gap is None else gap.end() + LONGEST + BEYOND
        span = None if gap is None else next(shape.spans(page, gap.end(), high), None)
        if gap is None or span is None or span.start != gap.end():
            return
