"""What a server is and holds, and its limits, read when Prometheus asks."""

import platform
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version

import onnxruntime
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.metrics import state_series
from service.metrics.spec import MetricSpec
from service.settings import Settings


class ServerState(Collector):
    """The gauges of one server.

    Args:
        settings: have the limits.
        is_ready: whether requests should be sent to it.
        versions: how many of the store are in each of `VERSION_STATES`; others are in none.
        loaded_bytes: of the files of loaded versions.
        certificate_expiry: in seconds since 1970; None without one.
    """

    def __init__(
        self,
        settings: Settings,
        is_ready: Callable[[], bool],
        versions: Callable[[], Mapping[str, int]],
        loaded_bytes: Callable[[], int],
        certificate_expiry: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._is_ready = is_ready
        self._versions = versions
        self._loaded_bytes = loaded_bytes
        self._certificate_expiry = certificate_expiry
        self._limits = {
            state_series.INFLIGHT_LIMIT: settings.max_inflight,
            state_series.CONNECTIONS_LIMIT: settings.max_connections,
            state_series.UNSENT_LIMIT: settings.max_unsent_mib * 2**20,
            state_series.BODY_LIMIT: settings.max_body,
            state_series.ROWS_LIMIT: settings.max_rows,
        }

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What Prometheus reads."""
        build = state_series.BUILD_INFO.gauges()
        build.add_metric(
            (version("bijecta"), platform.python_version(), onnxruntime.__version__), 1
        )
        yield build
        states, counts = state_series.STORE_VERSIONS.gauges(), self._versions()
        for state in state_series.VERSION_STATES:
            states.add_metric((state,), counts.get(state, 0))
        yield states
        yield _gauge(state_series.READY, self._is_ready())
        yield _gauge(state_series.LOADED_BYTES, self._loaded_bytes())
        if (expiry := self._certificate_expiry()) is not None:
            yield _gauge(state_series.CERTIFICATE_EXPIRY, expiry)
        for spec, limit in self._limits.items():
            yield _gauge(spec, limit)


def _gauge(spec: MetricSpec, value: float) -> GaugeMetricFamily:
    gauge = spec.gauges()
    gauge.add_metric((), value)
    return gauge
