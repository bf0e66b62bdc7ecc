"""What a session's counters say, and what stands out."""

import pytest

from gateway.core import signals
from gateway.core.model import Kind, Record
from gateway.core.signals import Response, SessionCounters, Signal, response, shown
from tests.fakes import a_record


def ended(number: int = 1, outcome: str = "ok", **more: object) -> Record:
    return a_record(number, Kind.OUTCOME, outcome=outcome, **more)


def signals_of(counters: SessionCounters, record: Record) -> tuple[Signal, ...]:
    """Which signals a record raises."""
    return tuple(one.signal for one in counters.count(record))


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
    told = [signals_of(counters, ended(number, outcome)) for number in range(4)]
    assert told == [(), (), (Signal.REPEATED_REFUSAL,), ()]
    assert counters.item()["signals"] == {"repeated-refusal": 1}


def test_different_refused_calls_are_no_signal() -> None:
    counters = SessionCounters("s1")
    assert not any(counters.count(ended(number, "blocked", arguments_digest=str(number))) for number in range(5))


def test_an_unknown_outcome_and_a_withheld_result_are_signals() -> None:
    counters = SessionCounters("s1")
    assert signals_of(counters, ended(1, "unknown", release="withheld")) == (Signal.UNKNOWN_OUTCOME,)
    assert signals_of(counters, ended(2, "ok", release="withheld")) == (Signal.WITHHELD,)


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
    assert signals_of(counters, ended(1, extra={"poses": ["progress"]})) == (Signal.POSES,)
    assert signals_of(counters, a_record(kind=Kind.QUESTION, extra={"poses": ["question"]})) == (Signal.POSES,)
    assert counters.count(a_record(kind=Kind.QUESTION, extra={"method": "roots/list"})) == ()
    assert counters.item()["signals"] == {"upstream-poses": 2}


def test_a_signal_that_was_raised_is_shown_with_its_sentence_and_a_known_one_is_counted_once() -> None:
    counters = SessionCounters("s1")
    counters.count(ended(1, "unknown"))
    about = {"call": "d_0000000001", "effect": "note", "explanation": "nobody knows"}
    counters.count(a_record(2, Kind.SIGNAL, detail="unknown-outcome", client="cursor", extra=about))
    counters.count(a_record(3, Kind.SIGNAL, detail="new-sink", extra={"effect": "raise", "explanation": "a"}))
    counters.count(a_record(4, Kind.SIGNAL, detail="new-tool", extra={"effect": "raise", "explanation": "b"}))
    counters.count(a_record(5, Kind.SIGNAL, detail="honeytoken", extra={"honeytokens": "honeytoken 1 of files"}))
    counters.count(a_record(6, Kind.SIGNAL, detail="notice-failed"))
    item = counters.item()
    assert item["signals"] == {"unknown-outcome": 1, "new-sink": 1, "new-tool": 1, "honeytoken": 1}
    assert item["told"][0] == {
        "signal": "unknown-outcome",
        "at": "2026-11-22T12:00:02.000000Z",
        "effect": "note",
        "call": "d_0000000001",
        "explanation": "nobody knows",
    }
    assert [each["explanation"] for each in item["told"]] == ["nobody knows", "a", "b", "honeytoken 1 of files"]
    assert (item["raised"], item["client"], item["calls"]) == ("new-sink", "claude-code", 1)


def test_a_session_of_which_only_a_signal_is_known_tells_whose_it_is() -> None:
    counters = SessionCounters("s1")
    counters.count(a_record(3, Kind.SIGNAL, detail="new-sink"))
    item = counters.item()
    assert (item["principal"], item["client"], item["last_at"]) == (
        "os:alice",
        "claude-code",
        "2026-11-22T12:00:03.000000Z",
    )


def test_so_many_sentences_are_kept() -> None:
    counters = SessionCounters("s1")
    for number in range(50):
        counters.count(a_record(number, Kind.SIGNAL, detail="new-sink", extra={"explanation": str(number)}))
    assert [each["explanation"] for each in counters.item()["told"]] == [str(number) for number in range(30, 50)]


def test_every_signal_of_a_call_has_a_sentence() -> None:
    counters = SessionCounters("s1")
    records = [ended(number, "blocked", reason="frozen") for number in range(3)]
    records += [ended(4, "unknown", reason="upstream-lost"), ended(5, release="withheld", reason="scanner-failed")]
    records.append(ended(6, extra={"poses": ["progress", "result"]}))
    assert [one.explanation for record in records for one in counters.count(record)] == [
        "exactly the same call of `files/write_file` was refused 3 times (frozen)",
        "a call of `files/write_file` was sent, and nobody knows how it ended (upstream-lost)",
        "the result of `files/write_file` was held back (scanner-failed)",
        "upstream `files` used the gateway's own words: progress, result",
    ]


@pytest.mark.parametrize(
    ("signal", "tier", "said", "expected"),
    [
        (Signal.NEW_SINK, "high", {}, Response.NOTE),
        (Signal.FAST_APPROVAL, "write", {}, Response.NOTE),
        (Signal.FAST_APPROVAL, "high", {}, Response.NOTIFY),
        (Signal.FAST_APPROVAL, "high", {Signal.FAST_APPROVAL: Response.NOTE}, Response.NOTE),
        (Signal.NEW_SINK, "read", {Signal.NEW_SINK: Response.RAISE}, Response.RAISE),
    ],
)
def test_policy_says_what_is_done_about_a_signal(
    signal: Signal, tier: str, said: dict[Signal, Response], expected: Response
) -> None:
    assert response(signal, tier, said) is expected


def test_responses_have_an_order_and_long_names_are_cut() -> None:
    assert sorted(Response, key=lambda one: one.rank) == [Response.NOTE, Response.NOTIFY, Response.RAISE]
    assert shown("x" * 81) == "x" * 79 + "…"
    assert shown("a\u200bb") == "a\\u{200b}b"
