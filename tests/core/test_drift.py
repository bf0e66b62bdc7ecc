"""How far two mixes of tools lie apart, and what moved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.drift import Moved, divergence, moved

MIXES = st.dictionaries(st.sampled_from("abcdefg"), st.integers(0, 1_000), max_size=7)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1}, {"a": 50}, 0.0),
        ({"a": 10}, {"b": 3}, 1.0),
        ({"a": 1, "b": 1}, {"a": 1}, 0.311278),
        ({"a": 3, "b": 1}, {"a": 1, "b": 3}, 0.188722),
        ({}, {"a": 1}, 0.0),
        ({"a": 1}, {}, 0.0),
    ],
    ids=["the same", "nothing in common", "one of two left", "two changed places", "none before", "none after"],
)
def test_the_divergence_is_that_of_jensen_and_shannon(
    before: dict[str, int], after: dict[str, int], expected: float
) -> None:
    assert divergence(before, after) == pytest.approx(expected, abs=1e-6)


@given(MIXES, MIXES, st.integers(2, 9))
def test_it_is_symmetric_bounded_and_of_shares_alone(before: dict[str, int], after: dict[str, int], times: int) -> None:
    far = divergence(before, after)
    assert 0.0 <= far <= 1.0
    assert divergence(after, before) == pytest.approx(far)
    assert divergence({name: times * count for name, count in before.items()}, after) == pytest.approx(far)
    assert divergence(before, before) == pytest.approx(0.0)


def test_the_three_tools_that_moved_most_are_named_with_their_shares() -> None:
    before = {"read": 60, "list": 20, "note": 20, "same": 10}
    after = {"read": 10, "list": 20, "note": 40, "send": 30, "same": 10}
    assert moved(before, after) == (
        Moved("read", 60 / 110, 10 / 110),
        Moved("send", 0.0, 30 / 110),
        Moved("note", 20 / 110, 40 / 110),
    )
    assert [str(each) for each in moved(before, after, 1)] == ["read 55% -> 9%"]
    assert moved(after, after) == moved({}, {}) == ()
