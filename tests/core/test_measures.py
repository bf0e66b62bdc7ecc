"""What is counted of committed records: which numbers, under which labels, and that those stay few."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from gateway.core import measures
from gateway.core.measures import MEASURES, OTHER, Counts, Histogram, Sort, word
from gateway.core.model import Act, Finding, Grade, Kind, Outcome, Reason, Record, Verdict
from tests.fakes import NOON, a_record

LATER = NOON + timedelta(seconds=60)


def counted(*records: Record) -> Counts:
    counts = Counts(("files", "ledger"))
    for record in records:
        counts.count(record, LATER)
    return counts


def grown(counts: Counts, name: str) -> dict[tuple[str, ...], int]:
    """The series of a counter that are not 0."""
    return {labels: value for labels, value in counts.counters[name].items() if value}


def an_end(number: int = 1, **more: object) -> Record:
    return a_record(number, Kind.OUTCOME, **{"outcome": Outcome.OK.value, **more})


def test_a_call_counts_once_it_ended() -> None:
    counts = counted(a_record(1), an_end(1), an_end(2, outcome="blocked", verdict=Verdict.BLOCK.word))
    assert grown(counts, "calls") == {
        ("files", "write", "allow", "ok", "rule"): 1,
        ("files", "write", "block", "blocked", "rule"): 1,
    }
    assert grown(counts, "outcomes") == {("ok",): 1, ("blocked",): 1}
    assert grown(counts, "records") == {("intent",): 1, ("outcome",): 2}


def test_the_steps_of_a_call_are_counted_in_seconds() -> None:
    counts = counted(an_end(timings_us={"decide": 200, "upstream": 2_000_000}))
    steps = counts.histograms["step_seconds"]
    assert steps[("decide",)].sum == pytest.approx(0.0002)
    assert steps[("upstream",)].sum == pytest.approx(2)
    assert counts.histograms["call_seconds"][("files", "write")].sum == pytest.approx(2.0002)


def test_the_lag_of_the_record_is_from_a_calls_end_to_when_its_outcome_is_seen() -> None:
    (lag,) = counted(a_record(9), an_end(10)).histograms["record_lag_seconds"].values()
    assert (lag.sum, lag.count) == (50, 1)


def test_approvals_signals_and_findings_are_counted_by_words_of_few() -> None:
    finding = Finding("token", "content[0].text", "f", grade=Grade.VENDOR, act=Act.REDACTED)
    counts = counted(
        a_record(1, Kind.APPROVAL, extra={"state": "approved"}),
        a_record(2, Kind.APPROVAL),
        a_record(3, Kind.SIGNAL, detail="new-tool"),
        a_record(4, Kind.SIGNAL, detail="a sentence that somebody wrote"),
        an_end(5, findings=(finding, finding)),
    )
    assert grown(counts, "approvals") == {("approved",): 1, (OTHER,): 1}
    assert grown(counts, "signals") == {("new-tool",): 1, (OTHER,): 1}
    assert grown(counts, "findings") == {("vendor", "redacted"): 2}


@pytest.mark.parametrize(("upstream", "label"), [("files", "files"), ("", ""), ("made-up", OTHER)])
def test_a_label_holds_the_name_of_a_configured_upstream_or_none(upstream: str, label: str) -> None:
    assert {key[0] for key in counted(an_end(upstream=upstream)).counters["calls"]} == {label}


def test_series_beyond_the_most_are_counted_as_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "MOST_SERIES", 2)
    counts = counted(
        *(an_end(number, reason=f"reason-{number}") for number in range(1, 6)), an_end(6, reason="reason-1")
    )
    found = counts.counters["calls"]
    assert sorted(found.values()) == [1, 2, 3]
    assert found[(OTHER,) * 5] == 3


def test_no_label_holds_who_called_what_with_which_values() -> None:
    planted = {
        "principal": "os:planted",
        "client": "planted-client",
        "session": "planted-session",
        "tool": "planted_tool",
        "arguments": {"path": "planted"},
        "detail": "planted words",
        "trace": "planted",
        "rules": ("planted.rule",),
    }
    counts = counted(a_record(1, **planted), an_end(2, **planted), a_record(3, Kind.SIGNAL, **planted))
    assert "planted" not in repr(counts.counters) + repr(counts.histograms)


def test_a_duration_falls_into_the_first_bucket_that_holds_it() -> None:
    histogram = Histogram((0.1, 1))
    for seconds in (0.05, 0.1, 0.5, 2, -3):
        histogram.observe(seconds)
    assert histogram.counts == [3, 1, 1]
    assert histogram.sum == pytest.approx(2.65)
    assert (histogram.count, histogram.least, histogram.most) == (5, 0, 2)


@pytest.mark.parametrize(
    ("found", "label"),
    [("approved", "approved"), (Grade.EXACT, "exact"), (None, OTHER), ("", OTHER), ("A b", OTHER), ("x" * 50, OTHER)],
)
def test_only_short_plain_words_are_labels(found: object, label: str) -> None:
    assert word(found) == label


def test_every_measure_has_its_own_name_and_histograms_have_bounds() -> None:
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)
    for measure in MEASURES:
        assert (measure.sort is Sort.HISTOGRAM) == bool(measure.bounds)
        assert list(measure.bounds) == sorted(measure.bounds)


def test_what_may_be_asked_about_is_there_before_it_happens() -> None:
    told = counted().counters
    assert told["outcomes"] == {(outcome.value,): 0 for outcome in Outcome}
    assert told["signals"][("new-tool",)] == told["approvals"][("expired",)] == told["records"][("leak",)] == 0
    assert told["findings"][("exact", "withheld")] == 0
    for measure in MEASURES:
        assert {len(labels) for labels in measure.first} <= {len(measure.labels)}


def test_every_reason_may_stand_in_a_label() -> None:
    labels: Mapping[Reason, str] = {reason: word(reason) for reason in Reason}
    assert OTHER not in labels.values()
