"""Batches in memory of a device that is the CPU: as on a GPU, but for CUDA."""

import json
import logging
import random
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from service.bundle import Tensor, read_flow
from service.engine import bound_runs, gpu_graph
from service.engine.gpu_graph import GpuGraph
from service.graphs import read_graph
from service.runtime import Device
from service.runtime.cancellation import Cancellation
from service.types import Arrays
from tests.helpers.gpus import HostMemory

STORED = Path(__file__).parents[2] / "stored" / "format_1" / "store"
FAMILIES = sorted(path.name for path in STORED.iterdir())
# between them context, images, float64, loops, and each kind of layer
FEW = ("gaussianization-context", "glow-images", "iaf", "maf-digits", "maf-steep", "mintnet-rows",
       "realnvp", "wavenet")  # fmt: skip

Make = Callable[..., GpuGraph]


@cache
def tensors_of(name: str, graph: str) -> dict[str, Tensor]:
    return dict(read_flow(STORED / name / "1").tensors[graph])


@cache
def session_of(name: str, graph: str) -> onnxruntime.InferenceSession:
    return Device.choose("cpu").session((STORED / name / "1" / f"{graph}.onnx").read_bytes())


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Make a graph that captures, as far as it knows; closed at the end."""
    made: list[GpuGraph] = []
    monkeypatch.setattr(gpu_graph, "captures_graphs", lambda _: True)

    def make_one(name: str, graph: str, *memories: HostMemory | None) -> GpuGraph:
        session, options = session_of(name, graph), Cancellation().run_options()
        sessions = [session for _ in memories]
        made.append(GpuGraph(sessions, memories, 0, tensors_of(name, graph), options))
        return made[-1]

    yield make_one
    for one in made:
        one.close()


def rows_of(name: str, graph: str, rows: int, seed: int) -> Arrays:
    random = np.random.default_rng(seed)
    inputs = {source.name for source in session_of(name, graph).get_inputs()}
    return {
        name: random.uniform(0.2, 0.8, (rows, *tensor.row_shape)).astype(tensor.type)
        for name, tensor in tensors_of(name, graph).items()
        if name in inputs
    }


def plain(name: str, graph: str, feeds: Arrays) -> Arrays:
    session = session_of(name, graph)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


@pytest.mark.parametrize(
    "name",
    [name if name in FEW else pytest.param(name, marks=pytest.mark.long) for name in FAMILIES],
)
@pytest.mark.parametrize("graph", ["encode", "decode"])
def test_answers_are_those_of_onnxruntime(name: str, graph: str, make: Make) -> None:
    memory = HostMemory()
    bound = make(name, graph, memory)
    every = rows_of(name, graph, 33, seed=0)
    expected = plain(name, graph, every)
    copied = memory.copied
    for start, stop in ((0, 1), (5, 22), (0, 33), (32, 33), (5, 22)):
        feeds = {key: values[start:stop] for key, values in every.items()}
        for names in (tuple(expected), ("log_prob",)):
            found = bound(feeds, names)
            assert tuple(found) == names
            for key in names:
                assert found[key].dtype == expected[key].dtype
                np.testing.assert_allclose(
                    found[key], expected[key][start:stop], rtol=1e-4, atol=1e-4
                )
    assert memory.copied > copied


def test_memory_is_flat_over_any_sequence_of_sizes(make: Make) -> None:
    memory = HostMemory()
    graph = make("maf", "encode", memory)
    sizes = random.Random(0)
    feeds = rows_of("maf", "encode", 64, seed=1)
    expected = plain("maf", "encode", feeds)["log_prob"]
    for rows in (64, 32, 16, 8, 4, 2, 1):
        graph({"x": feeds["x"][:rows]}, ("log_prob",))
    left = memory.left
    for _ in range(300):
        rows = sizes.randint(1, 64)
        found = graph({"x": feeds["x"][:rows]}, ("log_prob",))["log_prob"]
        np.testing.assert_allclose(found, expected[:rows], atol=1e-5)
    assert memory.left == left


@pytest.mark.parametrize("short", [0, 2**20])
def test_rows_that_fill_a_batch_up_are_its_first(
    short: int, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bound_runs, "SHORT_BYTES", short)
    memory = HostMemory()
    graph = make("maf", "encode", memory)
    x = rows_of("maf", "encode", 5, seed=0)["x"]
    graph({"x": x}, ("z",))
    (runs,) = graph._gpus[0]._bound.values()
    there = memory.kept[runs._addresses["x"]][: 8 * x[0].nbytes].view(x.dtype).reshape(8, -1)
    np.testing.assert_array_equal(there, np.concatenate([x, x[:1], x[:1], x[:1]]))


def test_answers_stay_when_the_memory_is_used_again(make: Make) -> None:
    graph = make("maf", "encode", HostMemory())
    one, other = (rows_of("maf", "encode", 4, seed) for seed in (0, 1))
    first = graph(one, ("z", "log_prob"))
    kept = {name: values.copy() for name, values in first.items()}
    graph(other, ("z", "log_prob"))
    for name, values in first.items():
        np.testing.assert_array_equal(values, kept[name])
        values += 1  # and are the caller's own


def test_large_batches_are_copied_beside_other_threads(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bound_runs, "SHORT_BYTES", 0)
    feeds = rows_of("maf", "encode", 5, seed=0)
    found = make("maf", "encode", HostMemory())(feeds, ("z",))["z"]
    np.testing.assert_allclose(found, plain("maf", "encode", feeds)["z"], atol=1e-5)


def test_batches_of_many_threads_do_not_mix(make: Make) -> None:
    memories = HostMemory(), HostMemory()
    graph = make("maf-context", "encode", *memories)
    before = [memory.copied for memory in memories]
    faults: list[str] = []

    def work(seed: int) -> None:
        feeds = rows_of("maf-context", "encode", 3 + seed, seed)
        expected = plain("maf-context", "encode", feeds)
        for _ in range(30):
            found = graph(feeds, ("z", "log_prob"))
            if not bound_runs.are_same(expected, found):
                faults.append(f"thread {seed}")

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not faults
    assert all(memory.copied > was for memory, was in zip(memories, before, strict=True))


def test_a_batch_goes_to_the_gpu_that_has_the_fewest(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = make("maf", "encode", HostMemory(), HostMemory())
    entered, leave = threading.Event(), threading.Event()
    busy, free = graph._gpus
    run = busy._run_taken

    def held(*arguments: Any) -> Arrays:
        entered.set()
        assert leave.wait(10)
        return run(*arguments)

    monkeypatch.setattr(busy, "_run_taken", held)
    feeds = rows_of("maf", "encode", 2, seed=0)
    thread = threading.Thread(target=graph, args=(feeds, ("z",)))
    thread.start()
    assert entered.wait(10)
    assert (busy.batches, free.batches) == (1, 0)
    for _ in range(3):
        graph(feeds, ("z",))  # would wait for ever on the other
    leave.set()
    thread.join(10)
    assert (busy.batches, free.batches) == (0, 0)


def test_without_memory_batches_go_by_onnxruntimes_own_copies(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    feeds = rows_of("maf", "encode", 5, seed=0)
    expected = plain("maf", "encode", feeds)["z"]
    np.testing.assert_allclose(make("maf", "encode", None)(feeds, ("z",))["z"], expected, atol=1e-5)
    small = make("maf", "encode", HostMemory(200))  # enough for a row
    assert not caplog.records
    for _ in range(2):
        np.testing.assert_allclose(small(feeds, ("z",))["z"], expected, atol=1e-5)
    (said,) = caplog.records
    assert "onnxruntime's own copies" in said.getMessage()
    assert "there is no more" in said.getMessage()


@pytest.mark.parametrize("fault", ["wrong", "error"])
def test_a_device_that_answers_otherwise_is_not_trusted_with_its_memory(
    fault: str, make: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def to_host(self: HostMemory, target: Any, address: int, size: int) -> None:
        if fault == "error":
            raise RuntimeError("no such copy")
        target[:size] = 0

    monkeypatch.setattr(gpu_graph, "captures_graphs", lambda _: False)
    monkeypatch.setattr(HostMemory, "to_host", to_host)
    graph = make("maf", "encode", HostMemory())
    (said,) = caplog.records
    assert "own copies" in said.getMessage()
    feeds = rows_of("maf", "encode", 5, seed=0)
    expected = plain("maf", "encode", feeds)["z"]
    np.testing.assert_allclose(graph(feeds, ("z",))["z"], expected, atol=1e-5)


def test_bad_inputs_fail_as_they_do_on_a_cpu(make: Make) -> None:
    graph = make("maf", "encode", HostMemory())
    x = rows_of("maf", "encode", 3, seed=0)["x"]
    for feeds in ({"x": x.astype(np.float64)}, {"x": x[:, :2]}, {"y": x}, {"x": x, "y": x}):
        with pytest.raises(Exception, match=r".+"):
            graph(feeds, ("z",))
    assert graph({"x": x}, ("z",))["z"].shape == x.shape
    graph.close()
    with pytest.raises(RuntimeError, match="closed"):
        graph({"x": x}, ("z",))


class Recorded:
    """A session on a GPU that keeps CUDA graphs, for a test that says how they turn out.

    Args:
        session: that runs.
        fault: `error` where a capture fails, `wrong` where it has other answers.

    Attributes:
        runs: the numbers of their graphs.
        spoil: makes outputs wrong.
    """

    def __init__(self, session: onnxruntime.InferenceSession, fault: str = "") -> None:
        self._session, self._fault = session, fault
        self.runs: list[str] = []
        self.spoil: Callable[[], None] = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run_with_iobinding(self, binding: Any, options: onnxruntime.RunOptions) -> None:
        graph = options.get_run_config_entry("gpu_graph_id")
        self.runs.append(graph)
        if graph != "-1" and self._fault == "error":
            raise RuntimeError("operation not permitted when stream is capturing")
        self._session.run_with_iobinding(binding, options)
        if graph != "-1" and self._fault == "wrong":
            self.spoil()


def due(fault: str = "", times: tuple[float, float] = (1.0, 0.1)) -> tuple[Any, Any, Arrays]:
    """Runs of four rows that should be captured, their session, and what their outputs should be.

    Args:
        fault: see `Recorded`.
        times: seconds that a plain run and a replay take.
    """
    session, memory = Recorded(session_of("maf", "encode"), fault), HostMemory()
    tensors: Any = tensors_of("maf", "encode")
    runs: Any = bound_runs.BoundRuns(session, memory, 4, tensors, graph_id=7)

    def spoil() -> None:
        for name in ("z", "log_prob"):
            memory.kept[runs._addresses[name]][:] = 0

    session.spoil = spoil
    timed = runs._timed

    def measured(options: onnxruntime.RunOptions) -> float:
        timed(options)
        return times[options.get_run_config_entry("gpu_graph_id") != "-1"]

    runs._timed = measured
    feeds = rows_of("maf", "encode", 4, seed=0)
    assert runs.take(feeds)
    while not runs.may_capture:
        runs.run()
    return runs, session, plain("maf", "encode", feeds)


def test_what_is_captured_is_replayed_from_then_on() -> None:
    runs, session, expected = due()
    assert session.runs == ["-1"] * bound_runs.RUNS_BEFORE_CAPTURE
    assert runs.capture()
    assert not runs.may_capture
    session.runs.clear()
    runs.run()
    assert session.runs == ["7"]
    assert bound_runs.are_same(expected, runs.answers(list(expected), 4))


def test_what_does_not_pay_is_not_replayed() -> None:
    runs, session, _ = due(times=(1.0, 0.99))
    assert runs.capture()
    session.runs.clear()
    runs.run()
    assert session.runs == ["-1"]
    assert not runs.may_capture


@pytest.mark.parametrize("fault", ["wrong", "error"])
def test_a_capture_that_fails_leaves_the_answers_right(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    runs, session, expected = due(fault)
    assert not runs.capture()
    (said,) = caplog.records
    assert said.levelno == logging.WARNING
    assert "without a CUDA graph" in said.getMessage()
    assert session.runs[-1] == "-1"
    assert bound_runs.are_same(expected, runs.answers(list(expected), 4))
    assert not runs.may_capture


def test_a_graph_that_cannot_be_captured_says_so_when_it_is_loaded(make: Make) -> None:
    options = Cancellation().run_options()
    arguments: Any = [HostMemory()], 0, tensors_of("maf", "encode"), options
    right, wrong = (
        GpuGraph([Recorded(session_of("maf", "encode"), fault)], *arguments)
        for fault in ("", "error")
    )
    assert right.captures_rightly
    assert not wrong.captures_rightly
    assert make("maf", "encode", HostMemory()).captures_rightly


def test_loops_are_seen_in_a_file() -> None:
    found = {
        name: read_graph((STORED / name / "1" / "decode.onnx").read_bytes()).has_control_flow
        for name in FAMILIES
    }
    costs = {
        name: json.loads((STORED / name / "1" / "manifest.json").read_text())["cost"]["decode"]
        for name in FAMILIES
    }
    assert all(found[name] for name, cost in costs.items() if cost == "iterative")
    assert not found["realnvp"]
    assert found["maf"]
