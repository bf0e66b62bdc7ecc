"""Scan what is too large to be scanned at once window by window. It judges nothing.

Windows overlap, so that a secret that stands over the edge of one is whole in the next; what is longer than the overlap
is found in parts, each of which is redacted.
"""

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from gateway.core.secrets import Span

WHOLE = 4 * 1024 * 1024  # bytes that are scanned at once
OVERLAP = 64 * 1024  # bytes that two windows have in common


def windowed(scan: Callable[[bytes], Iterable[Span]], data: bytes) -> list[Span]:
    """What `scan` finds in UTF-8 bytes, as spans of them; no character is cut. Raises whatever `scan` raises."""
    if len(data) <= WHOLE:
        return list(scan(data))
    found: dict[Span, None] = {}
    start, end = 0, 0
    while end < len(data):
        end = _boundary(data, start + WHOLE)
        for span in scan(data[start:end]):
            found[replace(span, start=span.start + start, end=span.end + start)] = None
        start = _boundary(data, end - OVERLAP)
    return list(found)


def _boundary(data: bytes, at: int) -> int:
    """The start of the character that byte `at` belongs to, or the end of the data."""
    if at >= len(data):
        return len(data)
    return next((before for before in range(at, at - 4, -1) if data[before] & 0xC0 != 0x80), at)
