"""Running a bundle's graphs: each has a queue, and the same threads run all."""

import logging
from collections.abc import Awaitable, Callable, Mapping

import numpy as np

from service.bundle import BundleError, RunCost, Tensor, UnsafeBundleError
from service.engine.batch import AwaitedJob
from service.engine.gpu_graph import GpuGraph
from service.engine.loop_share import main_thread_clock
from service.engine.policy import GPU_POLICY, SchedulerPolicy
from service.engine.queue import JobQueue, Statistics
from service.engine.scheduler import Scheduler
from service.engine.session import OnnxGraph
from service.engine.workers import Workers
from service.graphs import Graph, GraphError, check, read_graph, row_bytes, trusted_row_bytes
from service.metrics import Metrics
from service.runtime import (
    CUDA,
    Cancellation,
    CudaMemory,
    CudaMemoryError,
    Device,
    batch_rows,
    enough_rows,
    granted_cpus,
    plans_memory,
)
from service.settings import ModelSettings
from service.types import Arrays, Floats, Whole

log = logging.getLogger(__name__)

POLICY = SchedulerPolicy()

# What `Tensor.type` says, by onnx.TensorProto.DataType.
ELEMENTS = {1: "float32", 7: "int64", 11: "float64"}


class Engine:
    """One loaded bundle.

    Args:
        name: of the model.
        graphs: what its manifest says of each: inputs and outputs by name.
        costs: what its manifest says of runs of some graphs.
        read: gives the content of the file of a graph.
        device: where to run.
        metrics: are told of batches and queues.
        settings: of this model.
        cancellation: ends the load, the warm-up and the runs that test the graphs.

    Raises:
        BundleError: a graph is not of the shapes that the manifest says, or more than bounded data.
        DeviceError: see `Device.session`.
    """

    def __init__(
        self,
        name: str,
        graphs: Mapping[str, Mapping[str, Tensor]],
        costs: Mapping[str, RunCost],
        read: Callable[[str], bytes],
        device: Device,
        metrics: Metrics,
        settings: ModelSettings,
        cancellation: Cancellation | None = None,
    ) -> None:
        cancellation = cancellation or Cancellation()
        if device.kind != "cpu":  # on which they were measured
            costs = {}
        self._graphs: dict[str, OnnxGraph | GpuGraph] = {}
        try:
            for graph, tensors in graphs.items():
                args = graph, read(graph), tensors, device, cancellation, settings.cuda_graphs
                self._graphs[graph] = _load(*args, costs.get(graph))
        except BaseException:
            self._release()
            raise
        self._load_options = cancellation.run_options()
        self.provider = next(iter(self._graphs.values())).provider
        """The execution provider in use, in onnxruntime's words."""
        if self.provider != CUDA and device.kind == "cuda":
            device = Device.choose("cpu")
        self.threads = threads = device.runs(settings.threads)
        """Runs at a time."""
        enough = {
            graph: enough_rows(cost.single_ms, cost.batch_ms, cost.rows)
            for graph, cost in costs.items()
        }
        limits = {
            graph: batch_rows(
                session.row_bytes,
                device,
                threads,
                settings.batch_rows,
                settings.batch_mib,
                enough.get(graph),
            )
            for graph, session in self._graphs.items()
        }
        self._observers = {graph: metrics.queue(name, graph) for graph in self._graphs}
        self._queues: dict[str, JobQueue[AwaitedJob]] = {
            graph: JobQueue(
                observer,
                limits[graph],
                max(limits[graph], device.part_of(settings.queue_rows)),
                POLICY.speed_smoothing,
            )
            for graph, observer in self._observers.items()
        }
        for graph, observer in self._observers.items():
            observer.watch(self._queues[graph])
        clock, cpus = main_thread_clock(), device.part_of(granted_cpus())
        policy = GPU_POLICY if device.kind == "cuda" else POLICY
        scheduler = Scheduler(self._queues, threads, cpus, clock, policy)
        self._workers = Workers(name, scheduler, self._graphs, threads, self._release)

    def statistics(self, graph: str) -> Statistics:
        """Totals of a graph."""
        return self._queues[graph].statistics

    @property
    def healthy(self) -> bool:
        """Whether requests are still answered."""
        return self._workers.healthy

    def encode(
        self,
        x: Floats,
        context: Floats | None,
        output_names: tuple[str, ...],
        deadline: float,
        u: Floats | None = None,
    ) -> Awaitable[Arrays]:
        """X (N × event shape) and context (N × columns) → `z`, `log_prob` (N, in nats).

        Of typed columns u (N × columns) is the place of each value in its cell, in (0, 1).
        """
        return self._workers.run("encode", _feeds("x", x, context, u), output_names, deadline)

    def decode(
        self,
        z: Floats,
        context: Floats | None,
        output_names: tuple[str, ...],
        deadline: float,
        member: Whole | None = None,
    ) -> Awaitable[Arrays]:
        """Z (N × latent shape) and context (N × columns) → `x`, `log_prob` (N, in nats).

        Of an ensemble member (N) is the number of the one whose latent each is.
        """
        feeds = _feeds("z", z, context, member=member)
        return self._workers.run("decode", feeds, output_names, deadline)

    def layers(
        self, z: Floats, context: Floats | None, output_names: tuple[str, ...], deadline: float
    ) -> Awaitable[Arrays]:
        """Z (N × latent shape) and context (N × columns) → `states`, `log_probs`."""
        return self._workers.run("layers", _feeds("z", z, context), output_names, deadline)

    def score(
        self, x: Floats, context: Floats | None, output_names: tuple[str, ...], deadline: float
    ) -> Awaitable[Arrays]:
        """X (N × event shape) and context (N × columns) → `score`, `log_prob` (N, in nats)."""
        return self._workers.run("score", _feeds("x", x, context), output_names, deadline)

    def neighbours(self, x: Floats, context: Floats | None, deadline: float) -> Awaitable[Arrays]:
        """X (N × event shape) and context (N × columns) → `values` (N × event shape × K)."""
        return self._workers.run("neighbours", _feeds("x", x, context), ("values",), deadline)

    def batch_rows(self, graph: str) -> int:
        """Rows of a run of a graph, at most."""
        return self._queues[graph].batch_rows

    def try_run(self, graph: str, feeds: Arrays, output_names: tuple[str, ...]) -> Arrays:
        """What a graph makes of some rows, in this thread and past the queue.

        For what there is before requests wait, or without them; several threads may call it.
        """
        return self._graphs[graph](feeds, output_names, self._load_options)

    def close(self) -> None:
        """Take nothing more; threads and sessions go once what waits is finished."""
        for graph, observer in self._observers.items():
            observer.unwatch(self._queues[graph])
        self._workers.close()

    def _release(self) -> None:
        for graph in self._graphs.values():
            graph.close()


def _load(
    name: str,
    content: bytes,
    described: Mapping[str, Tensor],
    device: Device,
    cancellation: Cancellation,
    captures: bool = True,
    measured: RunCost | None = None,
) -> OnnxGraph | GpuGraph:
    """A graph of a file that has been looked through."""
    try:
        graph = read_graph(content, cancellation.check)
        check(graph, cancellation.check)
        _check_shapes(name, graph, described)
        memory = row_bytes(graph, cancellation.check)
    except GraphError as error:
        raise UnsafeBundleError(f"{name}.onnx {error}", error.kind) from None
    if device.kind == "cpu":
        session = device.session(content, cancellation, plans_memory(memory))
        if measured is not None:
            memory = trusted_row_bytes(memory, measured.row_bytes)
        return OnnxGraph(session, memory)
    for may_capture in (True, False) if captures and not graph.has_control_flow else (False,):
        sessions = [
            gpu.session(content, cancellation, plans_memory(memory), may_capture)
            for gpu in device.each
        ]
        if sessions[0].get_providers()[0] != CUDA:
            return OnnxGraph(sessions[0], memory)
        memories = [_cuda_memory(gpu.indices[0]) for gpu in device.each]
        loaded = GpuGraph(sessions, memories, memory, described, cancellation.run_options())
        if loaded.captures_rightly:
            break
        log.warning("%s.onnx runs without CUDA graphs: one failed, or gave other answers", name)
        loaded.close()
    return loaded


def _cuda_memory(index: int) -> CudaMemory | None:
    try:
        return CudaMemory(index)
    except CudaMemoryError as error:
        log.warning("batches are copied by onnxruntime: %s", error)
        return None


def _check_shapes(name: str, graph: Graph, described: Mapping[str, Tensor]) -> None:
    """Compare what a graph takes and gives with what a manifest says, before any of it is made.

    Raises:
        BundleError: it is not of these shapes and types.
    """
    found = {value: graph.types[value] for value in (*graph.inputs, *graph.outputs)}
    for value, tensor in described.items():
        if value not in found:
            raise BundleError(f"{name}.onnx has no {value}")
        kind, sides, shape = found[value].element, found[value].sides, tuple(tensor.row_shape)
        # the first side is the rows'; None is one that the graph leaves open, as it may all
        is_same = not sides or (
            len(sides) == 1 + len(shape)
            and sides[0] is None
            and all(a in (None, b) for a, b in zip(sides[1:], shape, strict=True))
        )
        if ELEMENTS.get(kind) != tensor.type or not is_same:
            raise BundleError(
                f"{name}.onnx has {value} of {ELEMENTS.get(kind, 'another type')} "
                f"{_shown(sides or ())}, where the manifest says {tensor.type} "
                f"{_shown((None, *shape))}"
            )
    if unknown := sorted(found.keys() - described.keys()):
        raise BundleError(
            f"{name}.onnx has {unknown[0]!r:.80}, which is no input or output of a model like this"
        )


def _shown(sides: tuple[int | None, ...]) -> str:
    """A shape for people, N for the rows and for what a graph leaves open."""
    return " × ".join("N" if side is None else str(side) for side in sides) or "without sides"


def _feeds(
    name: str,
    rows: Floats,
    context: Floats | None,
    u: Floats | None = None,
    member: Whole | None = None,
) -> Arrays:
    """The inputs of a graph, by name."""
    if context is None and u is None and member is None:
        return {name: rows}
    feeds: Arrays = {name: rows}
    if context is not None:
        # one row for all is not copied before it is needed
        feeds["context"] = np.ascontiguousarray(context)
    if u is not None:
        feeds["u"] = np.ascontiguousarray(u)
    if member is not None:
        feeds["member"] = np.ascontiguousarray(member)
    return feeds
