"""One ONNX graph on one GPU or several."""

import itertools
import logging
import threading
from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime

from service.bundle import Tensor
from service.engine.bound_runs import BoundRuns, are_same, run_options
from service.engine.session import CLOSED
from service.runtime import CAPTURES, CudaMemoryError, DeviceMemory, captures_graphs
from service.types import Arrays

log = logging.getLogger(__name__)


class GpuGraph:
    """Sessions of one graph, one on each GPU; a batch goes to the GPU with the fewest.

    A GPU runs one batch at a time: meanwhile another thread puts the next one together and copies
    it there.

    Args:
        sessions: one for each GPU.
        memories: of the GPUs; None where batches go by onnxruntime's own copies.
        row_bytes: memory of a run for each row, about; 0 where nothing is known.
        tensors: inputs and outputs of the graph, by name.
        options: of the runs that compare both ways.
    """

    def __init__(
        self,
        sessions: Sequence[onnxruntime.InferenceSession],
        memories: Sequence[DeviceMemory | None],
        row_bytes: int,
        tensors: Mapping[str, Tensor],
        options: onnxruntime.RunOptions,
    ) -> None:
        self.row_bytes = row_bytes
        self.provider: str = sessions[0].get_providers()[0]
        self._lock = threading.Lock()
        self._gpus = [
            _Gpu(session, memory, tensors)
            for session, memory in zip(sessions, memories, strict=True)
        ]
        self.captures_rightly = all(gpu.try_both_ways(options) for gpu in self._gpus)
        """False where a CUDA graph of a run fails, or gives other answers than the run."""

    def __call__(
        self,
        feeds: Arrays,
        output_names: Sequence[str],
        options: onnxruntime.RunOptions | None = None,
    ) -> Arrays:
        """Inputs by name → the outputs of these names, row for row."""
        with self._lock:
            if not self._gpus:
                raise RuntimeError(CLOSED)
            gpu = min(self._gpus, key=lambda gpu: gpu.batches)
            gpu.batches += 1
        try:
            if options is None:
                return gpu.run(feeds, output_names)
            # from a thread that may not last, as what it would bind does
            return gpu.run_plainly(feeds, output_names, options)
        finally:
            with self._lock:
                gpu.batches -= 1

    def close(self) -> None:
        """Give the memory of all GPUs back, whoever still refers to this graph."""
        with self._lock:
            gpus, self._gpus = self._gpus, []
        for gpu in gpus:
            gpu.close()


class _Gpu:
    """A session on one GPU.

    Args:
        session, memory, tensors: see `GpuGraph`.

    Attributes:
        batches: that it has now.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        memory: DeviceMemory | None,
        tensors: Mapping[str, Tensor],
    ) -> None:
        self.batches = 0
        self._session: onnxruntime.InferenceSession | None = session
        self._memory, self._tensors = memory, tensors
        self._is_bound = memory is not None
        self._captures = captures_graphs(session)
        self._graph_ids = itertools.count(1)
        self._running = threading.Lock()
        # by thread, as onnxruntime keeps a CUDA graph for each, and rows
        self._bound: dict[tuple[int, int], BoundRuns] = {}

    def run(self, feeds: Arrays, names: Sequence[str]) -> Arrays:
        """Run a batch in memory that is kept for batches of about its size."""
        if self._is_bound:
            try:
                if (found := self._run_bound(feeds, names)) is not None:
                    return found
            except CudaMemoryError as error:
                self._unbind(str(error))
        return self.run_plainly(feeds, names)

    def run_plainly(
        self, feeds: Arrays, names: Sequence[str], options: onnxruntime.RunOptions | None = None
    ) -> Arrays:
        """Run a batch by onnxruntime's own copies."""
        rows = _rows(feeds)
        padded = _padded_rows(rows)
        if padded > rows:
            feeds = {name: _padded(values, padded) for name, values in feeds.items()}
        with CAPTURES, self._running:
            outputs = self._open.run(list(names), feeds, options or run_options(None))
        return {name: output[:rows] for name, output in zip(names, outputs, strict=True)}

    def try_both_ways(self, options: onnxruntime.RunOptions) -> bool:
        """See that a row has the same answers bound as plainly, else batches are run plainly.

        Returns:
            False where it might have been a CUDA graph that failed: then the session is no good.
        """
        if self._memory is None:
            return True
        inputs, outputs = self._open.get_inputs(), self._open.get_outputs()
        names = [output.name for output in outputs]
        tensors = [(source.name, self._tensors[source.name]) for source in inputs]
        feeds = {name: np.zeros((1, *t.row_shape), t.type) for name, t in tensors}
        try:
            expected = self.run_plainly(feeds, names, options)
            found = self._run_bound(feeds, names)
            assert found is not None
            if not are_same(expected, found):
                self._unbind("a row has other answers there")
                return True
            if not self._captures:
                return True
            with CAPTURES.alone() as is_alone:
                # where others use a GPU, its first batches tell
                return not is_alone or self._bound[threading.get_ident(), 1].capture()
        except Exception as error:
            if not self._captures:
                self._unbind(str(error))
            return not self._captures
        finally:
            self._bound.clear()  # who loads a graph does not run its batches

    def close(self) -> None:
        """Give its memory back."""
        self._bound.clear()
        self._session = None
        if self._memory is not None:
            with CAPTURES:
                self._memory.free()

    @property
    def _open(self) -> onnxruntime.InferenceSession:
        if self._session is None:
            raise RuntimeError(CLOSED)
        return self._session

    def _run_bound(self, feeds: Arrays, names: Sequence[str]) -> Arrays | None:
        """The outputs; None where inputs are not of the shapes that the graph takes."""
        rows = _rows(feeds)
        with CAPTURES:
            bound = self._bound_runs(_padded_rows(rows))
            if not bound.take(feeds):
                return None
            if not bound.may_capture:
                return self._run_taken(bound, names, rows)
        with CAPTURES.alone() as is_alone:
            if is_alone:
                bound.capture()
                return bound.answers(names, rows)
        bound.wait_with_capture()
        with CAPTURES:
            return self._run_taken(bound, names, rows)

    def _run_taken(self, bound: BoundRuns, names: Sequence[str], rows: int) -> Arrays:
        with self._running:
            bound.run()
        return bound.answers(names, rows)

    def _bound_runs(self, rows: int) -> BoundRuns:
        key = threading.get_ident(), rows
        if (bound := self._bound.get(key)) is None:
            assert self._memory is not None
            graph_id = next(self._graph_ids) if self._captures else None
            bound = BoundRuns(self._open, self._memory, rows, self._tensors, graph_id)
            self._bound[key] = bound
        return bound

    def _unbind(self, why: str) -> None:
        """Run batches plainly from now on."""
        self._is_bound = False
        message = "batches go to the GPU by onnxruntime's own copies, not in pinned memory: %s"
        log.warning(message, why, extra={"kind": "no pinned memory"})


def _rows(feeds: Arrays) -> int:
    return len(next(iter(feeds.values())))


def _padded_rows(rows: int) -> int:
    """A power of two: a GPU keeps memory for every size that it has seen."""
    return 1 << (rows - 1).bit_length()


def _padded(values: np.ndarray, rows: int) -> np.ndarray:
    """Values with their first row repeated at the end, which no graph can fail on."""
    return np.concatenate([values, np.repeat(values[:1], rows - len(values), axis=0)])
