"""How people answer: who says yes to nearly everything, and who says it before the card can be read."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from gateway.core import overrides
from gateway.core.model import Kind, Record
from gateway.core.overrides import OPEN, PAIRS, Overrides
from gateway.core.pasts import Pasts
from gateway.core.remembered import Remembered
from gateway.core.signals import Signal
from tests.fakes import KEY, NOON, a_record


def row(number: int, state: str, seconds: float, by: str = "", **more: Any) -> Record:
    """The record of an approval that became so, some seconds after noon."""
    extra = {"state": state, "decided_by": by, "votes": [], **more.pop("extra", {})}
    record = a_record(number, Kind.APPROVAL, extra=extra, **{"rules": ("files.writes",), **more})
    return structs.replace(record, at=NOON + timedelta(seconds=seconds))


def answered(seen: Overrides, number: int, took: float = 9.0, state: str = "approved", **more: Any) -> list[Signal]:
    """The signals of one question that a person answers; one is asked every 1,000 s."""
    asked = 1_000.0 * number
    assert seen.observe(row(number, "waiting", asked, **more)) == ()
    return [one.signal for one in seen.observe(row(number, state, asked + took, "alice", **more))]


def test_the_twentieth_answer_raises_it_where_nearly_all_were_yes_and_only_that_one() -> None:
    seen = Overrides()
    told = [answered(seen, number, state="denied" if number == 3 else "approved") for number in range(40)]
    assert [number for number, signals in enumerate(told) if signals] == [19]
    assert told[19] == [Signal.OVERRIDES]


def test_who_says_no_now_and_then_raises_nothing() -> None:
    seen = Overrides()
    assert not any(answered(seen, number, state="denied" if number % 10 == 3 else "approved") for number in range(60))


def test_the_sentence_tells_person_rule_and_share() -> None:
    seen = Overrides()
    for number in range(19):
        answered(seen, number)
    (one,) = seen.observe(row(19, "approved", 19_000, "alice"))
    assert one.explanation == "alice approved 20 of 20 (100%) since 2026-11-22 of what rule `files.writes` asks"


def test_answers_are_counted_by_rule_and_person_within_a_month() -> None:
    seen = Overrides()
    for number in range(19):
        answered(seen, number)
        answered(seen, number + 100, rules=())
    assert seen.observe(row(900, "approved", 900, "bob")) == ()
    month = overrides.WINDOW.total_seconds() + 60
    assert seen.observe(row(901, "approved", month, "alice")) == ()


def test_two_people_answer_for_themselves() -> None:
    seen = Overrides()
    signals = [seen.observe(row(number, "approved", number, "alice, bob")) for number in range(20)]
    assert [len(each) for each in signals] == [0] * 19 + [2]


def test_an_approval_under_two_seconds_is_told_once_a_day_for_each_tier() -> None:
    seen = Overrides()
    assert answered(seen, 1, 1.9) == [Signal.FAST_APPROVAL]
    assert answered(seen, 2, 1.9) == []
    assert answered(seen, 3, 1.9, tier="high") == [Signal.FAST_APPROVAL]
    assert answered(seen, 90, 1.9) == [Signal.FAST_APPROVAL]  # the next day


def test_two_seconds_and_a_quick_no_are_not_told() -> None:
    assert answered(Overrides(), 1, 1.99) == [Signal.FAST_APPROVAL]
    assert answered(Overrides(), 1, 2.0) == answered(Overrides(), 1, 1.0, state="denied") == []
    assert answered(Overrides(), 1, -1.0) == []  # the clock went back


def test_its_sentence_tells_who_how_fast_and_of_what() -> None:
    seen = Overrides()
    seen.observe(row(1, "waiting", 0, rules=(), tier="high", effect="money"))
    (one,) = seen.observe(row(1, "approved", 0.4, "al\u202eice", rules=(), tier="high", effect="money"))
    what = "a call of tier high that no rule but the default for effect money asked about"
    assert one.explanation == f"al\\u{{202e}}ice approved {what} after 0.4 s; under 2 s stands out"


def test_a_vote_opens_no_question_and_an_edit_goes_on_with_the_old_one() -> None:
    seen = Overrides()
    seen.observe(row(1, "waiting", 0))
    seen.observe(row(1, "waiting", 9, extra={"votes": [{"by": "bob"}]}))
    assert seen.observe(row(1, "approved", 10, "alice")) == ()
    seen.observe(row(2, "waiting", 0))
    seen.observe(row(2, "withdrawn", 30))
    seen.observe(row(3, "waiting", 30, extra={"follows": "d_0000000002"}))
    assert seen.observe(row(3, "approved", 31, "alice")) == ()


def test_what_was_never_opened_here_is_counted_and_not_timed() -> None:
    assert Overrides().observe(row(1, "approved", 0, "alice")) == ()


@pytest.mark.parametrize("count", [50])
def test_what_is_remembered_is_bounded(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert OPEN + 2 * PAIRS == 14_000
    monkeypatch.setattr(overrides, "OPEN", 5)
    monkeypatch.setattr(overrides, "PAIRS", 5)
    seen = Overrides()
    for number in range(count):
        seen.observe(row(number, "waiting", 0))
        seen.observe(row(number, "approved", 1, f"person {number}"))
        seen.observe(row(1_000 + number, "waiting", 0))
    assert seen.size == 15


def test_what_was_answered_is_known_after_a_restart() -> None:
    before, after = Overrides(), Overrides()
    for number in range(19):
        answered(before, number)
    answered(before, 80, 1.0)
    before.observe(row(81, "waiting", 86_000))
    remembered = Remembered(KEY)
    assert remembered.read(remembered.text(Pasts(remembered.fingerprint), before, 5), Pasts(hash), after, 5) == 5
    assert after.size == before.size == 3
    assert after.observe(row(81, "approved", 86_001, "alice")) == before.observe(row(81, "approved", 86_001, "alice"))
    assert answered(after, 82, 1.0) == answered(before, 82, 1.0) == []
