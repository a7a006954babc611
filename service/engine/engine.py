"""Running a bundle's two graphs: each has a queue, and the same threads run both."""

from pathlib import Path

import numpy as np

from service.bundle import DECODE, ENCODE, BundleError
from service.engine.batch import AwaitedJob
from service.engine.loop_share import main_thread_clock
from service.engine.policy import SchedulerPolicy
from service.engine.queue import JobQueue, Statistics
from service.engine.scheduler import Scheduler
from service.engine.session import OnnxGraph
from service.engine.workers import Workers
from service.metrics import Metrics
from service.runtime import Device, granted_cpus
from service.settings import ModelSettings
from service.types import Arrays, Float32

POLICY = SchedulerPolicy()


class Engine:
    """One loaded bundle.

    Args:
        folder: the bundle.
        device: where to run.
        metrics: are told of batches and queues.
        settings: of this model.

    Raises:
        DeviceError: see `Device.session`.
    """

    def __init__(
        self, folder: Path, device: Device, metrics: Metrics, settings: ModelSettings
    ) -> None:
        self._graphs = {
            "encode": OnnxGraph(folder / ENCODE, device),
            "decode": OnnxGraph(folder / DECODE, device),
        }
        self.provider = self._graphs["encode"].provider
        """The execution provider in use, in onnxruntime's words."""
        name = folder.parent.name
        own_rows = POLICY.cpu_batch_rows if device.kind == "cpu" else POLICY.cuda_batch_rows
        batch_rows = settings.batch_rows or own_rows
        queue_rows = max(batch_rows, settings.queue_rows)
        self._observers = {graph: metrics.queue(name, graph) for graph in self._graphs}
        self._queues: dict[str, JobQueue[AwaitedJob]] = {
            graph: JobQueue(observer, batch_rows, queue_rows, POLICY.speed_smoothing)
            for graph, observer in self._observers.items()
        }
        for graph, observer in self._observers.items():
            observer.watch(self._queues[graph])
        threads = device.runs(settings.threads)
        clock = main_thread_clock()
        scheduler = Scheduler(self._queues, threads, granted_cpus(), clock, POLICY)
        self._workers = Workers(name, scheduler, self._graphs, threads, self._release)

    def statistics(self, graph: str) -> Statistics:
        """Totals of `encode` or `decode`."""
        return self._queues[graph].statistics

    @property
    def healthy(self) -> bool:
        """Whether requests are still answered."""
        return self._workers.healthy

    async def encode(
        self, x: Float32, context: Float32 | None, output_names: tuple[str, ...], deadline: float
    ) -> Arrays:
        """X (N × event shape) and context (N × columns) → `z`, `log_prob` (N, in nats)."""
        feeds = _feeds("x", x, context)
        return await self._workers.run("encode", feeds, output_names, deadline)

    async def decode(
        self, z: Float32, context: Float32 | None, output_names: tuple[str, ...], deadline: float
    ) -> Arrays:
        """Z (N × latent shape) and context (N × columns) → `x`, `log_prob` (N, in nats)."""
        feeds = _feeds("z", z, context)
        return await self._workers.run("decode", feeds, output_names, deadline)

    def warm_up(self, event_shape: tuple[int, ...], z: Float32, context: Float32 | None) -> None:
        """Run both graphs once: what cannot run fails now, and the first request finds it ready.

        Args:
            event_shape: shape of one data row.
            z: one latent, 1 × latent shape.
            context: its context, where the graphs take one.

        Raises:
            BundleError: the graphs are not of these shapes.
        """
        decoded = self._graphs["decode"](_feeds("z", z, context), ("x", "log_prob"))
        encoded = self.try_encode(decoded["x"], context)
        shapes = (decoded["x"].shape, encoded["z"].shape, decoded["log_prob"].shape)
        if shapes != ((1, *event_shape), z.shape, (1,)):
            raise BundleError(
                f"the graphs' x, z and log_prob have shapes {shapes} where the manifest says event "
                f"shape {event_shape} and latent shape {z.shape[1:]}"
            )

    def try_encode(self, x: Float32, context: Float32 | None) -> Arrays:
        """`encode` before there are requests to wait for."""
        return self._graphs["encode"](_feeds("x", x, context), ("z", "log_prob"))

    def close(self) -> None:
        """Take nothing more; threads and sessions go once what waits is finished."""
        for graph, observer in self._observers.items():
            observer.unwatch(self._queues[graph])
        self._workers.close()

    def _release(self) -> None:
        for graph in self._graphs.values():
            graph.close()


def _feeds(name: str, rows: Float32, context: Float32 | None) -> Arrays:
    """The inputs of a graph, by name."""
    if context is None:
        return {name: rows}
    # one row for all is not copied before it is needed
    return {name: rows, "context": np.ascontiguousarray(context)}
