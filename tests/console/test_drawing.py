"""Differences and plots: pure, bounded, and right about what they show."""

import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.console.differences import MOST_LINES, MOST_WORDS, lines, pieces
from gateway.console.plots import TICK, age, ceiling, stacked

TEXT = st.text(st.sampled_from("ab \n<&é\u202e"), max_size=60)


@given(TEXT, TEXT)
def test_the_pieces_of_a_difference_are_both_texts(before: str, after: str) -> None:
    found = pieces(before, after)
    assert "".join(piece.text for piece in found if piece.mark != "new") == before
    assert "".join(piece.text for piece in found if piece.mark != "gone") == after


def test_a_difference_of_lines_shows_what_came_and_went() -> None:
    found = lines("one\ntwo\nthree", "one\n2\nthree")
    assert [(piece.mark, piece.text) for piece in found[1:]] == [
        *[("same", "one"), ("gone", "two"), ("new", "2"), ("same", "three")]
    ]
    assert found[0].mark == "place"


def test_lines_that_look_like_a_head_are_lines() -> None:
    found = lines("-- old\nx", "++ new\nx")
    assert [(piece.mark, piece.text) for piece in found if piece.mark in ("new", "gone")] == [
        ("gone", "-- old"),
        ("new", "++ new"),
    ]


def test_what_is_too_long_is_not_compared() -> None:
    assert pieces("a " * MOST_WORDS, "b") == ()
    assert lines("a\n" * MOST_LINES, "b") == ()


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=40))
def test_the_parts_of_a_bar_stand_on_each_other_and_end_within_the_frame(counts: list[tuple[int, int]]) -> None:
    series = {"read": [a for a, _ in counts], "write": [b for _, b in counts]}
    drawn = stacked([str(index) for index in range(len(counts))], series, "calls")
    bars = re.findall(r'class="s-(\w+)" x="([\d.]+)" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"', drawn)
    assert len(bars) == sum(value > 0 for pair in counts for value in pair)
    most = ceiling(max(a + b for a, b in counts))
    for index, (a, b) in enumerate(counts):
        own = [bar for bar in bars if int(float(bar[1])) == index]
        tall = sum(float(bar[3]) for bar in own)
        assert abs(tall - 100 * (a + b) / most) < 0.05
        if own:
            assert abs(float(own[-1][2]) - (100 - tall)) < 0.05


def test_the_axis_ends_at_a_round_number_and_names_are_escaped() -> None:
    assert [ceiling(value) for value in (0, 1, 3, 7, 11, 21, 99, 100, 101)] == [1, 1, 5, 10, 20, 50, 100, 100, 200]
    drawn = stacked(["<a>"], {"<b>": [1]}, '"<c>"')
    assert not re.search(r"<[abc]>", drawn)
    assert stacked([], {}, "nothing")


@given(st.floats(-5, 200))
def test_an_age_fills_its_bar_up_to_the_end_and_no_further(days: float) -> None:
    drawn = age(days, (7, 14), 27, "due", '"<a>"')
    (wide,) = re.findall(r'class="days" width="([\d.]+)"', drawn)
    assert abs(float(wide) - max(0.0, min(100 * days / 27, 100.0))) < 0.01
    ticks = re.findall(r'class="tick" x="([\d.]+)"', drawn)
    assert [round((float(at) + TICK / 2) * 27 / 100) for at in ticks] == [7, 14]
    assert "<a>" not in drawn
