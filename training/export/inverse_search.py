"""The fastest inverse of the autoregressive layers of a flow, by measurement."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.layers import ONE_BLOCK_COORDINATES, Inverse
from service.bundle import METHOD_WORDS, METHODS, InverseMethod, InverseReport
from training.errors import ExportError
from training.export.graphs import Draft
from training.export.served_graph import MIDDLE_ROWS, ServedGraph
from training.progress import say_where

Feed = Mapping[str, NDArray[np.float32]]
Check = Callable[[ServedGraph], object]
"""Raises an ExportError where a graph does not pass."""

# Each graph runs MAX_RUNS times with each number of rows, or for MAX_SECONDS of each thread; one
# that is HOPELESS times slower than the best after FIRST_RUNS runs no more.
FIRST_RUNS, MAX_RUNS, MAX_SECONDS, HOPELESS = 2, 7, 0.3, 2.0
# Nodes up to which a graph of one coordinate after another is tried: 4,500 (43 affine coordinates
# in five layers) take a CPU-second to load, 16 and 43 coordinates with splines 7 and 31.
MAX_SEQUENTIAL_NODES = 5000

RESIDUAL = 1e-5
"""The change up to which rows are swept over, relative to max(1, |x|), where no tolerance is asked
for. Sweeps converge faster than any power, so that what is left is far below the last change."""


@dataclass(frozen=True)
class InverseRequest:
    """Which inverses of autoregressive layers an export may choose from.

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

    @property
    def residual(self) -> float:
        """The tolerance of sweeps that need not be exact."""
        return self.tolerance if self.method == "jacobi" else RESIDUAL


FASTEST = InverseRequest()


def inverse_request(method: str, tolerance: float) -> InverseRequest:
    """Which inverses a user asks for: `auto`, or a method by its name or its former one.

    Raises:
        ExportError: a tolerance that does not go with the method.
    """
    try:
        return InverseRequest(METHODS.get(method, method), tolerance)  # type: ignore[arg-type]
    except ValueError as error:
        raise ExportError(str(error)) from None


class Fastest(NamedTuple):
    """The graph that takes the least time.

    Args:
        content: the ONNX file.
        graph: the same loaded.
        report: which inverse it has and what was measured, with a residual of NaN; None if there is
            no layer to invert.
        inverse: the same inverse.
        unguided: where its sweeps start from the guesses of a student, the fastest method without
            them; else None.
    """

    content: bytes
    graph: ServedGraph
    report: InverseReport | None = None
    inverse: Inverse | None = None
    unguided: InverseMethod | None = None


def sweeps(n: int, tolerance: float = 0.0) -> list[Inverse]:
    """The inverses by sweeps to choose from for layers of n coordinates, the last of one block."""
    root = math.sqrt(n)
    widths = sorted({*(min(n, math.ceil(k * root)) for k in (1, 2, 4)), n})
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
    check: Check | None = None,
    verify: Check | None = None,
    guided: Draft | None = None,
) -> Fastest:
    """Finish a draft with the inverse that takes the least time.

    Args:
        draft: one direction of a flow.
        feed: inputs of its graph; repeated where they are fewer than a server runs at once.
        request: which inverses to choose from.
        check: of the first graph, before the others are made.
        verify: of graphs whose sweeps stop before they are exact: one that does not pass is not
            chosen.
        guided: the same direction, where sweeps start from the guesses of a student.

    Raises:
        ExportError: no graph passes.
    """
    search = _Search(feed, check, verify)
    if draft.coordinates:
        _search_masked(search, draft, request)
    elif draft.tokens or (draft.stepwise and (guided is not None or request.method == "jacobi")):
        _search_stepwise(search, draft, request)
    else:
        content = draft.finish(None)
        return Fastest(content, ServedGraph(content))
    if guided is not None:
        search.narrow_guided(guided, sweeps(_length(draft), request.residual))
    return search.outcome()


def _length(draft: Draft) -> int:
    """Coordinates of the longest layer that a draft goes through in steps."""
    of_layers = [layer.order.numel() for layer in draft.layers] if draft.coordinates else []
    return max([*of_layers, *(math.prod(layer.event_shape) for layer in draft.stepwise)])


def _search_masked(search: "_Search", draft: Draft, request: InverseRequest) -> None:
    """Try the inverses of masked layers."""
    n = max(draft.coordinates)
    are_few = n <= ONE_BLOCK_COORDINATES
    if request.method == "jacobi":
        search.sweep(draft, sweeps(n, request.tolerance))
    elif request.method == "auto" and not are_few:
        width = search.sweep(draft, sweeps(n))
        for each in sorted({width, n}):
            search.cost(draft, Inverse("jacobi", each, RESIDUAL))
    loads_fast = are_few or draft.nodes_one_by_one <= MAX_SEQUENTIAL_NODES
    if request.method == "sequential" or (request.method == "auto" and loads_fast):
        search.cost(draft, one_by_one(n))


def _search_stepwise(search: "_Search", draft: Draft, request: InverseRequest) -> None:
    """Try the inverses of layers that go through a row step by step."""
    steps, values = max(draft.tokens) if draft.tokens else (_length(draft), 1)
    if request.method != "jacobi":
        search.cost(draft, Inverse("sequential", values))
    are_many = draft.tokens and steps > ONE_BLOCK_COORDINATES
    if request.method == "jacobi" or (request.method == "auto" and are_many):
        residual = request.residual
        search.sweep(
            draft, [replace(each, width=values * each.width) for each in sweeps(steps, residual)]
        )


class _Tried(NamedTuple):
    """A graph that was timed."""

    cost: float
    inverse: Inverse
    method: InverseMethod
    guided: bool


class _Search:
    """Graphs of drafts that are made, timed and compared; the fastest so far stays loaded.

    Args:
        feed, check, verify: of `fastest`.
    """

    def __init__(self, feed: Feed, check: Check | None, verify: Check | None) -> None:
        self._feed, self._check, self._verify = feed, check, verify
        self._tried: list[_Tried] = []
        self._best: tuple[bytes, ServedGraph]
        self._missed: ExportError | None = None

    def sweep(self, draft: Draft, inverses: Sequence[Inverse]) -> int:
        """Try the middle width; then narrower ones while they are faster, or else wider ones.

        Returns:
            The fastest width.
        """
        middle = (len(inverses) - 1) // 2
        first = self.cost(draft, inverses[middle])
        best = inverses[middle].width
        for side in (inverses[:middle][::-1], inverses[middle + 1 :]):
            least = first
            for inverse in side:
                if (cost := self.cost(draft, inverse)) >= least:
                    break
                least, best = cost, inverse.width
            if least < first:
                break
        return best

    def narrow_guided(self, draft: Draft, inverses: Sequence[Inverse]) -> None:
        """Try narrower and narrower widths of guided sweeps while they are faster."""
        least = math.inf
        for inverse in inverses[::-1]:
            if (cost := self.cost(draft, inverse, guided=True)) >= least:
                break
            least = cost

    def cost(self, draft: Draft, inverse: Inverse, *, guided: bool = False) -> float:
        """Make and time the graph of an inverse; returns its cost, without end if it fails."""
        say_where(f"{inverse.method}, {inverse.width} wide{', guided' * guided}")
        content = draft.finish(inverse)
        graph = ServedGraph(content)
        if self._check is not None and not self._tried:
            self._check(graph)  # what is exact has the same arithmetic in all
        least = min((tried.cost for tried in self._tried), default=math.inf)
        milliseconds = _milliseconds(graph, self._feed, least)
        cost = _cost(milliseconds)
        if cost < least:
            if inverse.tolerance and self._verify is not None:
                try:
                    self._verify(graph)
                except ExportError as error:
                    self._missed = self._missed or error
                    return math.inf
            self._best = content, graph  # no other stays loaded: they would fill the memory
        method = InverseMethod(
            method=METHOD_WORDS[inverse.method], width=inverse.width, milliseconds=milliseconds
        )
        self._tried.append(_Tried(cost, inverse, method, guided))
        return cost

    def outcome(self) -> Fastest:
        """What `fastest` returns."""
        if not self._tried:
            assert self._missed is not None
            raise self._missed
        best, *others = sorted(self._tried, key=lambda tried: tried.cost)
        report = InverseReport(
            **best.method.model_dump(),
            tolerance=best.inverse.tolerance,
            residual=math.nan,
            others=[tried.method for tried in others],
        )
        unguided = next((tried.method for tried in others if not tried.guided), None)
        return Fastest(*self._best, report, best.inverse, unguided if best.guided else None)


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
