"""Batches of one size on a GPU: their buffers, and their runs as a CUDA graph."""

import logging
import math
import time
from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime

from service.bundle import Tensor
from service.runtime import GRAPH_ID, NO_GRAPH, SHORT_BYTES, DeviceMemory
from service.types import Arrays

log = logging.getLogger(__name__)

# Runs of a size before one is captured: sizes that are rare are not worth the memory.
RUNS_BEFORE_CAPTURE = 3
RUNS_BETWEEN_TRIES = 64
# A captured run that takes a larger share of the time of a plain one is not worth its memory.
WORTHWHILE = 0.95
REPLAYS = 3
"""That it is timed by: another thread may have taken the interpreter's lock in one of them."""
# By how much two runs of the same batch may differ, of a value or of 1.
SAME = 1e-4


class BoundRuns:
    """Runs of batches of one size by one thread, each in the same memory.

    Inputs are written into memory of the host that the GPU reads by itself, and outputs come back
    the same way: onnxruntime's own copies of arrays take the way through another buffer. Addresses
    that never change are also what a CUDA graph needs.

    Args:
        session: of the graph, on a GPU.
        memory: of that GPU.
        rows: of a batch.
        tensors: inputs and outputs of the graph, by name.
        graph_id: that no other runs of the session have; None where it captures none.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        memory: DeviceMemory,
        rows: int,
        tensors: Mapping[str, Tensor],
        graph_id: int | None,
    ) -> None:
        self._session, self._memory, self._rows = session, memory, rows
        self._binding = session.io_binding()
        self._hosts: Arrays = {}
        self._addresses: dict[str, int] = {}
        self._inputs = {source.name for source in session.get_inputs()}
        for name in (*self._inputs, *(output.name for output in session.get_outputs())):
            self._bind(name, tensors[name])
        self._options = run_options(None)
        self._captured: onnxruntime.RunOptions | None = None
        self._graph_id = graph_id
        self._runs, self._capture_at = 0, RUNS_BEFORE_CAPTURE
        self._seconds = math.inf

    @property
    def may_capture(self) -> bool:
        """Whether the next run should be captured."""
        return self._graph_id is not None and self._runs >= self._capture_at

    def take(self, feeds: Arrays) -> bool:
        """Copy rows to the GPU, the first one repeated behind them; False where they do not fit."""
        if feeds.keys() != self._inputs:
            return False
        for name, values in feeds.items():
            host = self._hosts[name]
            if values.dtype != host.dtype or values.shape[1:] != host.shape[1:]:
                return False
        for name, values in feeds.items():
            host = self._hosts[name]
            _write(host, values)
            self._memory.to_device(self._addresses[name], _bytes(host), host.nbytes)
        return True

    def run(self) -> None:
        """Run what has been taken."""
        try:
            seconds = self._timed(self._captured or self._options)
        except Exception:
            if self._captured is not None:
                self._give_up("failed")
            raise
        self._runs += 1
        self._seconds = min(self._seconds, seconds)

    def capture(self) -> bool:
        """Run what has been taken, and capture that for later, if it is right and faster so.

        Nothing else may use a GPU meanwhile.

        Returns:
            False where what was captured fails, or gives other answers than a plain run.
        """
        self.run()
        names = [output.name for output in self._session.get_outputs()]
        expected = self.answers(names, self._rows)
        options, self._graph_id = run_options(self._graph_id), None
        try:
            self._session.run_with_iobinding(self._binding, options)
            seconds = min(self._timed(options) for _ in range(REPLAYS))
        except Exception as error:
            self._give_up(f"failed: {error}")
            self.run()
            return False
        if not are_same(expected, self.answers(names, self._rows)):
            self._give_up("gave other answers")
            self.run()
            return False
        if seconds <= WORTHWHILE * self._seconds:
            self._captured = options
        return True

    def _timed(self, options: onnxruntime.RunOptions) -> float:
        """Seconds of a run."""
        started = time.perf_counter()
        self._session.run_with_iobinding(self._binding, options)
        return time.perf_counter() - started

    def wait_with_capture(self) -> None:
        """Try to capture again after some more runs."""
        self._capture_at = self._runs + RUNS_BETWEEN_TRIES

    def answers(self, names: Sequence[str], rows: int) -> Arrays:
        """The outputs of the first rows of the last run."""
        found: Arrays = {}
        for name in names:
            part = self._hosts[name][:rows]
            self._memory.to_host(_bytes(self._hosts[name]), self._addresses[name], part.nbytes)
            found[name] = _copied(part)
        return found

    def _bind(self, name: str, tensor: Tensor) -> None:
        shape, kind = (self._rows, *tensor.row_shape), np.dtype(tensor.type)
        size = math.prod(shape) * kind.itemsize
        # no memory has no address
        self._hosts[name] = self._memory.pinned(max(1, size))[:size].view(kind).reshape(shape)
        self._addresses[name] = self._memory.allocate(max(1, size))
        bind = self._binding.bind_input if name in self._inputs else self._binding.bind_output
        memory, address = self._memory, self._addresses[name]
        bind(name, memory.kind, memory.index, kind.type, shape, address)

    def _give_up(self, why: str) -> None:
        message = "batches of %d rows run without a CUDA graph, which %s"
        log.warning(message, self._rows, why, extra={"kind": "no CUDA graph"})
        self._captured = self._graph_id = None


def run_options(graph_id: int | None) -> onnxruntime.RunOptions:
    """Options of a run that captures or replays the graph of that number; None for a plain run."""
    options = onnxruntime.RunOptions()
    options.log_severity_level = 4  # errors are exceptions
    options.add_run_config_entry(GRAPH_ID, NO_GRAPH if graph_id is None else str(graph_id))
    return options


def are_same(expected: Arrays, found: Arrays) -> bool:
    """Whether two runs of a batch agree, but for rounding; no number is as good as no number."""
    return all(
        np.allclose(found[name], values, rtol=SAME, atol=SAME, equal_nan=True)
        for name, values in expected.items()
    )


def _bytes(values: np.ndarray) -> np.ndarray:
    """The bytes of an array in one piece."""
    return values.reshape(-1).view(np.uint8)


def _write(host: np.ndarray, values: np.ndarray) -> None:
    """Copy rows into the first ones of a buffer, and the first row, which none fails on, behind.

    numpy gives up the interpreter's lock to copy: see `batch._joined`.
    """
    rest = len(host) - len(values)
    if host.nbytes < SHORT_BYTES:
        _bytes(host).data[:] = values.tobytes() + values[:1].tobytes() * rest
    else:
        host[: len(values)] = values
        host[len(values) :] = values[:1]


def _copied(values: np.ndarray) -> np.ndarray:
    """An array of its own with the same values."""
    if values.nbytes >= SHORT_BYTES:
        return values.copy()
    return np.frombuffer(bytearray(_bytes(values).data), values.dtype).reshape(values.shape)
