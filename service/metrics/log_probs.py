"""Log-densities that versions answered: as they are, as ranks among held-out rows, and their mean.

All three are read from the one histogram that a version counts in, when Prometheus asks: the ranks
and the mean take nothing of a request.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from service.metrics import series, state_series
from service.metrics.histogram import Histogram, Series


@dataclass(frozen=True)
class HeldOutLogProb:
    """Log-densities of rows that training never saw, in nats.

    Args:
        levels: by quantile, ascending: the largest share of the rows that are at most it.
        mean: of the rows.
        dimensions: of a row.
    """

    levels: Mapping[float, float]
    mean: float
    dimensions: int


class LogProbs(Collector):
    """The series of all versions that are loaded."""

    def __init__(self) -> None:
        self._histogram = Histogram(series.LOG_PROB)
        self._shown: dict[tuple[str, str], tuple[Series, HeldOutLogProb]] = {}

    def put(self, labels: tuple[str, str], counted: Series, held_out: HeldOutLogProb) -> None:
        """Show what a version answered until `take_out`.

        Args:
            labels: model and version.
            counted: its log-densities, between the quantiles of `held_out`.
            held_out: of the version.
        """
        self._histogram.put(labels, counted)
        self._shown[labels] = counted, held_out

    def take_out(self, labels: tuple[str, str]) -> None:
        """Show it no more."""
        self._histogram.take_out(labels)
        self._shown.pop(labels, None)

    def collect(self) -> Iterator[Metric]:
        """What Prometheus reads."""
        yield from self._histogram.collect()
        rank, mean = state_series.LOG_PROB_RANK, state_series.LOG_PROB_PER_DIM
        ranks = HistogramMetricFamily(rank.name, rank.help, labels=rank.labels)
        per_dim = SummaryMetricFamily(mean.name, mean.help, labels=mean.labels)
        means = state_series.HELD_OUT_PER_DIM.gauges()
        for labels, (counted, held_out) in list(self._shown.items()):
            counts, infinite, total = counted.read()
            at_most = list(accumulate(counts))
            bounds = [*map(str, held_out.levels.values()), "+Inf"]
            ranks.add_metric(labels, list(zip(bounds, at_most, strict=True)), None)
            finite = int(at_most[-1] - infinite)
            per_dim.add_metric(labels, finite, total / held_out.dimensions)
            if math.isfinite(held_out.mean):
                means.add_metric(labels, held_out.mean / held_out.dimensions)
        yield from (ranks, per_dim, means)
