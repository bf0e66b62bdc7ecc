"""Durations as an OpenTelemetry receiver takes them: counted here since this export began, and sent as sums so far.

A sending that fails loses nothing, since the next one holds it all; no row waits for it. Importing this module imports
the SDK.
"""

import time
from collections.abc import Callable, Iterable, Mapping

import requests
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from gateway.core import measures, telemetry
from gateway.core.cef import unix_us
from gateway.core.model import Kind, Record

EVERY = 10.0  # seconds between two sendings
MOST_SERIES = 2_000  # of one metric; what is more is one series
OVERFLOW = (("otel.metric.overflow", True),)  # as the SDK's own would be called
ABOUT = {
    telemetry.SERVER_DURATION: "how long calls took at the gateway, people and upstreams included",
    telemetry.CLIENT_DURATION: "how long upstreams took",
}

_Series = dict[tuple[tuple[str, telemetry.Attribute], ...], measures.Histogram]


class Meter:
    """Counts the calls that ended since it was made, and sends how long they took to `url`."""

    def __init__(
        self,
        url: str,
        session: requests.Session,
        resource: Resource,
        scope: InstrumentationScope,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._exporter = OTLPMetricExporter(endpoint=url, session=session)
        self._resource, self._scope, self._now = resource, scope, now
        self._began, self._sent = now(), now()
        self._series: Mapping[str, _Series] = {name: {} for name in ABOUT}
        self.news = False  # whether something was counted that was not sent

    def count(self, rows: Iterable[Record]) -> None:
        """Count those of the records with which a call ended since this meter began."""
        for record in rows:
            if record.kind is Kind.OUTCOME and unix_us(record.at) * 1000 >= self._began:
                for one in telemetry.durations_of(record):
                    self._observe(one)

    @property
    def due(self) -> bool:
        """Whether it is time to send."""
        return self.news and self._now() - self._sent >= EVERY * 1e9

    def send(self) -> bool:
        """Send everything counted so far, once; whether the SDK calls it taken."""
        self._sent = self._now()
        metrics = [self._metric(name, series) for name, series in self._series.items() if series]
        scoped = ScopeMetrics(scope=self._scope, metrics=metrics, schema_url="")
        data = MetricsData([ResourceMetrics(resource=self._resource, scope_metrics=[scoped], schema_url="")])
        taken = self._exporter.export(data).name == "SUCCESS"
        self.news = self.news and not taken
        return taken

    def close(self) -> None:
        """Let go of the exporter."""
        self._exporter.shutdown()

    def _observe(self, one: telemetry.Duration) -> None:
        series, key = self._series[one.name], tuple(sorted(one.attributes.items()))
        if key not in series and len(series) >= MOST_SERIES:
            key = OVERFLOW
        series.setdefault(key, measures.Histogram(measures.CALLS)).observe(one.seconds)
        self.news = True

    def _metric(self, name: str, series: _Series) -> Metric:
        points = [
            HistogramDataPoint(
                attributes=dict(key),
                start_time_unix_nano=self._began,
                time_unix_nano=self._sent,
                count=histogram.count,
                sum=histogram.sum,
                bucket_counts=histogram.counts,
                explicit_bounds=histogram.bounds,
                min=histogram.least,
                max=histogram.most,
            )
            for key, histogram in series.items()
        ]
        return Metric(name, ABOUT[name], "s", Histogram(points, AggregationTemporality.CUMULATIVE))
