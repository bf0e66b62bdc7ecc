"""Text made from other text, with the way back from each of its bytes: what a view of a rendering is made of.

No I/O here, and nothing is decoded here. The way back is walked only for what is found, so it is made only then.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence

from msgspec import Struct, field

APART = b"\n\0\n"  # between regions: no line, and no white space, leads from one to the next
_ASCII = bytes(code if 0 < code < 128 else 32 for code in range(256))  # what is no text keeps its length

# From byte `start` of a region on, byte i stands for the `stride` bytes at `origin + (i - start) * stride`; where
# stride is 0, every byte stands for all `width` bytes at `origin`: (start, origin, stride, width).
Way = tuple[int, int, int, int]


class Budget(Struct):
    """What may still be decoded: bytes, and regions; what is over it is left out."""

    size: int
    regions: int

    @property
    def spent(self) -> bool:
        """Whether nothing more may be decoded."""
        return self.size <= 0 or self.regions <= 0


class Traced(Struct, eq=False):
    """A text of regions, each with its way back. `data` is whole after `join`."""

    budget: Budget
    data: bytes = b""
    _parts: list[bytes] = field(default_factory=list)
    _starts: list[int] = field(default_factory=list)
    _ends: list[int] = field(default_factory=list)
    _traces: list[Callable[[], Sequence[Way]]] = field(default_factory=list)
    _ways: dict[int, Sequence[Way]] = field(default_factory=dict)
    _size: int = 0

    def __repr__(self) -> str:
        """It without the text, which may hold secrets."""
        return f"Traced({self._size} bytes)"

    def add(self, made: bytes, trace: Callable[[], Sequence[Way]]) -> None:
        """Add a region. What is over the budget is cut off, bytes that are no UTF-8 become spaces."""
        made = text(made[: max(0, self.budget.size)])
        if made:
            self.budget.size -= len(made)
            self.budget.regions -= 1
            self._starts.append(self._size)
            self._ends.append(self._size + len(made))
            self._traces.append(trace)
            self._parts += (made, APART)
            self._size += len(made) + len(APART)

    def join(self) -> bytes:
        """Make `data`; nothing may be added after it."""
        self.data, self._parts = b"".join(self._parts), []
        return self.data

    def back(self, start: int, end: int) -> tuple[int, int]:
        """The range of the other text that a range stands for; one that leaves its region ends with it."""
        number = max(0, bisect_right(self._starts, start) - 1)
        ways = self._ways.get(number)
        if ways is None:
            ways = self._ways[number] = self._traces[number]()
        first = min(start, self._ends[number] - 1)
        last = max(first, min(end, self._ends[number]) - 1)
        return _origin(ways, first - self._starts[number])[0], _origin(ways, last - self._starts[number])[1]


def _origin(ways: Sequence[Way], at: int) -> tuple[int, int]:
    start, origin, stride, width = ways[bisect_right(ways, at, key=_start) - 1]
    if not stride:
        return origin, origin + width
    low = origin + (at - start) * stride
    return low, low + stride


def _start(way: Way) -> int:
    return way[0]


def text(data: bytes) -> bytes:
    """Bytes as UTF-8 of the same length: the very same, or with spaces for what is no ASCII."""
    if data.isascii():
        return data
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return data.translate(_ASCII)
    return data
