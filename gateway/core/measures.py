"""What is counted of a gateway: the table of its metrics, and the counts of what the record tells. No I/O here.

No label holds a person, a session, a tool or a value of a call: only words of which there are few.
"""

import re
from bisect import bisect_left
from collections.abc import Collection, Mapping
from datetime import datetime
from enum import Enum

from msgspec import Struct

from gateway.core.model import Act, ApprovalState, Grade, Kind, Outcome, Record
from gateway.core.signals import Signal

OTHER = "other"  # the label of what is one series too many, and of an upstream that isn't configured any more
MOST_SERIES = 2_000  # of one measure
STEPS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300)
CALLS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)  # as the conventions for MCP have them
_WORD = re.compile(r"[a-z][a-z_-]{0,39}")


class Sort(str, Enum):
    """What kind of number a measure is, by its name in Prometheus."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Measure(Struct, frozen=True):
    """One metric: `wardgate_NAME`, without the `_total` that a counter gets when it is told."""

    name: str
    sort: Sort
    text: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()  # of a histogram, in seconds
    first: tuple[tuple[str, ...], ...] = ()  # series that are there at 0, so that their first growth is seen


def _words(of: type[Enum]) -> tuple[tuple[str], ...]:
    return tuple((str(one.value),) for one in of)


_COUNTER, _GAUGE, _HISTOGRAM = Sort.COUNTER, Sort.GAUGE, Sort.HISTOGRAM
MEASURES = (
    Measure("calls", _COUNTER, "calls that ended", ("upstream", "tier", "verdict", "outcome", "reason")),
    Measure("outcomes", _COUNTER, "the same, by outcome alone", ("outcome",), first=_words(Outcome)),
    Measure("call_seconds", _HISTOGRAM, "time on a call, people and upstream included", ("upstream", "tier"), CALLS),
    Measure("step_seconds", _HISTOGRAM, "time of one step of a call: `decide`, `arguments`, `approval` (held for a"
            " person), `intent`, `upstream`, `screen` (the scanner), `release`", ("step",), STEPS),
    Measure("approvals", _COUNTER, "approvals that were opened or settled, by what they became", ("state",),
            first=_words(ApprovalState)),
    Measure("findings", _COUNTER, "secrets that were found in calls and answers", ("grade", "act"),
            first=tuple((grade, act) for (grade,) in _words(Grade) for (act,) in _words(Act))),
    Measure("signals", _COUNTER, "signals that were raised", ("signal",), first=_words(Signal)),
    Measure("records", _COUNTER, "rows that were recorded", ("kind",), first=_words(Kind)),
    Measure("record_lag_seconds", _HISTOGRAM, "time from a call's end until its outcome is durable and counted",
            bounds=STEPS),
    Measure("info", _GAUGE, "1, with the version that runs", ("version",)),
    Measure("start_time_seconds", _GAUGE, "when the gateway opened, in seconds since 1970"),
    Measure("ready", _GAUGE, "1 where `/readyz` says so"),
    Measure("draining", _GAUGE, "1 once the gateway is about to stop"),
    Measure("calls_in_flight", _GAUGE, "calls that run or are held"),
    Measure("http_requests_open", _GAUGE, "HTTP requests that are open, listening ones included"),
    Measure("clients_connected", _GAUGE, "clients on pipes"),
    Measure("sessions", _GAUGE, "sessions of which the counters are at hand, the latest 10,000"),
    Measure("approvals_waiting", _GAUGE, "approvals that wait for a person"),
    Measure("freezes", _GAUGE, "holds that are in force"),
    Measure("changes_held", _GAUGE, "changes of policies or programs that wait until somebody accepts them"),
    Measure("upstreams", _GAUGE, "upstreams, by state", ("state",)),
    Measure("upstream_ready", _GAUGE, "1 where the upstream takes calls", ("upstream",)),
    Measure("record_writable", _GAUGE, "0 while nothing can be recorded, and nothing is forwarded"),
    Measure("record_rows", _GAUGE, "rows on the disk, pruned ones included"),
    Measure("record_queue", _GAUGE, "rows and changes that wait for the disk"),
    Measure("record_size_bytes", _GAUGE, "what the record takes"),
    Measure("record_free_bytes", _GAUGE, "what is free on its disk"),
)  # fmt: skip
OF_THE_RECORD = tuple(measure for measure in MEASURES if measure.sort is not Sort.GAUGE)


class Histogram(Struct):
    """How often which durations were seen: `counts` has one more place than `bounds`, for what is longer."""

    bounds: tuple[float, ...]
    counts: list[int] = []
    sum: float = 0.0
    least: float = float("inf")
    most: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, seconds: float) -> None:
        """Count one duration; a negative one, after the clock went back, as none."""
        if seconds < 0:
            seconds = 0.0
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds
        if seconds < self.least:
            self.least = seconds
        if seconds > self.most:
            self.most = seconds

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)


class Counts:
    """The counts of records, since it was made; `upstreams` are the names that may stand in a label."""

    def __init__(self, upstreams: Collection[str]) -> None:
        self._upstreams = frozenset(upstreams)
        self.counters: dict[str, dict[tuple[str, ...], int]] = {}
        self.histograms: dict[str, dict[tuple[str, ...], Histogram]] = {}
        for measure in OF_THE_RECORD:
            if measure.sort is Sort.HISTOGRAM:
                self.histograms[measure.name] = {}
            else:
                self.counters[measure.name] = dict.fromkeys(measure.first, 0)
        self._bounds = {measure.name: measure.bounds for measure in OF_THE_RECORD}

    def count(self, record: Record, now: datetime) -> None:
        """Count one record that was committed, as seen at `now`."""
        self._one("records", record.kind.value)
        match record.kind:
            case Kind.OUTCOME:
                self._ended(record, now)
            case Kind.APPROVAL:
                self._one("approvals", word(record.extra.get("state")))
            case Kind.SIGNAL:
                self._one("signals", word(record.detail))
            case _:
                pass
        for finding in record.findings:
            self._one("findings", word(finding.grade), word(finding.act))

    def _ended(self, record: Record, now: datetime) -> None:
        self._spent((now - record.at).total_seconds(), "record_lag_seconds")
        upstream = record.upstream if record.upstream in self._upstreams or not record.upstream else OTHER
        self._one("outcomes", record.outcome)
        self._one("calls", upstream, record.tier, record.verdict, record.outcome, record.reason)
        self._spent(spent(record.timings_us), "call_seconds", upstream, record.tier)
        for step, microseconds in record.timings_us.items():
            self._spent(microseconds / 1e6, "step_seconds", step)

    def _one(self, name: str, *labels: str) -> None:
        found = self.counters[name]
        key = labels if labels in found or len(found) < MOST_SERIES else (OTHER,) * len(labels)
        found[key] = found.get(key, 0) + 1

    def _spent(self, seconds: float, name: str, *labels: str) -> None:
        found = self.histograms[name]
        histogram = found.get(labels)
        if histogram is None:
            histogram = found[labels] = Histogram(self._bounds[name])
        histogram.observe(seconds)


def spent(timings_us: Mapping[str, int]) -> float:
    """Seconds that the steps of a call took together."""
    return sum(timings_us.values()) / 1e6


def word(found: object) -> str:
    """A label of what should be a word of few: itself, or `other`."""
    text = found.value if isinstance(found, Enum) else found
    return text if isinstance(text, str) and _WORD.fullmatch(text) else OTHER
