"""Prometheus metrics of one server, prefix `bijecta_`."""

from typing import Protocol
from weakref import ref

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from service.bundle import Manifest
from service.errors import ServiceError
from service.metrics.histogram import Histogram

# The label of every path that is no endpoint's: unknown paths must not make new series.
OTHER = "other"
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ROWS = tuple(4**k for k in range(9))


class HasDepth(Protocol):
    """A queue, as far as metrics read it."""

    @property
    def depth(self) -> int:
        """Rows ahead of a new request."""
        ...


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.requests = Counter(
            "bijecta_requests_total", "Requests answered.", ["endpoint", "code"], registry=registry
        )
        self.failures = Counter(
            "bijecta_request_failures_total",
            "Requests refused or failed.",
            ["endpoint", "reason"],
            registry=registry,
        )
        self.duration = Histogram(
            "bijecta_request_duration_seconds",
            "From the head of a request to the end of its answer.",
            ["endpoint"],
            SECONDS,
        )
        self.in_flight = 0
        Gauge(
            "bijecta_inflight_requests", "Requests being answered now.", registry=registry
        ).set_function(lambda: self.in_flight)
        self.rows = Histogram(
            "bijecta_request_rows",
            "Rows of an answer.",
            ["endpoint", "model"],
            ROWS,
        )
        self.batch_rows = Histogram(
            "bijecta_batch_rows",
            "Rows of a run of a graph.",
            ["model", "graph"],
            tuple(2**k for k in range(15)),
        )
        self.batch_seconds = Histogram(
            "bijecta_batch_duration_seconds",
            "Time that a run of a graph takes.",
            ["model", "graph"],
            SECONDS,
        )
        self.queue_seconds = Histogram(
            "bijecta_queue_duration_seconds",
            "Time that a request waits for its first run.",
            ["model", "graph"],
            SECONDS,
        )
        self.queue_rows = Gauge(
            "bijecta_queue_rows",
            "Rows ahead of a new request.",
            ["model", "graph"],
            registry=registry,
        )
        self.non_finite = Counter(
            "bijecta_nonfinite_outputs_total",
            "Rows whose answer was not a number.",
            ["model"],
            registry=registry,
        )
        self.model_info = Gauge(
            "bijecta_model_info",
            "1 for each loaded model.",
            ["model", "version", "family", "provider"],
            registry=registry,
        )
        for histogram in (
            self.duration,
            self.rows,
            self.batch_rows,
            self.batch_seconds,
            self.queue_seconds,
        ):
            registry.register(histogram)
        self.queues: dict[tuple[str, str], list[ref[HasDepth]]] = {}
        # looking a series up by its labels takes longer than counting
        self._requests: dict[tuple[str, int], Counter] = {}
        self._durations = {OTHER: self.duration.labels(OTHER)}

    def add_endpoint(self, name: str) -> None:
        """Begin the series of an endpoint, which are all there from the start, at zero."""
        self._durations[name] = self.duration.labels(name)
        self.requests.labels(name, "200")
        for kind in ServiceError.__subclasses__():
            self.failures.labels(name, kind.reason)

    def queue(self, model: str, graph: str) -> "QueueMetrics":
        """Where a model's queue for a graph is recorded."""
        return QueueMetrics(self, model, graph)

    def loaded(self, manifest: Manifest, provider: str) -> None:
        """State that a model is loaded."""
        self.non_finite.labels(manifest.name)
        self.model_info.labels(*_info(manifest, provider)).set(1)

    def unloaded(self, manifest: Manifest, provider: str) -> None:
        """State it no more."""
        self.model_info.remove(*_info(manifest, provider))

    def answered(self, endpoint: str, code: int, seconds: float) -> None:
        """A request was answered with a status, 0 for none, so long after its head came."""
        if (requests := self._requests.get((endpoint, code))) is None:
            requests = self.requests.labels(endpoint, str(code) if code else "none")
            self._requests[endpoint, code] = requests
        requests.inc()
        self._durations[endpoint].observe(seconds)

    def request_rows(self, endpoint: str, model: str, rows: int) -> None:
        """An answer of so many rows."""
        self.rows.labels(endpoint, model).observe(rows)

    def exposition(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)


class QueueMetrics:
    """What becomes of one queue, as `service.engine` tells its observer.

    Args:
        metrics: where it is recorded.
        model, graph: its labels.
    """

    def __init__(self, metrics: Metrics, model: str, graph: str) -> None:
        self._rows = metrics.batch_rows.labels(model, graph)
        self._seconds = metrics.batch_seconds.labels(model, graph)
        self._waited = metrics.queue_seconds.labels(model, graph)
        self._depth = metrics.queue_rows.labels(model, graph)
        self._queues = metrics.queues.setdefault((model, graph), [])

    def batch(self, rows: int, seconds: float) -> None:
        """A batch of so many rows took the device so long."""
        self._rows.observe(rows)
        self._seconds.observe(seconds)

    def waited(self, seconds: float) -> None:
        """A request waited so long until the device took its first rows."""
        self._waited.observe(seconds)

    def watch(self, queue: HasDepth) -> None:
        """State how many rows wait in a queue, and in those of the model's other versions."""
        queues = self._queues
        queues[:] = [known for known in queues if known() is not None] + [ref(queue)]
        self._depth.set_function(lambda: sum(q.depth for known in queues if (q := known())))


def _info(manifest: Manifest, provider: str) -> tuple[str, str, str, str]:
    return manifest.name, str(manifest.version), manifest.family, provider
