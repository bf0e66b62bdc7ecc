"""The past of one identity: what is usual in a day, when a week is over, and what was seen."""

from datetime import date, timedelta

import pytest

from gateway.core import past as rules
from gateway.core.past import FEW, LEAST, MOST_SEEN, MOST_TOOLS, OTHERS, SINK, Past

MONDAY = date(2026, 11, 2)


def lived(counts: list[int], tool: str = "files/write") -> Past:
    """A past with so many consequential calls on each of some days in a row."""
    past = Past()
    for number, count in enumerate(counts):
        past.turn(MONDAY + timedelta(days=number))
        for _ in range(count):
            past.count(tool, consequential=True)
    past.turn(MONDAY + timedelta(days=len(counts)))
    return past


def test_a_past_is_warm_after_enough_calls_on_enough_days() -> None:
    assert not lived([49, 0, 0]).warm
    assert not lived([60, 60]).warm
    assert lived([48, 1, 1]).warm


def test_a_day_of_many_consequential_calls_stands_out_once() -> None:
    past = lived([5, 6, 4, 5, 5])
    stood_out = [past.count("files/write", consequential=True) for _ in range(40)]
    assert past.most == pytest.approx(5 + 4 * 5**0.5)
    assert [number for number, out in enumerate(stood_out, 1) if out] == [14]
    assert not any(past.count("files/read", consequential=False) for _ in range(100))


def test_few_calls_stand_out_nowhere_and_few_days_tell_nothing() -> None:
    quiet, short = lived([0] * 8), lived([1] * 4)
    assert quiet.most == FEW
    assert not any(quiet.count("files/write", consequential=True) for _ in range(FEW))
    assert quiet.count("files/write", consequential=True)
    assert not any(short.count("files/write", consequential=True) for _ in range(100))


def test_a_day_that_stood_out_hardly_teaches_that_such_days_are_usual() -> None:
    calm, burst = lived([5] * 8), lived([5] * 7 + [5_000])
    assert calm.most == pytest.approx(5 + 4 * 5**0.5)
    assert burst.most < 2 * calm.most


def test_the_newest_days_weigh_most() -> None:
    assert lived([0] * 10 + [20] * 10).counts.mean > 15
    assert lived([20] * 10 + [0] * 10).counts.mean < 3


def test_days_never_go_back_and_the_same_day_is_no_new_one() -> None:
    past = lived([3])
    assert past.turn(MONDAY + timedelta(days=1)) is None
    assert past.turn(MONDAY - timedelta(days=400)) is None
    assert (past.counts.days, past.counts.day) == (1, MONDAY + timedelta(days=1))


def test_two_weeks_with_enough_calls_are_compared_when_the_later_one_is_over() -> None:
    past = Past()
    for week, count, tool in ((0, LEAST, "a"), (1, LEAST - 1, "b"), (2, LEAST, "c")):
        assert past.turn(MONDAY + timedelta(weeks=week)) is None
        for _ in range(count):
            past.count(tool, consequential=False)
    assert past.turn(MONDAY + timedelta(weeks=2, days=6)) is None
    assert past.turn(MONDAY + timedelta(weeks=3)) == ((2026, 45), {"a": LEAST}, (2026, 47), {"c": LEAST})
    assert past.counts.mix == {}


def test_a_mix_names_so_many_tools_at_most() -> None:
    past = lived([])
    for number in range(MOST_TOOLS + 50):
        past.count(f"files/{number}", consequential=False)
    past.count("files/0", consequential=False)
    assert len(past.counts.mix) == MOST_TOOLS + 1
    assert (past.counts.mix[OTHERS], past.counts.mix["files/0"]) == (50, 2)


def test_what_was_seen_longest_ago_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MOST_SEEN, SINK, 2)
    past = Past(seen={SINK: [1, 2]})
    assert not past.sees(SINK, 1)
    assert past.sees(SINK, 3)
    assert list(past.seen[SINK]) == [1, 3]
    assert past.sees(SINK, 2)
    assert past.size == 2


def test_the_rules_are_those_that_the_documents_tell() -> None:
    assert (rules.WARM_CALLS, rules.WARM_DAYS, rules.USUAL_DAYS, sum(MOST_SEEN.values())) == (50, 3, 5, 6_600)
