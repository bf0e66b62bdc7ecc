"""A large text is scanned window by window, and a secret over an edge is found whole."""

import pytest

from gateway.core.secrets import Span, merge
from gateway.screening.windows import OVERLAP, WHOLE, windowed

SECRET = b"tok_0123456789"


class Watched:
    """A scanner that knows one secret, and keeps what it was given."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def __call__(self, data: bytes) -> list[Span]:
        data.decode("utf-8")
        self.seen.append(data)
        found, at = [], data.find(SECRET)
        while at >= 0:
            found.append(Span(at, at + len(SECRET), "tok", SECRET))
            at = data.find(SECRET, at + 1)
        return found


def test_what_is_small_enough_is_scanned_as_it_is() -> None:
    scan, data = Watched(), b"x" * (WHOLE - len(SECRET)) + SECRET
    assert [span.start for span in windowed(scan, data)] == [WHOLE - len(SECRET)]
    assert scan.seen == [data]
    assert windowed(Watched(), b"") == []


EDGES = [0, WHOLE - 7, WHOLE - OVERLAP - 3, WHOLE - OVERLAP, 2 * WHOLE - OVERLAP - 5, 3 * WHOLE - len(SECRET)]


@pytest.mark.parametrize("at", EDGES)
@pytest.mark.parametrize("letter", ["x", "é", "😀"])
def test_a_secret_over_an_edge_is_found_once_and_whole(at: int, letter: str) -> None:
    filler = letter.encode()
    before = filler * (at // len(filler))
    after = filler * ((3 * WHOLE - at) // len(filler))
    scan, data = Watched(), before + SECRET + after
    assert merge(windowed(scan, data)) == [Span(len(before), len(before) + len(SECRET), "tok", SECRET)]
    assert all(len(seen) <= WHOLE for seen in scan.seen)
    assert len(scan.seen) == 4


def test_what_is_no_text_is_cut_all_the_same() -> None:
    seen: list[int] = []

    def scan(data: bytes) -> list[Span]:
        seen.append(len(data))
        return []

    assert windowed(scan, b"\x80" * (WHOLE + 1)) == []
    assert seen[0] == WHOLE
