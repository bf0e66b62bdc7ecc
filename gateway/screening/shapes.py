"""A shape of personal data: the pattern of its bytes, and what proves that a text of this shape is one.

No I/O here. Which shapes there are is for the modules beside this one.
"""

import re
from collections.abc import Callable, Iterator

from msgspec import Struct

from gateway.core.secrets import Span

# Where a number may begin and end: not inside a word, a path, a decimal or a longer number. The escapes of a JSON text
# that stands in a text (`\n4111...`) end in letters that belong to no word.
BEGIN = r"(?:(?<![0-9A-Za-z_.+/%-])|(?<=\\[nrtbf]))"
END = r"(?![0-9A-Za-z_]|[.+/-][0-9A-Za-z])"
BEYOND = 3  # bytes behind a text that its pattern has to see

Proves = Callable[[bytes], bool]


def by_shape(_text: bytes) -> bool:
    """The proof of what has no checksum: its shape is all that there is."""
    return True


class Shape(Struct, frozen=True):
    """One kind of finding as a pattern; what matches counts if `proves` says so."""

    kind: str
    pattern: re.Pattern[bytes]
    proves: Proves = by_shape

    def spans(self, page: bytes, low: int, high: int) -> Iterator[Span]:
        """What there is from `low` to `high`."""
        for match in self.pattern.finditer(page, max(0, low), high):
            if self.proves(match[0]):
                yield Span(match.start(), match.end(), self.kind, match[0])


def whole(kind: str, shape: str, proves: Proves = by_shape) -> Shape:
    """A shape that stands by itself, from `BEGIN` to `END`; `shape` is a pattern of ASCII."""
    return Shape(kind, re.compile(f"{BEGIN}(?:{shape}){END}".encode()), proves)
