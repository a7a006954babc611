"""Graphs as a server of this machine runs them, while they are measured."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle import RunCost
from service.graphs import GraphError, check, read_graph, row_bytes, trusted_row_bytes
from service.runtime import MAX_ROWS, Device, batch_rows, enough_rows, measured_run, plans_memory
from training.errors import ExportError

Feed = Mapping[str, NDArray[np.floating]]
Outputs = list[NDArray[Any]]

# Between a single row and the largest batch.
MIDDLE_ROWS = 17
# Rows of the larger run of which memory and time are measured.
MEASURED_ROWS = 16
# Rows below which a batch is not divided between threads. A server divides them from 8 on, if they
# take above 2 ms (`service.engine.policy`); so many take that long in any graph that is worth it.
MIN_DIVIDED_ROWS = 32
# Rows that are run one by one.
MAX_SINGLE_ROWS, MIN_SINGLE_ROWS, MAX_SINGLE_VALUES = 64, 16, 2**14
# Rows that are run in batches of the middle size, where memory limits the largest: 17 and 18 rows
# of a WaveNet are nearly the same batch, and each row takes a tenth of a second.
MAX_MIDDLE_ROWS = 4 * MIDDLE_ROWS


class ServedGraph:
    """A graph with the sessions, threads and batch sizes that a server has for it by default.

    With others an export would measure another thing than what is served: onnxruntime's default
    threads spin, which beside a busy process costs many times the CPU time, and 256 rows of a flow
    of images took gigabytes, where 16 are as fast.

    Args:
        content: ONNX file.

    Raises:
        ExportError: no server would load it.
    """

    def __init__(self, content: bytes) -> None:
        try:
            graph = read_graph(content)
            check(graph)
            self._by_shapes = row_bytes(graph)
        except GraphError as error:
            raise ExportError(f"the exported graph {error}, and nothing was written") from None
        self._device = Device.choose("cpu")
        self.threads = self._device.runs(None)
        """Runs at a time."""
        self._pool = ThreadPoolExecutor(self.threads)
        self._session = self._device.session(content, plans_memory=plans_memory(self._by_shapes))
        self.batch_rows = batch_rows(self._by_shapes, self._device, self.threads)
        """Rows of a run, at most."""
        self.run_cost: RunCost | None = None
        """What a run takes, once it has been measured."""
        self._answers: dict[bytes, Outputs] = {}

    def measure(self, content: bytes, feed: Feed) -> None:
        """Measure what runs take, by which batches are bounded from now on.

        Where rows take little memory by the shapes, batches may be the largest in any case, and
        nothing is measured.

        Args:
            content: the ONNX file.
            feed: inputs of two rows at least.
        """
        if plans_memory(self._by_shapes):
            return
        rows = {name: values[:MEASURED_ROWS] for name, values in feed.items()}
        if (figures := measured_run(content, rows)) is None:
            return
        cost = RunCost(rows=len(next(iter(rows.values()))), **figures._asdict())
        self.run_cost = cost
        memory = trusted_row_bytes(self._by_shapes, cost.row_bytes)
        enough = enough_rows(cost.single_ms, cost.batch_ms, cost.rows)
        self.batch_rows = batch_rows(memory, self._device, self.threads, enough=enough)

    @property
    def full_load(self) -> int:
        """Rows of which every thread has a largest batch."""
        return self.threads * self.batch_rows

    @property
    def batch_sizes(self) -> list[int]:
        """What is tried: one between that fills no vector, the largest batch, and one row."""
        return list(dict.fromkeys([min(MIDDLE_ROWS, self.batch_rows), self.batch_rows, 1]))

    def rows_at_each_size(self, feed: Feed) -> dict[int, int]:
        """How many of some rows are run at each batch size: in the largest all, one by one few.

        The middle size comes first: whoever looks for a miss finds it in few rows.
        """
        rows = next(iter(feed.values()))
        single = max(MIN_SINGLE_ROWS, MAX_SINGLE_VALUES // (rows[0].size or 1))
        counts = {size: len(rows) for size in self.batch_sizes}
        if MIDDLE_ROWS < self.batch_rows < MAX_ROWS["cpu"]:
            counts[MIDDLE_ROWS] = min(len(rows), MAX_MIDDLE_ROWS)
        if len(counts) > 1:
            counts[1] = min(len(rows), MAX_SINGLE_ROWS, single)
        return counts

    def at_each_size(self, feed: Feed) -> Iterator[tuple[slice, Outputs]]:
        """Run rows at each batch size, one after the other: which rows, and all outputs."""
        for size, count in self.rows_at_each_size(feed).items():
            rows = {name: values[:count] for name, values in feed.items()}
            keys = _keys(rows) if size == self.batch_rows else []
            for part, outputs in self.batches(rows, size):
                self._keep(keys[part], outputs)
                yield part, outputs

    def run(self, feed: Feed) -> Outputs:
        """All outputs of one run."""
        outputs: Outputs = self._session.run(None, dict(feed))
        return outputs

    def answers(self, feed: Feed) -> Outputs:
        """All outputs of any number of rows, without running again what a largest batch has had.

        Held-out rows are encoded, and their latents decoded, by more than one measurement: 128 of a
        WaveNet on MNIST take 37 s of a core each time.
        """
        keys = _keys(feed)
        fresh = [i for i, key in enumerate(keys) if key not in self._answers]
        if fresh:
            outputs = self.run_in_batches({name: values[fresh] for name, values in feed.items()})
            self._keep([keys[i] for i in fresh], outputs)
        return [np.stack(each) for each in zip(*(self._answers[key] for key in keys), strict=True)]

    def _keep(self, keys: list[bytes], outputs: Outputs) -> None:
        """Keep the outputs of rows: of all of them, or of none."""
        self._answers |= zip(keys, map(list, zip(*outputs, strict=True)), strict=False)

    def run_in_batches(self, feed: Feed) -> Outputs:
        """All outputs of any number of rows, divided between the threads as a server does."""
        rows = len(next(iter(feed.values())))
        share = max(-(-rows // self.threads), MIN_DIVIDED_ROWS)
        batches = [outputs for _, outputs in self.batches(feed, min(share, self.batch_rows))]
        return [np.concatenate(each) for each in zip(*batches, strict=True)]

    def batches(self, feed: Feed, size: int) -> Iterator[tuple[slice, Outputs]]:
        """Run rows, so many at once, in all threads: which rows, and all outputs, in order."""
        rows = len(next(iter(feed.values())))
        parts = [slice(start, start + size) for start in range(0, rows, size)]
        if len(parts) == 1:
            yield parts[0], self.run(feed)
            return
        # which whoever has seen enough closes, and what has not begun is not run
        answers = self._pool.map(
            lambda part: self.run({name: values[part] for name, values in feed.items()}), parts
        )
        yield from zip(parts, answers, strict=True)


def _keys(feed: Feed) -> list[bytes]:
    """What tells rows apart: all numbers of each."""
    return [b"".join(value.tobytes() for value in row) for row in zip(*feed.values(), strict=True)]
