"""The fastest inverse of the masked layers of a flow, by measurement."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.layers import ONE_BLOCK_COORDINATES, Inverse
from service.bundle import METHOD_WORDS, InverseMethod, InverseReport
from training.export.graphs import Draft
from training.export.served_graph import MIDDLE_ROWS, ServedGraph
from training.progress import say_where

Feed = Mapping[str, NDArray[np.float32]]

# Each graph runs MAX_RUNS times with each number of rows, or for MAX_SECONDS of each thread; one
# that is HOPELESS times slower than the best after FIRST_RUNS runs no more.
FIRST_RUNS, MAX_RUNS, MAX_SECONDS, HOPELESS = 2, 7, 0.3, 2.0
# Nodes up to which a graph of one coordinate after another is tried: 4,500 (43 affine coordinates
# in five layers) take a CPU-second to load, 16 and 43 coordinates with splines 7 and 31.
MAX_SEQUENTIAL_NODES = 5000


@dataclass(frozen=True)
class InverseRequest:
    """Which inverses of masked layers an export may choose from.

    Args:
        method: a method of `models.layers.Inverse`; `auto` for the faster one.
        tolerance: of `jacobi`.

    Raises:
        ValueError: a tolerance below zero, or without `jacobi`.
    """

    method: Literal["auto", "sequential", "jacobi"] = "auto"
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        # checks the tolerance, which only jacobi has
        Inverse("jacobi" if self.method == "jacobi" else "sequential", 1, self.tolerance)


FASTEST = InverseRequest()


def sweeps(n: int, tolerance: float = 0.0) -> list[Inverse]:
    """The inverses by sweeps to choose from for layers of n coordinates, from narrow to wide."""
    root = math.sqrt(n)
    widths = sorted({min(n, math.ceil(k * root)) for k in (1, 2, 4)})
    return [Inverse("jacobi", width, tolerance) for width in widths]


def one_by_one(n: int) -> Inverse:
    """The inverse that computes one of n coordinates after another."""
    return Inverse(
        "sequential", n if n <= ONE_BLOCK_COORDINATES else math.ceil(math.sqrt(n)) * 3 // 2
    )


def fastest(
    draft: Draft,
    feed: Feed,
    request: InverseRequest,
    check: Callable[[ServedGraph], None] | None = None,
) -> tuple[bytes, ServedGraph, InverseReport | None]:
    """Finish a draft with the inverse that takes the least time.

    Args:
        draft: one direction of a flow.
        feed: inputs of its graph; repeated where they are fewer than a server runs at once.
        request: which inverses to choose from.
        check: raises where a graph cannot pass, before the others are made.

    Returns:
        The ONNX file; the same loaded; which inverse it has and what was measured, with a residual
        of NaN, or None if the draft has no masked layer to invert.
    """
    if not draft.coordinates:
        content = draft.finish(None)
        return content, ServedGraph(content), None
    search = _Search(draft, feed, check)
    n = max(draft.coordinates)
    are_few = n <= ONE_BLOCK_COORDINATES
    if request.method == "jacobi" or (request.method == "auto" and not are_few):
        search.sweep(sweeps(n, request.tolerance))
    loads_fast = are_few or draft.nodes_one_by_one <= MAX_SEQUENTIAL_NODES
    if request.method == "sequential" or (request.method == "auto" and loads_fast):
        search.cost(one_by_one(n))
    return search.outcome()


class _Search:
    """Graphs of a draft that are made, timed and compared; the fastest so far stays loaded.

    Args:
        draft, feed, check: of `fastest`.
    """

    def __init__(
        self, draft: Draft, feed: Feed, check: Callable[[ServedGraph], None] | None
    ) -> None:
        self._draft, self._feed, self._check = draft, feed, check
        self._tried: list[tuple[float, Inverse, InverseMethod]] = []
        self._best: tuple[bytes, ServedGraph]

    def sweep(self, inverses: list[Inverse]) -> None:
        """Try the middle width; then narrower ones while they are faster, or else wider ones."""
        middle = len(inverses) // 2
        first = self.cost(inverses[middle])
        for side in (inverses[:middle][::-1], inverses[middle + 1 :]):
            least = first
            for inverse in side:
                if (cost := self.cost(inverse)) >= least:
                    break
                least = cost
            if least < first:
                return

    def cost(self, inverse: Inverse) -> float:
        """Make and time the graph of an inverse; returns its cost."""
        say_where(f"{inverse.method}, {inverse.width} wide")
        content = self._draft.finish(inverse)
        graph = ServedGraph(content)
        if self._check is not None and not self._tried:
            self._check(graph)  # the arithmetic is the same in all
        least = min((cost for cost, _, _ in self._tried), default=math.inf)
        milliseconds = _milliseconds(graph, self._feed, least)
        cost = _cost(milliseconds)
        if cost < least:
            self._best = content, graph  # no other stays loaded: they would fill the memory
        method = InverseMethod(
            method=METHOD_WORDS[inverse.method], width=inverse.width, milliseconds=milliseconds
        )
        self._tried.append((cost, inverse, method))
        return cost

    def outcome(self) -> tuple[bytes, ServedGraph, InverseReport]:
        """What `fastest` returns."""
        (_, inverse, method), *others = sorted(self._tried, key=lambda each: each[0])
        report = InverseReport(
            **method.model_dump(),
            tolerance=inverse.tolerance,
            residual=math.nan,
            others=[method for _, _, method in others],
        )
        return *self._best, report


def _cost(milliseconds: Mapping[str, float]) -> float:
    """The product of times a row, in which the largest number of rows counts twice.

    Counted once, 27 wide blocks of 43 coordinates passed for as fast as 14 wide ones: 1.5 ms for
    one row where those take 2.1, but 37 for 256 rows where those take 27.
    """
    a_row = [taken / int(rows) for rows, taken in milliseconds.items()]
    return math.prod([*a_row, a_row[-1]])


def _milliseconds(graph: ServedGraph, feed: Feed, least: float) -> dict[str, float]:
    """Least times with numbers of rows that servers meet, by these.

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
    return first if _cost(first) >= HOPELESS ** (len(sizes) + 1) * least else run(MAX_RUNS)
