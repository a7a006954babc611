"""Running a bundle's two graphs: each has a queue, and one batcher sees to both."""

from pathlib import Path

import numpy as np

from service.bundle import DECODE, ENCODE, BundleError
from service.engine.scheduler import Queue, Statistics
from service.engine.session import OnnxGraph
from service.engine.workers import Batcher
from service.metrics import Metrics
from service.runtime import Device
from service.settings import ModelSettings
from service.types import Arrays, Float32

# Rows of a batch. A CPU gains nothing from more; a GPU is busy with more.
BATCH_ROWS = {"cpu": 256, "cuda": 4096}


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
        rows, limit = settings.batch_rows or BATCH_ROWS[device.kind], settings.queue_rows
        name = folder.parent.name
        self._queues = {}
        for direction, graph in self._graphs.items():
            observer = metrics.queue(name, direction)
            self._queues[direction] = Queue(graph, observer, rows, max(rows, limit))
            observer.watch(self._queues[direction])
        self._batcher = Batcher(name, self._queues, device.runs(settings.threads))

    @property
    def provider(self) -> str:
        """The execution provider in use, in onnxruntime's words."""
        return self._graphs["encode"].provider

    def statistics(self, graph: str) -> Statistics:
        """What `encode` or `decode` has come to."""
        return self._queues[graph].statistics

    @property
    def healthy(self) -> bool:
        """Whether requests are still answered."""
        return self._batcher.healthy

    async def encode(
        self, x: Float32, context: Float32 | None, wanted: tuple[str, ...], deadline: float
    ) -> Arrays:
        """X (N × event shape) and context (N × columns) → `z`, `log_prob` (N, in nats)."""
        return await self._batcher.run("encode", _inputs("x", x, context), wanted, deadline)

    async def decode(
        self, z: Float32, context: Float32 | None, wanted: tuple[str, ...], deadline: float
    ) -> Arrays:
        """Z (N × latent shape) and context (N × columns) → `x`, `log_prob` (N, in nats)."""
        return await self._batcher.run("decode", _inputs("z", z, context), wanted, deadline)

    def warm_up(self, event_shape: tuple[int, ...], z: Float32, context: Float32 | None) -> None:
        """Run both graphs once: what cannot run fails now, and the first request finds it ready.

        Args:
            event_shape: shape of one data row.
            z: one latent, 1 × latent shape.
            context: its context, where the graphs take one.

        Raises:
            BundleError: the graphs are not of these shapes.
        """
        decoded = self._graphs["decode"](_inputs("z", z, context), ("x", "log_prob"))
        encoded = self.try_encode(decoded["x"], context)
        found = (decoded["x"].shape, encoded["z"].shape, decoded["log_prob"].shape)
        if found != ((1, *event_shape), z.shape, (1,)):
            raise BundleError(
                f"the graphs' x, z and log_prob have shapes {found} where the manifest says event "
                f"shape {event_shape} and latent shape {z.shape[1:]}"
            )

    def try_encode(self, x: Float32, context: Float32 | None) -> Arrays:
        """`encode` before there are requests to wait for."""
        return self._graphs["encode"](_inputs("x", x, context), ("z", "log_prob"))

    def close(self) -> None:
        """Let the threads go once they have finished what waits."""
        self._batcher.close()


def _inputs(name: str, rows: Float32, context: Float32 | None) -> Arrays:
    """What a graph is fed with, by name."""
    if context is None:
        return {name: rows}
    # one row for all is not copied before it is needed
    return {name: rows, "context": np.ascontiguousarray(context)}
