"""Gauges of several workers: each says its own, and who is asked makes one of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.metrics import state_series
from service.metrics.spec import MetricSpec

Said = Sequence[tuple[str, Sequence[str], float]]
"""Gauges as JSON has them: name, label values, value."""

MERGES: Mapping[str, Callable[[Iterable[float]], float]] = {"sum": sum, "max": max, "min": min}


def as_said(families: Iterable[Metric], specs: Mapping[str, MetricSpec]) -> Said:
    """What one worker says of its gauges.

    Args:
        families: all of its metrics.
        specs: of gauges, by name.
    """
    return [
        (family.name, _values(specs[family.name], sample.labels), sample.value)
        for family in families
        if family.name in specs
        for sample in family.samples
    ]


class Merged:
    """The metrics of all workers, collected as from a registry.

    Args:
        registry: of the one that is asked, whose counters and histograms are of all.
        specs: of gauges, by name.
        others: what the others say.
    """

    def __init__(
        self, registry: Collector, specs: Mapping[str, MetricSpec], others: Sequence[Said]
    ) -> None:
        self._registry = registry
        self._specs = specs
        self._others = others

    def collect(self) -> Iterator[Metric]:
        """What Prometheus reads."""
        said: dict[str, dict[tuple[str, ...], list[float]]] = {}
        for one in self._others:
            for name, labels, value in one:
                said.setdefault(name, {}).setdefault(tuple(labels), []).append(value)
        for family in self._registry.collect():
            spec = self._specs.get(family.name)
            if spec is None:
                yield family
                continue
            of_all = said.get(family.name, {})
            for sample in family.samples:
                of_all.setdefault(_values(spec, sample.labels), []).append(sample.value)
            gauges, merge = spec.gauges(), MERGES[spec.of_workers]
            for values, each in of_all.items():
                gauges.add_metric(values, merge(each))
            yield gauges


def _values(spec: MetricSpec, labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(labels[name] for name in spec.labels)


class WorkerGauges(Collector):
    """How many workers take connections, and how many have been started in place of others.

    Args:
        states: how many are in each of `WORKER_STATES`.
        restarts: since the server began.
    """

    def __init__(
        self, states: Callable[[], Mapping[str, int]], restarts: Callable[[], int]
    ) -> None:
        self._states = states
        self._restarts = restarts

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """What Prometheus reads."""
        workers, counts = state_series.WORKERS.gauges(), self._states()
        for state in state_series.WORKER_STATES:
            workers.add_metric((state,), counts.get(state, 0))
        yield workers
        spec = state_series.WORKER_RESTARTS
        restarts = CounterMetricFamily(spec.name.removesuffix("_total"), spec.help)
        restarts.add_metric((), self._restarts())
        yield restarts
