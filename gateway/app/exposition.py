"""Metrics in the text format of Prometheus; what they are is in `core/measures.py`. Counts nothing.

Importing this module imports Prometheus's client library.
"""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from gateway.core.measures import MEASURES, Counts, Histogram, Measure, Sort

PREFIX = "wardgate_"


class Told(Collector):
    """One telling of everything."""

    def __init__(self, counts: Counts, gauges: Mapping[str, Mapping[tuple[str, ...], float]]) -> None:
        self._counts, self._gauges = counts, gauges

    def collect(self) -> Iterator[Metric]:
        """Each measure with its series."""
        for measure in MEASURES:
            match measure.sort:
                case Sort.COUNTER:
                    yield _counter(measure, self._counts.counters[measure.name])
                case Sort.GAUGE:
                    yield _gauge(measure, self._gauges.get(measure.name, {}))
                case Sort.HISTOGRAM:
                    yield _histogram(measure, self._counts.histograms[measure.name])


def render(counts: Counts, gauges: Mapping[str, Mapping[tuple[str, ...], float]]) -> tuple[bytes, str]:
    """The metrics of one moment, with those of the process, and their content type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Told(counts, gauges))
    ProcessCollector(registry=registry)
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


def _counter(measure: Measure, series: Mapping[tuple[str, ...], int]) -> Metric:
    family = CounterMetricFamily(PREFIX + measure.name, measure.text, labels=measure.labels)
    for labels, value in list(series.items()):
        family.add_metric(labels, value)
    return family


def _gauge(measure: Measure, series: Mapping[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(PREFIX + measure.name, measure.text, labels=measure.labels)
    for labels, value in series.items():
        family.add_metric(labels, value)
    return family


def _histogram(measure: Measure, series: Mapping[tuple[str, ...], Histogram]) -> Metric:
    family = HistogramMetricFamily(PREFIX + measure.name, measure.text, labels=measure.labels)
    for labels, histogram in list(series.items()):
        so_far, buckets = 0, []
        for bound, count in zip((*map(float, histogram.bounds), "+Inf"), list(histogram.counts), strict=True):
            so_far += count
            buckets.append((str(bound), so_far))
        family.add_metric(labels, buckets, histogram.sum)
    return family
