"""Where the counters and histograms of a server are kept."""

from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter

from service.metrics.histogram import Histogram, Series
from service.metrics.spec import MetricSpec


class Count(Protocol):
    """One counter."""

    def inc(self, amount: float = 1) -> None:
        """Count so many more."""
        ...


class CountFamily(Count, Protocol):
    """The counters of one name: itself, where it has no labels, or one for each label's values."""

    def labels(self, *values: str) -> Count:
        """The counter of these label values, at zero from now on."""
        ...


class Figures:
    """Counters and histograms of one process, which end with it."""

    def series(self, name: str, labels: Sequence[str], bounds: Sequence[float]) -> Series:
        """A histogram.

        Args:
            name: of the metric.
            labels: values.
            bounds: of its buckets, ascending.
        """
        return Series(bounds)

    def histogram(self, spec: MetricSpec) -> Histogram:
        """The histograms of a line of the table."""
        histogram = Histogram(spec, lambda labels, bounds: self.series(spec.name, labels, bounds))
        self.on_found(spec.name, histogram.labels)
        return histogram

    def counts(
        self, name: str, labels: Sequence[str], parse: Callable[[str], Any]
    ) -> MutableMapping[Any, float]:
        """Counts by one more label.

        Args:
            name: of the metric.
            labels: values of the others.
            parse: makes a key of the text of a label's value.
        """
        return {}

    def counter(self, spec: MetricSpec, registry: CollectorRegistry) -> CountFamily:
        """The counters of a line of the table."""
        return Counter(spec.name, spec.help, spec.labels, registry=registry)

    def on_found(self, name: str, make: Callable[..., object]) -> None:
        """Have a function called with the label values of series that only others have."""

    def look(self) -> None:
        """Find what others have begun to count."""
