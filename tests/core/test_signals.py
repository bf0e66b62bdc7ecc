"""What a session's counters say, and what stands out."""

import pytest

from gateway.core import signals
from gateway.core.model import Kind, Record
from gateway.core.signals import SessionCounters, Signal
from tests.fakes import a_record


def ended(number: int = 1, outcome: str = "ok", **more: object) -> Record:
    return a_record(number, Kind.OUTCOME, outcome=outcome, **more)


def test_calls_are_counted_when_they_end() -> None:
    counters = SessionCounters("s1")
    for record in (a_record(1), ended(1), ended(2, "blocked", verdict="block"), ended(3, verdict="", tier="")):
        counters.count(record)
    item = counters.item()
    assert (item["calls"], item["outcomes"], item["verdicts"]) == (
        3,
        {"ok": 2, "blocked": 1},
        {"allow": 1, "block": 1, "none": 1},
    )
    assert (item["tiers"], item["principal"], item["client"]) == ({"write": 2, "none": 1}, "os:alice", "claude-code")
    assert (item["first_at"], item["last_at"]) == ("2026-11-22T12:00:01.000000Z", "2026-11-22T12:00:03.000000Z")


def test_a_session_of_which_nothing_is_known_has_an_empty_row() -> None:
    assert SessionCounters("s1").item()["last_at"] == SessionCounters("s1").item()["first_at"] == ""


def test_a_prompt_is_counted_once_however_many_vote() -> None:
    counters = SessionCounters("s1")
    opened = {"state": "waiting", "votes": []}
    voted = {"state": "waiting", "votes": [{"by": "os:bob"}]}
    for extra in (opened, voted, {"state": "approved", "votes": []}):
        counters.count(a_record(kind=Kind.APPROVAL, extra=extra))
    assert counters.prompts == 1


@pytest.mark.parametrize("outcome", ["blocked", "denied"])
def test_the_third_equal_refused_call_is_a_signal_and_the_fourth_none(outcome: str) -> None:
    counters = SessionCounters("s1")
    assert [counters.count(ended(number, outcome)) for number in range(4)] == [(), (), (Signal.REPEATED_REFUSAL,), ()]
    assert counters.item()["signals"] == {"repeated-refusal": 1}


def test_different_refused_calls_are_no_signal() -> None:
    counters = SessionCounters("s1")
    assert not any(counters.count(ended(number, "blocked", arguments_digest=str(number))) for number in range(5))


def test_an_unknown_outcome_and_a_withheld_result_are_signals() -> None:
    counters = SessionCounters("s1")
    assert counters.count(ended(1, "unknown", release="withheld")) == (Signal.UNKNOWN_OUTCOME,)
    assert counters.count(ended(2, "ok", release="withheld")) == (Signal.WITHHELD,)


def test_an_incident_that_was_raised_elsewhere_is_counted_and_raises_nothing() -> None:
    counters = SessionCounters("s1")
    assert counters.count(a_record(kind=Kind.SIGNAL, detail=Signal.HONEYTOKEN.value)) == ()
    assert (counters.item()["signals"], counters.calls) == ({"honeytoken": 1}, 0)


def test_what_is_remembered_of_refusals_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "REMEMBERED", 2)
    counters = SessionCounters("s1")
    for number in range(5):
        counters.count(ended(number, "blocked", arguments_digest=str(number)))
    assert [key[2] for key in counters.refused] == ["3", "4"]


def test_a_call_whose_upstream_used_our_words_is_a_signal() -> None:
    counters = SessionCounters("s1")
    assert counters.count(ended(1, extra={"poses": ["progress"]})) == (Signal.POSES,)
    assert counters.count(a_record(kind=Kind.QUESTION, extra={"poses": ["question"]})) == (Signal.POSES,)
    assert counters.count(a_record(kind=Kind.QUESTION, extra={"method": "roots/list"})) == ()
    assert counters.item()["signals"] == {"upstream-poses": 2}
