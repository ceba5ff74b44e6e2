"""What an operator may want to see of a broker, in Prometheus' terms. Nothing is counted unless somebody asked for it.

Requests and syncs are timed as they happen; everything else is looked up when the page is read.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from noetl_stream.broker.api import Api
from noetl_stream.broker.cleaning import CleaningCounters
from noetl_stream.broker.groups import Groups
from noetl_stream.broker.server import Server
from noetl_stream.broker.topic import Topic
from noetl_stream.broker.topics import Topics
from noetl_stream.broker.transactions import Transactions

_PREFIX = "noetl_broker"
_SECONDS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
MOST_TOPICS = 500
"""Topics that have series of their own; those with the least bytes are one, named `_others`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the numbers stand that are looked up."""

    server: Server
    topics: Topics
    groups: Groups
    transactions: Transactions
    cleaned: CleaningCounters


class Metrics:
    """The series of one broker. `page` is their text; `watch` says where to look."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            f"{_PREFIX}_request_seconds",
            "From a request's last byte to its answer; a fetch waits for records.",
            ["api"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._syncs = Histogram(
            f"{_PREFIX}_fsync_seconds",
            "One sweep of fdatasync over all files with new bytes.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._of_api = {api: self._requests.labels(api.name.lower()) for api in Api}

    def answered(self, api: Api, seconds: float) -> None:
        self._of_api[api].observe(seconds)

    def synced(self, seconds: float) -> None:
        self._syncs.observe(seconds)

    def watch(self, sources: Sources) -> None:
        self._registry.register(_Lookup(sources))

    def page(self) -> bytes:
        """Prometheus' text format. Reads the broker's state, so it must run on the broker's loop."""
        return generate_latest(self._registry)


class _Lookup(Collector):
    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        yield from _of_connections(self._sources.server)
        yield from _of_logs(self._sources.topics)
        yield from _of_groups(self._sources.groups)
        ongoing = sum(not transaction.is_idle for transaction in self._sources.transactions)
        yield _gauge("transactions_ongoing", "Transactions that have begun and not ended.", ongoing)
        yield from _of_cleaning(self._sources.cleaned)


def _of_connections(server: Server) -> Iterator[Metric]:
    yield _gauge("connections", "Open connections.", len(server.connections))
    yield _counter("connections_refused", "Connections beyond a limit.", server.connections.refused)
    yield _counter("received_bytes", "Bytes of requests.", server.received_bytes)
    yield _counter("sent_bytes", "Bytes of answers.", server.sent_bytes)


def _of_logs(topics: Topics) -> Iterator[Metric]:
    size = GaugeMetricFamily(f"{_PREFIX}_log_bytes", "Bytes of a topic's logs.", labels=["topic"])
    start = GaugeMetricFamily(
        f"{_PREFIX}_log_start_offset", "Start offsets, summed over the partitions.", labels=["topic"]
    )
    end = GaugeMetricFamily(
        f"{_PREFIX}_high_watermark", "High watermarks, summed over the partitions.", labels=["topic"]
    )
    for name, (bytes_, first, last) in _sums(topics):
        for family, value in ((size, bytes_), (start, first), (end, last)):
            family.add_metric([name], value)
    yield from (size, start, end)


def _sums(topics: Topics) -> Iterator[tuple[str, tuple[int, int, int]]]:
    sums = sorted(((topic.name, _sum(topic)) for topic in topics), key=lambda each: -each[1][0])
    yield from islice(sums, MOST_TOPICS)
    others = [sum(column) for column in zip(*(each for _, each in sums[MOST_TOPICS:]), strict=True)]
    if others:
        yield "_others", (others[0], others[1], others[2])


def _sum(topic: Topic) -> tuple[int, int, int]:
    parts = topic.partitions
    return (
        sum(part.size for part in parts),
        sum(part.start_offset for part in parts),
        sum(part.high_watermark for part in parts),
    )


def _of_groups(groups: Groups) -> Iterator[Metric]:
    family = GaugeMetricFamily(f"{_PREFIX}_groups", "Consumer groups by state.", labels=["state"])
    for state, count in Counter(str(groups.state(group_id)) for group_id in groups).items():
        family.add_metric([state], count)
    yield family


def _of_cleaning(cleaned: CleaningCounters) -> Iterator[Metric]:
    for field in dataclasses.fields(cleaned):
        yield _counter(
            f"cleaner_{field.name}", "Retention and compaction since the start.", getattr(cleaned, field.name)
        )


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", meaning, value=value)


def _counter(name: str, meaning: str, value: float) -> Metric:
    return CounterMetricFamily(f"{_PREFIX}_{name}", meaning, value=value)
