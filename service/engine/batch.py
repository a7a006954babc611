"""One run of a graph for the jobs of several requests, and the answers that it gives them."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from service.engine.queue import Chunk, Job
from service.errors import InferenceError
from service.types import Arrays

log = logging.getLogger(__name__)

Outcome = Arrays | Exception


class BatchFunction(Protocol):
    """What computes a batch."""

    def __call__(self, feeds: Arrays, output_names: Sequence[str]) -> Arrays:
        """Inputs by name → the outputs of these names, row for row."""
        ...


@dataclass(slots=True, eq=False)
class AwaitedJob(Job):
    """A job whose outputs a coroutine awaits.

    Args:
        feeds: its rows, by input name.
        output_names: which outputs it needs, at least one.
        future: of the outputs; cancelled where the caller has left.

    Attributes:
        answered: rows whose outputs are known.
    """

    feeds: Arrays
    output_names: tuple[str, ...]
    future: asyncio.Future[Arrays]
    answered: int = field(default=0, init=False)
    _outputs: Arrays = field(default_factory=dict, init=False)

    @property
    def is_over(self) -> bool:
        """Whether it has been answered, or its caller has left."""
        return self.future.done()

    def rows_of(self, start: int, stop: int) -> Arrays:
        """The inputs of some of its rows."""
        if stop - start == self.rows:
            return self.feeds
        return {name: values[start:stop] for name, values in self.feeds.items()}

    def collect(self, start: int, outputs: Arrays) -> None:
        """Keep the outputs of the rows from `start` on; the last of them end the job."""
        rows = len(outputs[self.output_names[0]])
        if rows == self.rows:
            self._outputs = outputs
        else:
            for name, values in outputs.items():
                if name not in self._outputs:
                    self._outputs[name] = np.empty((self.rows, *values.shape[1:]), values.dtype)
                self._outputs[name][start : start + rows] = values
        self.answered += rows
        if self.answered == self.rows and not self.future.done():
            self.future.set_result(self._outputs)

    def fail(self, error: Exception) -> None:
        """End the job with an error, unless its caller has left."""
        if not self.future.done():
            self.future.set_exception(error)


def outcomes_of(function: BatchFunction, chunks: list[Chunk[AwaitedJob]]) -> list[Outcome]:
    """The outputs of each chunk, or the error that it alone has caused.

    Rows are checked before they are queued, so a batch fails because of the device, or of values
    that no check can tell beforehand: its chunks are then run one by one.
    """
    try:
        return list(_run_together(function, chunks))
    except Exception as error:
        reason = str(error)  # the error itself would hold this frame, and this frame the error
    if len(chunks) > 1:
        return [outcome for chunk in chunks for outcome in outcomes_of(function, [chunk])]
    log.error("a graph failed: %s", reason, extra={"kind": "a graph failed"})
    return [InferenceError(f"the model failed on these rows: {reason}")]


def _run_together(function: BatchFunction, chunks: list[Chunk[AwaitedJob]]) -> Iterator[Arrays]:
    names = tuple(dict.fromkeys(name for chunk in chunks for name in chunk.job.output_names))
    each = [chunk.job.rows_of(chunk.start, chunk.stop) for chunk in chunks]
    feeds = each[0]
    if len(chunks) > 1:
        feeds = {name: _joined([inputs[name] for inputs in each]) for name in feeds}
    outputs = function(feeds, names)
    rows = sum(chunk.stop - chunk.start for chunk in chunks)
    for name in names:
        if len(outputs[name]) != rows:
            raise ValueError(f"{name}: {len(outputs[name])} rows came of {rows}")
    start = 0
    for chunk in chunks:
        stop = start + chunk.stop - chunk.start
        yield {name: outputs[name][start:stop] for name in chunk.job.output_names}
        start = stop


def _joined(arrays: list[np.ndarray]) -> np.ndarray:
    """The rows of several arrays in one.

    numpy gives up the interpreter's lock to copy, and gets it back milliseconds later where the
    loop is busy; bytes below a megabyte are copied under it.
    """
    first = arrays[0]
    joined = b"".join([np.ascontiguousarray(array).data for array in arrays])
    return np.frombuffer(joined, first.dtype).reshape(-1, *first.shape[1:])
