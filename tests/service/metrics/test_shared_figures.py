"""Counters and histograms of several workers: their sum is what one of one process would be."""

import mmap
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from service.metrics import STAGES, HeldOutLogProb, Metrics, SharedFigures
from service.metrics.workers.region import Region
from tests.helpers.examples import examples
from tests.helpers.http import metric_of

BYTES = 2**20
HELD_OUT = HeldOutLogProb({-3.0: 0.01, -2.0: 0.5}, -2.2, 2)


class NoProcesses(Collector):
    def collect(self) -> Iterator[Metric]:
        return iter(())


def memories(count: int, size: int = BYTES) -> list[mmap.mmap]:
    return [mmap.mmap(-1, size) for _ in range(count)]


def of_worker(number: int, shared: list[mmap.mmap]) -> Metrics:
    return Metrics(SharedFigures(number, shared), NoProcesses())


class Counting:
    """A process that counts."""

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.versions = {model: metrics.model_series(model, 1, HELD_OUT) for model in "ab"}
        for version in self.versions.values():
            version.show()

    def act(self, what: int, value: float) -> None:
        """Count one thing of several kinds."""
        metrics, model = self.metrics, "ab"[what % 2]
        if what < 4:
            code = (200, 200, 422, 499)[what]
            metrics.requests.answered("score", model, code, value, 7, [value] * len(STAGES))
        elif what < 6:
            metrics.requests.failed("sample", model, "overloaded")
            metrics.turned_away(429, "overloaded")
        elif what < 8:
            metrics.queue(model, "encode").batch(5, value)
            metrics.non_finite.labels(model).inc(3)
        else:
            metrics.remote_bytes.inc(value)
            log_probs = np.array([value, -value, -np.inf, np.nan] * (1 if what == 8 else 9))
            self.versions[model].log_prob.observe_all(log_probs)


def counted(text: str) -> list[str]:
    """The lines of counters and histograms, in no order."""
    kinds = dict[str, str]()
    lines = list[str]()
    for line in text.splitlines():
        if line.startswith("# TYPE"):
            _, _, name, kind = line.split()
            kinds[name] = kind
        elif not line.startswith(("#", "process_", "python_")) and "_created" not in line:
            name = line.partition("{")[0].partition(" ")[0]
            if kinds.get(name) != "gauge":  # lines of a histogram have other names than it
                lines.append(line)
    return sorted(lines)


acts = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 9), st.sampled_from([0.001, 0.5, 2.0, 40.0])),
    max_size=30,
)


@examples(15)
@given(acts, st.integers(0, 2), st.integers(0, 2))
def test_the_sum_of_workers_is_what_one_process_counts(
    steps: list[tuple[int, int, float]], asked: int, killed: int
) -> None:
    shared, alone = memories(3), Counting(Metrics(processes=NoProcesses()))
    workers = [Counting(of_worker(number, shared)) for number in range(3)]
    half = len(steps) // 2
    for place, (number, what, value) in enumerate(steps):
        if place == half:
            workers[killed] = Counting(of_worker(killed, shared))
        workers[number].act(what, value)
        alone.act(what, value)
    of_all = counted(workers[asked].metrics.exposition([]).decode())
    assert of_all == counted(alone.metrics.exposition().decode())


def test_gauges_are_added_or_the_least_or_the_largest_as_fits() -> None:
    shared = memories(2)
    one, two = of_worker(0, shared), of_worker(1, shared)
    one.in_flight, two.in_flight = 2, 3
    one.keys_readable.set(0)
    one.remote_versions.labels("held").set(4)
    two.remote_versions.labels("held").set(5)
    for asked, other in ((one, two), (two, one)):
        text = asked.exposition([other.gauges()]).decode()
        assert metric_of(text, "bijecta_inflight_requests") == 5
        assert metric_of(text, "bijecta_keys_readable") == 0
        assert metric_of(text, "bijecta_remote_versions", state="held") == 5
        assert text.count("# TYPE bijecta_inflight_requests ") == 1


def test_what_a_killed_worker_left_half_written_is_no_count() -> None:
    (memory,) = memories(1)
    region = Region(memory)
    kept = region.make(("kept", ("a",), ()), 1)
    assert kept is not None
    kept[0] = 3.0
    end = memoryview(memory).cast("Q")[0]
    memory[end + 8 : end + 508] = 500 * b"\xff"  # of an entry that the head does not know
    again = Region(memory)
    again.look()
    assert again.keys == [("kept", ("a",), ())]
    made = again.make(("new", ("b",), (0.5,)), 4)
    assert made is not None
    assert made.tolist() == 4 * [0.0]
    region.look()
    assert region.keys == again.keys
    found = region.find(("kept", ("a",), ()))
    assert found is not None
    assert found.tolist() == [3.0]


def test_where_the_memory_is_full_the_rest_is_counted_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    figures = SharedFigures(0, memories(1, 4096))
    for number in range(200):
        counts = figures.counts("bijecta_requests_total", ("score", f"model-{number}"), int)
        counts[200] = counts.get(200, 0) + 1
        assert dict(counts.items()) == {200: 1}
    assert sum("memory of metrics is full" in record.message for record in caplog.records) == 1
