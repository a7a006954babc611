"""What is said of one metric."""

from dataclasses import dataclass
from typing import Literal

from prometheus_client.core import GaugeMetricFamily


@dataclass(frozen=True)
class MetricSpec:
    """One metric.

    Args:
        name: in Prometheus.
        kind: its type in Prometheus.
        labels: their names.
        unit: of its values.
        help: what it counts or measures, one sentence.
        bounds: upper bounds of a histogram's buckets, ascending.
        of_workers: what a gauge of several workers is of those of each.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram", "summary"]
    labels: tuple[str, ...]
    unit: str
    help: str
    bounds: tuple[float, ...] = ()
    of_workers: Literal["sum", "max", "min"] = "max"

    def gauges(self) -> GaugeMetricFamily:
        """Its gauges, none yet, for a collector to fill in."""
        return GaugeMetricFamily(self.name, self.help, labels=self.labels)
