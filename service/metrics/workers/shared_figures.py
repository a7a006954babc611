"""Counters and histograms in memory that the workers of one server share.

Each worker counts in memory of its own, in place, and reads the sum of all. The memory is the
parent's: what a worker has counted outlives it, whatever ends it, and the one that takes its place
counts on.
"""

import logging
import mmap
from bisect import bisect_left
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from threading import Lock
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from service.metrics.figures import CountFamily, Figures
from service.metrics.histogram import Series
from service.metrics.spec import MetricSpec
from service.metrics.workers.region import Key, Region

log = logging.getLogger(__name__)


class SharedFigures(Figures):
    """Counters and histograms of one of several workers.

    Args:
        own: its number.
        memories: of each worker.
    """

    def __init__(self, own: int, memories: Sequence[mmap.mmap]) -> None:
        self._regions = [Region(memory) for memory in memories]
        self._own = self._regions[own]
        self._lock = Lock()
        self._makes: dict[str, Callable[..., object]] = {}
        self._told = [0] * len(self._regions)
        self._without_room: dict[Key, memoryview[float]] = {}
        self._own.look()

    def series(self, name: str, labels: Sequence[str], bounds: Sequence[float]) -> Series:
        """A histogram, of which `read` gives the sum over all workers."""
        return SharedSeries(self, (name, tuple(labels), tuple(map(float, bounds))))

    def counts(
        self, name: str, labels: Sequence[str], parse: Callable[[str], Any]
    ) -> MutableMapping[Any, float]:
        """Counts, whose `items` are the sums over all workers."""
        return SharedCounts(self, name, tuple(labels), parse)

    def counter(self, spec: MetricSpec, registry: CollectorRegistry) -> CountFamily:
        """The counters of a line of the table."""
        counter = SharedCounter(self, spec)
        registry.register(counter)
        return counter

    def on_found(self, name: str, make: Callable[..., object]) -> None:
        """Have a function called with the label values of series that only others have."""
        self._makes[name] = make

    def look(self) -> None:
        """Find what other workers have begun to count, and what the one before this one had."""
        for number, region in enumerate(self._regions):
            with self._lock:
                region.look()
            keys = region.keys[self._told[number] :]
            self._told[number] += len(keys)
            for name, labels, _ in keys:
                if (make := self._makes.get(name)) is not None:
                    make(*labels)

    def numbers(self, key: Key, count: int) -> "memoryview[float]":
        """The numbers of a key in this worker, zeros where it had none."""
        with self._lock:
            found = self._own.find(key) or self._without_room.get(key)
            if found is None and (found := self._own.make(key, count)) is None:
                if not self._without_room:
                    log.error("the memory of metrics is full: new series are this worker's alone")
                found = self._without_room[key] = memoryview(bytearray(8 * count)).cast("d")
        return found

    def sums(self, key: Key) -> list[float]:
        """The sums over all workers."""
        found = [region.find(key) for region in self._regions]
        columns = [numbers.tolist() for numbers in found if numbers is not None]
        if (own := self._without_room.get(key)) is not None:
            columns.append(own.tolist())
        return [sum(column) for column in zip(*columns, strict=True)]


class SharedSeries(Series):
    """A histogram in shared memory: what `Series` counts, and behind it the two other figures.

    Args:
        figures: of this worker.
        key: of the histogram.
    """

    __slots__ = ("_figures", "_key", "_numbers")

    def __init__(self, figures: SharedFigures, key: Key) -> None:
        self._lock = Lock()
        self.bounds = key[2]
        self._figures = figures
        self._key = key
        self._numbers = figures.numbers(key, len(self.bounds) + 3)

    @property
    def counts(self) -> Any:
        """Of each bucket, in this worker."""
        return self._numbers[:-2]

    @counts.setter
    def counts(self, values: Sequence[float]) -> None:
        for place, value in enumerate(values):
            self._numbers[place] = value

    @property
    def infinite(self) -> float:
        """How many were infinite, in this worker."""
        return self._numbers[-2]

    @infinite.setter
    def infinite(self, value: float) -> None:
        self._numbers[-2] = value

    @property
    def total(self) -> float:
        """Sum of the others, in this worker."""
        return self._numbers[-1]

    @total.setter
    def total(self, value: float) -> None:
        self._numbers[-1] = value

    def observe(self, value: float) -> None:
        """Count a value."""
        with self._lock:
            self.count(value)

    def count(self, value: float) -> None:
        """The same of a histogram to which one thread alone adds."""
        numbers = self._numbers
        numbers[bisect_left(self.bounds, value)] += 1
        numbers[-1] += value

    def read(self) -> tuple[list[float], float, float]:
        """Counts of buckets, how many were infinite, and the sum of the others, of all workers."""
        *counts, infinite, total = self._figures.sums(self._key)
        return counts, infinite, total


class SharedCounts(MutableMapping[Any, float]):
    """Counts by a label: a key has this worker's count, and `items` those of all.

    Args:
        figures: of this worker.
        name: of the metric.
        labels: values of its other labels.
        parse: makes a key of the label's text.
    """

    def __init__(
        self,
        figures: SharedFigures,
        name: str,
        labels: tuple[str, ...],
        parse: Callable[[str], Any],
    ) -> None:
        self._figures = figures
        self._name = name
        self._labels = labels
        self._numbers: dict[Any, memoryview[float]] = {}

    def get(self, key: Any, default: Any = None) -> Any:
        """The count of this worker; in a third of the time that a mapping's own takes."""
        numbers = self._numbers.get(key)
        return default if numbers is None else numbers[0]

    def __getitem__(self, key: Any) -> float:
        return self._numbers[key][0]

    def __setitem__(self, key: Any, value: float) -> None:
        if (numbers := self._numbers.get(key)) is None:
            numbers = self._numbers[key] = self._figures.numbers(self._key(key), 1)
            value += numbers[0]  # of the worker before this one
        numbers[0] = value

    def __delitem__(self, key: Any) -> None:
        raise TypeError("what has been counted stays")

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._numbers))

    def __len__(self) -> int:
        return len(self._numbers)

    def items(self) -> Any:
        """The sums over all workers, by key."""
        return [(key, self._figures.sums(self._key(key))[0]) for key in self]

    def _key(self, key: Any) -> Key:
        return self._name, (*self._labels, str(key)), ()


class SharedCounter(Collector):
    """The counters of one name.

    Args:
        figures: of this worker.
        spec: their line of the table.
    """

    def __init__(self, figures: SharedFigures, spec: MetricSpec) -> None:
        self._figures = figures
        self._spec = spec
        self._counts: dict[tuple[str, ...], _SharedCount] = {}
        figures.on_found(spec.name, self.labels)
        if not spec.labels:
            self.labels()

    def labels(self, *values: str) -> "_SharedCount":
        """The counter of these label values."""
        if (count := self._counts.get(values)) is None:
            numbers = self._figures.numbers((self._spec.name, values, ()), 1)
            count = self._counts[values] = _SharedCount(numbers)
        return count

    def inc(self, amount: float = 1) -> None:
        """Count so many more, where there are no labels."""
        self.labels().inc(amount)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """What Prometheus reads."""
        spec = self._spec
        family = CounterMetricFamily(
            spec.name.removesuffix("_total"), spec.help, labels=spec.labels
        )
        for values in list(self._counts):
            family.add_metric(values, self._figures.sums((spec.name, values, ()))[0])
        yield family


class _SharedCount:
    """One counter, which any thread may add to."""

    def __init__(self, numbers: "memoryview[float]") -> None:
        self._numbers = numbers
        self._lock = Lock()

    def inc(self, amount: float = 1) -> None:
        """Count so many more."""
        with self._lock:
            self._numbers[0] += amount
