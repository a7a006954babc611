"""Prometheus metrics of one server, prefix `bijecta_`."""

from collections.abc import Callable, Sequence
from typing import Protocol

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.registry import Collector

from service.bundle import UNSAFE_KINDS, AnyManifest
from service.metrics import series, state_series
from service.metrics.figures import CountFamily, Figures
from service.metrics.histogram import Histogram, Series
from service.metrics.log_probs import HeldOutLogProb, LogProbs
from service.metrics.model_series import ModelSeries
from service.metrics.requests import RequestMetrics, reasons
from service.metrics.spec import MetricSpec
from service.metrics.workers import Merged, Said, as_said

LOG_LEVELS = ("debug", "info", "warning", "error", "critical")

LOAD_OUTCOMES = ("loaded", "refused", "unreadable", "given up")

# Of answers that turn a request away: who asks may not, or not now, or not for so much.
REJECTION_STATUSES = frozenset({401, 403, 408, 413, 421, 429, 431, 503})

# Why a server closes a connection before its caller does.
CLOSE_REASONS = (
    "body-timeout",
    "displaced",
    "head-timeout",
    "head-too-large",
    "idle",
    "malformed-body",
    "read-ahead",
    "stop",
    "too-many",
    "unavailable",
    "write-timeout",
)


class HasDepth(Protocol):
    """A queue, as far as metrics read it.

    Attributes:
        capacity: rows that may wait.
    """

    capacity: int

    @property
    def depth(self) -> int:
        """Rows ahead of a new request."""
        ...


GAUGES = {spec.name: spec for spec in series.METRICS if spec.kind == "gauge"}


class Metrics:
    """The metrics of one server, in a registry of their own; `series` has their table.

    Args:
        figures: where counters and histograms are kept; None for here.
        processes: the collector of the server's processes; None for that of this one.
    """

    def __init__(self, figures: Figures | None = None, processes: Collector | None = None) -> None:
        self._figures = figures or Figures()
        self.registry = CollectorRegistry()
        PlatformCollector(registry=self.registry)
        if processes is None:
            ProcessCollector(registry=self.registry)
            GCCollector(registry=self.registry)
        else:  # collections of workers that have ended would be missing
            self.registry.register(processes)
        self.requests = RequestMetrics(self._figures)
        """Of those that have become requests."""
        self.registry.register(self.requests)
        self._rejections = self._counter(series.REJECTIONS)
        for reason, status in reasons().items():
            if status in REJECTION_STATUSES:
                self._rejections.labels(reason)
        self.in_flight = 0
        self._gauge(series.IN_FLIGHT).set_function(lambda: self.in_flight)
        self.inflight_bytes = self._gauge(series.INFLIGHT_BYTES)
        self.run_rows = self._histogram(series.RUN_ROWS)
        self.run_seconds = self._histogram(series.RUN_SECONDS)
        self.queue_seconds = self._histogram(series.QUEUE_SECONDS)
        self._queue_rows = self._gauge(series.QUEUE_ROWS)
        self._queue_capacity = self._gauge(state_series.QUEUE_CAPACITY)
        self._log_records = self._counter(series.LOG_RECORDS)
        for level in LOG_LEVELS:
            for outcome in ("written", "counted"):
                self._log_records.labels(level, outcome)
        self._request_log_lines = self._counter(series.REQUEST_LOG_LINES)
        for outcome in ("written", "dropped"):
            self._request_log_lines.labels(outcome)
        self._spans = self._counter(series.TRACE_SPANS)
        for outcome in ("sent", "lost"):
            self._spans.labels(outcome)
        self.non_finite = self._counter(series.NON_FINITE)
        self._model_info = self._gauge(series.MODEL_INFO)
        self._model_threads = self._gauge(state_series.MODEL_THREADS)
        self._log_probs = LogProbs()
        self.registry.register(self._log_probs)
        self._p_value = Histogram(series.P_VALUE)
        self.registry.register(self._p_value)
        self._drift = tuple(
            self._gauge(spec) for spec in (series.WATCHED_ROWS, series.DRIFT, series.DRIFT_ALARM)
        )
        self.store_readable = self._gauge(series.STORE_READABLE)
        self.remote_readable = self._gauge(series.REMOTE_READABLE)
        self.remote_readable.set(1)
        self.remote_versions = self._gauge(series.REMOTE_VERSIONS)
        for state in ("held", "refused"):
            self.remote_versions.labels(state)
        self.remote_bytes = self._counter(series.REMOTE_BYTES)
        self.keys_readable = self._gauge(series.KEYS_READABLE)
        self.keys_readable.set(1)
        self.loads = self._counter(series.LOADS)
        for outcome in LOAD_OUTCOMES:
            self.loads.labels(outcome)
        self.bundle_refusals = self._counter(series.BUNDLE_REFUSALS)
        for kind in (*UNSAFE_KINDS, "other"):
            self.bundle_refusals.labels(kind)
        self.granted_cpus = self._gauge(series.GRANTED_CPUS)
        self.threads = self._gauge(series.THREADS)
        self.connections = ConnectionMetrics(
            self._gauge(series.CONNECTIONS),
            self._counter(series.CONNECTIONS_CLOSED),
            self._gauge(series.UNSENT_BYTES),
        )
        self._queues: dict[tuple[str, str], list[HasDepth]] = {}

    def queue(self, model: str, graph: str) -> "QueueMetrics":
        """The metrics of a model's queue for one graph."""
        queues = self._queues.setdefault((model, graph), [])
        # a model's versions share the series
        self._queue_rows.labels(model, graph).set_function(lambda: sum(q.depth for q in queues))
        capacity = self._queue_capacity.labels(model, graph)
        capacity.set_function(lambda: sum(q.capacity for q in queues))
        return QueueMetrics(
            rows=self.run_rows.labels(model, graph),
            seconds=self.run_seconds.labels(model, graph),
            waits=self.queue_seconds.labels(model, graph),
            queues=queues,
        )

    def model_series(self, name: str, version: int, held_out: HeldOutLogProb) -> ModelSeries:
        """Series of a version of a model, which are not shown yet.

        Args:
            name, version: its labels.
            held_out: of the version, which bounds its histogram of log_prob.
        """
        labels, make = (name, str(version)), self._figures.series
        log_prob = make(series.LOG_PROB.name, labels, list(held_out.levels))
        p_value = make(series.P_VALUE.name, labels, series.P_VALUES)
        shown = self._log_probs, self._p_value, log_prob, p_value
        return ModelSeries(labels, *shown, held_out, self._drift)

    def loaded(self, manifest: AnyManifest, provider: str, threads: int) -> None:
        """State that a model is loaded, on how many threads."""
        self.non_finite.labels(manifest.name)
        self._model_info.labels(*_info(manifest, provider)).set(1)
        self._model_threads.labels(manifest.name, str(manifest.version)).set(threads)

    def unloaded(self, manifest: AnyManifest, provider: str) -> None:
        """State that a model is loaded no more."""
        self._model_info.remove(*_info(manifest, provider))
        self._model_threads.remove(manifest.name, str(manifest.version))

    def turned_away(self, status: int, reason: str) -> None:
        """Count a request that was refused, where its status says that it was turned away."""
        if status in REJECTION_STATUSES:
            self._rejections.labels(reason).inc()

    def logged(self, level: str, written: bool) -> None:
        """A record of the log, which was written, or counted as one of a kind that had been."""
        self._log_records.labels(level.lower(), "written" if written else "counted").inc()

    def request_lines(self, count: int, written: bool) -> None:
        """Lines of the log of requests were written, or dropped."""
        self._request_log_lines.labels("written" if written else "dropped").inc(count)

    def spans(self, count: int, sent: bool) -> None:
        """Spans of traces were sent to a collector, or are lost."""
        self._spans.labels("sent" if sent else "lost").inc(count)

    def exposition(self, others: Sequence[Said] | None = None) -> bytes:
        """The text that Prometheus reads.

        Args:
            others: what `gauges` of other workers said; None where there are none.
        """
        self._figures.look()
        if others is None:
            return generate_latest(self.registry)
        return generate_latest(Merged(self.registry, GAUGES, others))

    def gauges(self) -> Said:
        """What the gauges are now, for `exposition` of another worker."""
        return as_said(self.registry.collect(), GAUGES)

    def _counter(self, spec: MetricSpec) -> CountFamily:
        return self._figures.counter(spec, self.registry)

    def _gauge(self, spec: MetricSpec) -> Gauge:
        return Gauge(spec.name, spec.help, spec.labels, registry=self.registry)

    def _histogram(self, spec: MetricSpec) -> Histogram:
        histogram = self._figures.histogram(spec)
        self.registry.register(histogram)
        return histogram


class ConnectionMetrics:
    """The metrics of all connections.

    Args:
        open_now: how many there are.
        closed: how many were closed, by reason.
        unsent: bytes of answers.
    """

    def __init__(self, open_now: Gauge, closed: CountFamily, unsent: Gauge) -> None:
        self._unsent = unsent
        self._open_now = open_now
        self._closed = closed
        for reason in CLOSE_REASONS:
            closed.labels(reason)

    def watch(self, count: Callable[[], int], unsent: Callable[[], int]) -> None:
        """Have functions count open connections and the bytes of answers that were not taken."""
        self._open_now.set_function(count)
        self._unsent.set_function(unsent)

    def closed(self, reason: str) -> None:
        """A connection was closed by the server.

        Args:
            reason: one of `CLOSE_REASONS`.
        """
        self._closed.labels(reason).inc()


class QueueMetrics:
    """The metrics of one queue, which reports to it.

    Args:
        rows: of batches.
        seconds: of batches.
        waits: seconds that requests wait.
        queues: whose depths and capacities are added up: of every loaded version of the model.
    """

    def __init__(
        self, rows: Series, seconds: Series, waits: Series, queues: list[HasDepth]
    ) -> None:
        self._rows = rows
        self._seconds = seconds
        self._waits = waits
        self._queues = queues

    def batch(self, rows: int, seconds: float) -> None:
        """A batch of that many rows took the device that many seconds."""
        self._rows.observe(rows)
        self._seconds.observe(seconds)

    def waited(self, seconds: float) -> None:
        """A request waited that many seconds until the device took its first rows."""
        self._waits.observe(seconds)

    def watch(self, queue: HasDepth) -> None:
        """Add a queue to the gauges, until `unwatch`."""
        self._queues.append(queue)

    def unwatch(self, queue: HasDepth) -> None:
        """Take a queue out of the gauges."""
        self._queues.remove(queue)


def _info(manifest: AnyManifest, provider: str) -> tuple[str, str, str, str, str]:
    version, checksum = str(manifest.version), manifest.checksum
    return manifest.name, version, manifest.family, provider, checksum
