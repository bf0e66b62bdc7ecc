"""Look for secrets in a rendering as it stands and in its views: what its escapes, look-alikes and encodings say.

No I/O here and no patterns of secrets: `find` is handed in and called once for the rendering and once for each
generation of views. Everything is bounded; what is over a bound is looked at as it stands, and no deeper.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from gateway.core import folded, packed, spelled
from gateway.core.secrets import Span, unmarked
from gateway.core.traced import Budget, Traced

GENERATIONS = 3  # views of views of views: base64 of base64, and once more for how its characters are spelled
FACTOR = 4  # times the size of the rendering that is decoded in all
LEAST = 64 * 1024  # bytes that may be decoded however small the rendering is
MOST = 16 * 1024 * 1024  # bytes that are decoded in all
REGIONS = 20_000  # regions that are decoded in all
QUICK = 64 * 1024  # bytes of a text whose packed runs are sieved once more than needed, so that most are done then
PART = 4 * 1024 * 1024  # bytes whose views are made at a time: what is sieved takes several times their room
OVERLAP = 64 * 1024  # bytes that two parts share

Find = Callable[[bytes], Sequence[Span]]


def look(data: bytes, find: Find) -> list[Span]:
    """What `find` finds in UTF-8 bytes and in their views, as spans of these bytes.

    A secret spelled with escapes covers just them, a packed one (base64, hex, gzip) the whole run; `secret` is what was
    decoded. Raises what `find` raises and nothing else.
    """
    spans = list(find(data))
    if plain(data):
        return spans
    budget = Budget(min(MOST, LEAST + FACTOR * len(data)), REGIONS)
    for start in range(0, len(data), PART):
        spans += _viewed(data[start : start + PART + OVERLAP], start, find, budget)
    return list(dict.fromkeys(spans))


def plain(data: bytes) -> bool:
    """Whether nothing in a text can be spelled or packed, as far as a cheap look can tell: its views are empty."""
    easy = len(data) <= QUICK and data.isascii() and not spelled.suspect(data)
    return easy and not packed.holds(data, packed.suspect(data))


def _viewed(data: bytes, start: int, find: Find, budget: Budget) -> list[Span]:
    """What is found in the views of a part of the rendering that begins at `start`."""
    runs, spans, seen, chain = packed.suspect(data), list[Span](), set[bytes](), list[Traced]()
    while len(chain) < GENERATIONS and (view := _view(data, runs, budget, seen)).data:
        chain.append(view)
        data, runs = view.data, packed.suspect(view.data)
        spans += [_home(span, chain, start) for span in unmarked(find(data), data)]
    return spans


def _view(data: bytes, runs: bytes, budget: Budget, seen: set[bytes]) -> Traced:
    """The next generation of a text; it is empty if there is nothing to decode."""
    view = Traced(budget)
    spelled.decode(data, view)
    folded.decode(data, view)
    if runs:
        packed.decode(data, runs, view, seen)
    view.join()
    return view


def _home(span: Span, chain: Sequence[Traced], offset: int) -> Span:
    start, end = span.start, span.end
    for view in reversed(chain):
        start, end = view.back(start, end)
    return replace(span, start=offset + start, end=offset + end)
