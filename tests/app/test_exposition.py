"""Metrics as Prometheus reads them: parsed by its own client library."""

from datetime import timedelta
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from gateway.app.exposition import PREFIX, render
from gateway.core.measures import MEASURES, Counts, Sort
from gateway.core.model import Kind
from tests.fakes import NOON, a_record


def told(counts: Counts, gauges: dict[str, dict[tuple[str, ...], float]]) -> dict[str, Any]:
    body, kind = render(counts, gauges)
    assert kind.startswith("text/plain; version=0.0.4")
    return {family.name: family for family in text_string_to_metric_families(body.decode())}


def test_counters_gauges_and_histograms_are_told_as_they_are() -> None:
    counts = Counts(("files",))
    end = a_record(1, Kind.OUTCOME, outcome="ok", timings_us={"decide": 300, "upstream": 40_000})
    counts.count(end, NOON + timedelta(seconds=1.004))
    found = told(counts, {"upstream_ready": {('an "odd" name\n',): 1.0}, "calls_in_flight": {(): 3.0}})
    (calls,) = found["wardgate_calls"].samples
    assert (calls.name, calls.value) == ("wardgate_calls_total", 1)
    assert calls.labels == {"upstream": "files", "tier": "write", "verdict": "allow", "outcome": "ok", "reason": "rule"}
    assert [sample.value for sample in found["wardgate_calls_in_flight"].samples] == [3]
    assert found["wardgate_upstream_ready"].samples[0].labels == {"upstream": 'an "odd" name\n'}
    spent = {
        sample.labels["le"]: sample.value
        for sample in found["wardgate_call_seconds"].samples
        if sample.name.endswith("_bucket")
    }
    assert (spent["0.02"], spent["0.05"], spent["+Inf"]) == (0, 1, 1)
    lag = {sample.name: sample.value for sample in found["wardgate_record_lag_seconds"].samples if not sample.labels}
    assert lag == {"wardgate_record_lag_seconds_count": 1, "wardgate_record_lag_seconds_sum": 0.004}


def test_every_measure_is_told_and_with_the_labels_of_the_table() -> None:
    found = told(Counts(()), {measure.name: {("x",) * len(measure.labels): 1.0} for measure in MEASURES})
    for measure in MEASURES:
        family = found[PREFIX + measure.name]
        assert family.type == measure.sort.value
        if measure.sort is Sort.GAUGE:
            assert tuple(family.samples[0].labels) == measure.labels
