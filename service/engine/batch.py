"""One run of a graph for the parts of several requests."""

import logging
from collections.abc import Iterator

import numpy as np

from service.engine.scheduler import Part, Queue
from service.errors import InferenceError
from service.types import Arrays

log = logging.getLogger(__name__)

Outcome = Arrays | Exception


def outcomes_of(queue: Queue, parts: list[Part]) -> list[Outcome]:
    """The outputs of each part, or the error that it alone has caused."""
    try:
        return list(_together(queue, parts))
    except Exception as error:
        if len(parts) == 1:
            log.exception("a graph failed")
        reason = str(error)  # the error itself would hold this frame, and this frame the error
    if len(parts) > 1:
        return [outcome for part in parts for outcome in outcomes_of(queue, [part])]
    return [InferenceError(f"the model failed on these rows: {reason}")]


def _together(queue: Queue, parts: list[Part]) -> Iterator[Arrays]:
    wanted = tuple(dict.fromkeys(name for part in parts for name in part.job.wanted))
    feeds = parts[0].feeds
    if len(parts) > 1:
        each = [part.feeds for part in parts]
        feeds = {name: _joined([feed[name] for feed in each]) for name in feeds}
    outputs = queue.graph(feeds, wanted)
    rows = sum(part.stop - part.start for part in parts)
    for name in wanted:
        if len(outputs[name]) != rows:
            raise ValueError(f"{name}: {len(outputs[name])} rows came of {rows}")
    start = 0
    for part in parts:
        stop = start + part.stop - part.start
        yield {name: outputs[name][start:stop] for name in part.job.wanted}
        start = stop


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """The rows of several arrays in one.

    numpy gives up the interpreter's lock to copy, and gets it back milliseconds later where the
    loop is busy; bytes below a megabyte are copied under it.
    """
    first = parts[0]
    joined = b"".join([np.ascontiguousarray(part).data for part in parts])
    return np.frombuffer(joined, first.dtype).reshape(-1, *first.shape[1:])
