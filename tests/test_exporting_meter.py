"""How long calls take, as an OTLP receiver gets it: sums so far, of calls that ended since the export began."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.core.cef import unix_us
from gateway.core.model import Kind, Reason, Record
from gateway.core.telemetry import CLIENT_DURATION, SERVER_DURATION
from gateway.exporting import Export, Window
from gateway.exporting import meter as metering
from gateway.exporting import otlp as sending
from gateway.records import Records
from gateway.store import open_store
from tests.exports import Never
from tests.fakes import NOON, FakeClock, a_record
from tests.receiver import Receiver, plain, receiver
from tests.store.keep import AT_ONCE
from tests.test_exporting_otlp import Patience

BEGAN = unix_us(NOON + timedelta(seconds=5)) * 1000
TIMES = {"decide": 1_000, "upstream": 29_000}


@pytest.fixture
def far() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


class Clock:
    """Nanoseconds, as far as a test lets them pass."""

    def __init__(self) -> None:
        self.now = BEGAN

    def __call__(self) -> int:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += int(seconds * 1e9)


def an_end(number: int, **more: object) -> Record:
    told = {"outcome": "ok", "release": "full", "transport": "stdio", "timings_us": TIMES}
    return a_record(number, Kind.OUTCOME, **{**told, **more})


def put(state: Path, *records: Record) -> None:
    async def write() -> None:
        async with open_store(state, AT_ONCE) as store:
            for record in records:
                await Records(store, FakeClock()).append(record)

    anyio.run(write)


def follow(state: Path, url: str, said: list[str] | None = None, clock: Clock | None = None) -> None:
    """Export all that there is as one that follows would."""
    export = Export(state, Window(), Never(), print)
    export.begin(None)
    say = (said if said is not None else []).append
    with sending.Receiver(url, state, "feed", Patience(), say, tries=None, now=clock or Clock()) as outlet:
        assert export.run(outlet, lambda: None, follow=False)


def points(metric: Any) -> list[tuple[dict[str, Any], int, float]]:
    return [(plain(point.attributes), point.count, point.sum) for point in metric.histogram.data_points]


def test_a_call_is_measured_by_the_names_of_the_conventions(tmp_path: Path, far: Receiver) -> None:
    put(tmp_path / "state", a_record(6), an_end(7), an_end(8))
    follow(tmp_path / "state", far.url)
    (told,) = far.metrics
    server, client = told[SERVER_DURATION], told[CLIENT_DURATION]
    about = {
        "mcp.method.name": "tools/call",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "write_file",
        "wardgate.upstream": "files",
        "wardgate.tier": "write",
        "wardgate.outcome": "ok",
    }
    here = {**about, "network.transport": "pipe", "wardgate.verdict": "allow"}
    assert points(server) == [(here, 2, pytest.approx(0.06))]
    assert points(client) == [(about, 2, pytest.approx(0.058))]
    assert (server.unit, server.histogram.aggregation_temporality) == ("s", 2)  # cumulative
    (point,) = server.histogram.data_points
    assert (point.start_time_unix_nano, point.min, point.max) == (BEGAN, pytest.approx(0.03), pytest.approx(0.03))
    assert point.bucket_counts[list(point.explicit_bounds).index(0.05)] == 2
    assert far.resources[-1]["service.instance.id"] == "feed"


def test_what_ended_before_the_export_began_is_in_logs_and_spans_alone(tmp_path: Path, far: Receiver) -> None:
    put(tmp_path / "state", an_end(1), an_end(4))
    follow(tmp_path / "state", far.url)
    assert (len(far.logs), len(far.spans), far.metrics) == (2, 2, [])


def test_an_export_that_ends_sends_no_metrics(tmp_path: Path, far: Receiver) -> None:
    put(tmp_path / "state", an_end(7))
    export = Export(tmp_path / "state", Window(), Never(), print)
    export.begin(None)
    with sending.Receiver(far.url, tmp_path / "state", "feed", Patience(), print, now=Clock()) as outlet:
        assert export.run(outlet, lambda: None, follow=False)
    assert far.metrics == []


def test_a_receiver_that_takes_no_metrics_is_told_of_once_and_rows_go_on(tmp_path: Path, far: Receiver) -> None:
    put(tmp_path / "state", an_end(7))
    far.unmeasured = (404, {}, b"")
    said: list[str] = []
    clock = Clock()
    with sending.Receiver(
        far.url, tmp_path / "state", "feed", Patience(), said.append, tries=None, now=clock
    ) as outlet:
        for _ in range(3):
            export = Export(tmp_path / "state", Window(), Never(), print)
            export.begin(None)
            assert export.run(outlet, lambda: None, follow=False)
            clock.pass_by(metering.EVERY + 1)
            outlet.rest()
        assert len(said) == 1
        assert "takes no metrics (HTTP 404)" in said[0]
        assert len(far.logs) == 3
        far.unmeasured = None
        clock.pass_by(metering.EVERY + 1)
        outlet.rest()
        assert [points(told[SERVER_DURATION])[0][1] for told in far.metrics] == [3]  # nothing of it was lost
        far.unmeasured = (500, {}, b"")
    assert len(said) == 1  # there was nothing new to send at the end


def test_metrics_go_out_now_and_then_and_at_the_end(tmp_path: Path, far: Receiver) -> None:
    put(tmp_path / "state", an_end(7))
    clock = Clock()
    with sending.Receiver(far.url, tmp_path / "state", "feed", Patience(), print, tries=None, now=clock) as outlet:
        outlet._meter.count([an_end(7)])  # type: ignore[union-attr]  # a follower has one
        outlet.rest()
        assert far.metrics == []
        clock.pass_by(metering.EVERY)
        outlet.rest()
        outlet.rest()
        assert len(far.metrics) == 1
        outlet._meter.count([an_end(8)])  # type: ignore[union-attr]  # as above
    assert [points(told[SERVER_DURATION])[0][1] for told in far.metrics] == [1, 2]


def test_made_up_names_and_sessions_make_no_series(tmp_path: Path, far: Receiver) -> None:
    unknown = {"upstream": "", "reason": Reason.UNKNOWN_TOOL.value, "outcome": "blocked", "timings_us": {"decide": 5}}
    put(tmp_path / "state", *(an_end(7 + n, tool=f"planted_{n}", session=f"s{n}", **unknown) for n in range(5)))
    follow(tmp_path / "state", far.url)
    (told,) = far.metrics
    assert CLIENT_DURATION not in told
    ((about, count, _),) = points(told[SERVER_DURATION])
    assert (count, about["error.type"]) == (5, "unknown-tool")
    assert "planted" not in repr(about)


def test_series_beyond_the_most_are_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, far: Receiver) -> None:
    monkeypatch.setattr(metering, "MOST_SERIES", 2)
    put(tmp_path / "state", *(an_end(7 + n, tool=f"tool_{n}") for n in range(5)))
    follow(tmp_path / "state", far.url)
    (told,) = far.metrics
    counts = {tuple(about): count for about, count, _ in points(told[SERVER_DURATION])}
    assert counts[("otel.metric.overflow",)] == 3
