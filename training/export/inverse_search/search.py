"""Inverses are tried until the fastest is found."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from models.layers import ONE_BLOCK_COORDINATES, Inverse
from service.bundle import METHOD_WORDS, InverseMethod, InverseReport
from training.errors import ExportError
from training.export.graphs import Draft
from training.export.inverse_search.request import RESIDUAL, InverseRequest
from training.export.inverse_search.timing import cost_of, run_times
from training.export.served_graph import Feed, ServedGraph
from training.export.verify import Errors
from training.progress import say_where

Preview = Callable[[ServedGraph], None]
Verify = Callable[[ServedGraph], Errors]
"""Both raise an ExportError where a graph does not pass."""

# Nodes up to which a graph of one coordinate after another is tried: 4,500 (43 affine coordinates
# in five layers) take a CPU-second to load, 16 and 43 coordinates with splines 7 and 31.
MAX_SEQUENTIAL_NODES = 5000


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
        errors: of the graph at its batch sizes, where the search has verified it.
    """

    content: bytes
    graph: ServedGraph
    report: InverseReport | None = None
    inverse: Inverse | None = None
    unguided: InverseMethod | None = None
    errors: Errors | None = None


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
    preview: Preview | None = None,
    verify: Verify | None = None,
    guided: Draft | None = None,
) -> Fastest:
    """Finish a draft with the inverse that takes the least time.

    Args:
        draft: one direction of a flow.
        feed: inputs of its graph; repeated where they are fewer than a server runs at once.
        request: which inverses to choose from.
        preview: of the first graph, before the others are made.
        verify: of graphs whose sweeps stop before they are exact: one that does not pass is not
            chosen.
        guided: the same direction, where sweeps start from the guesses of a student.

    Raises:
        ExportError: no graph passes.
    """
    search = _Search(feed, preview, verify)
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
        feed, preview, verify: of `fastest`.
    """

    def __init__(self, feed: Feed, preview: Preview | None, verify: Verify | None) -> None:
        self._feed, self._preview, self._verify = feed, preview, verify
        self._tried: list[_Tried] = []
        self._best: tuple[bytes, ServedGraph, Errors | None]
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
        if self._preview is not None and not self._tried:
            self._preview(graph)  # what is exact has the same arithmetic in all
        least = min((tried.cost for tried in self._tried), default=math.inf)
        milliseconds = run_times(graph, self._feed, least)
        cost = cost_of(milliseconds)
        errors: Errors | None = None
        if cost < least:
            if inverse.tolerance and self._verify is not None:
                try:
                    errors = self._verify(graph)
                except ExportError as error:
                    self._missed = self._missed or error
                    return math.inf
            # no other stays loaded: they would fill the memory
            self._best = content, graph, errors
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
        content, graph, errors = self._best
        return Fastest(
            content, graph, report, best.inverse, unguided if best.guided else None, errors
        )
