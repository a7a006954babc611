"""How long graphs take, by which the inverses in them are compared."""

import math
import time
from collections.abc import Mapping

import numpy as np

from training.export.served_graph import MIDDLE_ROWS, Feed, ServedGraph

# Each graph runs MAX_RUNS times with each number of rows, or for MAX_SECONDS of each thread; one
# that is HOPELESS times slower than the best after FIRST_RUNS runs no more.
FIRST_RUNS, MAX_RUNS, MAX_SECONDS, HOPELESS = 2, 7, 0.3, 2.0


def cost_of(milliseconds: Mapping[str, float]) -> float:
    """The product of times a row, in which the largest number of rows counts twice.

    Counted once, 27 wide blocks of 43 coordinates passed for as fast as 14 wide ones: 1.5 ms for
    one row where those take 2.1, but 37 for 256 rows where those take 27.
    """
    a_row = [taken / int(rows) for rows, taken in milliseconds.items()]
    return math.prod([*a_row, a_row[-1]])


def run_times(graph: ServedGraph, feed: Feed, least: float) -> dict[str, float]:
    """Least times of runs in milliseconds with numbers of rows that servers meet, by these.

    They are one row, a batch that is formed of single rows, and as many rows as keep all threads
    busy: neighbours on a CPU share its caches and the way to its memory. What counts is CPU time,
    in equal shares of the threads, which other processes do not lengthen: beside them one graph
    took 34, 228 and 379 ms within a quarter of an hour.

    Args:
        graph: that is run.
        feed: its inputs.
        least: cost of the best graph so far.
    """
    sizes = sorted({1, min(MIDDLE_ROWS, graph.batch_rows), graph.full_load})
    feeds = [{k: np.resize(v, (size, *v.shape[1:])) for k, v in feed.items()} for size in sizes]
    times: dict[int, list[float]] = {size: [] for size in sizes}

    def run(runs: int) -> dict[str, float]:
        for size, rows in zip(sizes, feeds, strict=True):
            taken, threads = times[size], graph.threads if size == graph.full_load else 1
            while len(taken) < runs and sum(taken) < MAX_SECONDS:
                start = time.process_time()
                graph.run_in_batches(rows)
                taken.append((time.process_time() - start) / threads)
        return {str(size): round(1e3 * min(taken), 4) for size, taken in times.items()}

    first = run(FIRST_RUNS)
    return first if cost_of(first) >= HOPELESS ** (len(sizes) + 1) * least else run(MAX_RUNS)
