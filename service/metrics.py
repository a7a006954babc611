"""Prometheus metrics of one server, prefix `bijecta_`."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from service.errors import ServiceError
from service.store import Store

ENDPOINTS = ("log_prob", "encode", "decode", "sample", "interpolate")
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ROWS = tuple(4**k for k in range(9))


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
            buckets=SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "bijecta_inflight_requests", "Requests being answered now.", registry=registry
        )
        self.rows = Histogram(
            "bijecta_request_rows",
            "Rows of an answer.",
            ["endpoint", "model"],
            buckets=ROWS,
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
        for endpoint in ENDPOINTS:  # every series is there from the start, at zero
            self.duration.labels(endpoint)
            self.requests.labels(endpoint, "200")
            for kind in ServiceError.__subclasses__():
                self.failures.labels(endpoint, kind.reason)

    def describe(self, store: Store) -> None:
        """State the models that a store has loaded."""
        for name, versions in store.models.items():
            self.non_finite.labels(name)
            for version, model in versions.items():
                labels = (name, str(version), model.manifest.family, model.engine.provider)
                self.model_info.labels(*labels).set(1)

    def exposition(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)


def endpoint_label(path: str) -> str:
    """The label of a URL's path, of a closed set: unknown paths must not make new series."""
    name = path.strip("/")
    return name if name in ENDPOINTS else "other"
