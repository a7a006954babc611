"""Series of one version of a model, there as long as it is loaded."""

from collections.abc import Sequence

from prometheus_client import Gauge

from service.metrics.histogram import Histogram, Series
from service.metrics.log_probs import HeldOutLogProb, LogProbs


class ModelSeries:
    """What a version answered, and what its test of drift says.

    Args:
        labels: of the series.
        log_probs, p_values: the histograms of all versions.
        log_prob, p_value: this version's.
        held_out: of this version.
        drift: gauges of all versions: rows, log of the martingale, alarm.
    """

    def __init__(
        self,
        labels: tuple[str, str],
        log_probs: LogProbs,
        p_values: Histogram,
        log_prob: Series,
        p_value: Series,
        held_out: HeldOutLogProb,
        drift: Sequence[Gauge],
    ) -> None:
        self._labels = labels
        self._log_probs = log_probs
        self._held_out = held_out
        self._p_values = p_values
        self._drift = drift
        self._figures: tuple[float, ...] | None = None
        self._is_shown = False
        self.log_prob = log_prob
        self.p_value = p_value

    def set_drift(self, rows: int, log_martingale: float, has_alarm: bool) -> None:
        """State what the test of drift says; of a version without one there are no such series."""
        self._figures = rows, log_martingale, float(has_alarm)
        if self._is_shown:
            self.show()

    def show(self) -> None:
        """Have Prometheus read them."""
        self._is_shown = True
        self._log_probs.put(self._labels, self.log_prob, self._held_out)
        if self._figures is not None:
            self._p_values.put(self._labels, self.p_value)
            for gauge, figure in zip(self._drift, self._figures, strict=True):
                gauge.labels(*self._labels).set(figure)

    def hide(self) -> None:
        """Take them away."""
        self._is_shown = False
        self._log_probs.take_out(self._labels)
        self._p_values.take_out(self._labels)
        if self._figures is not None:
            for gauge in self._drift:
                gauge.remove(*self._labels)
