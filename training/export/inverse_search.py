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
from training.export.served_graph import ServedGraph

Feed = Mapping[str, NDArray[np.float32]]

# Each graph runs MAX_RUNS times at each batch size, or for MAX_SECONDS.
MAX_RUNS, MAX_SECONDS = 7, 2.0
# Sequential graphs of more coordinates are large and slow to load, and sweeps were faster.
MAX_SEQUENTIAL_COORDINATES = 64


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


def candidates(n: int, request: InverseRequest) -> list[Inverse]:
    """The inverses to measure for layers of n coordinates; a single one where n is small."""
    root = math.ceil(math.sqrt(n))
    sequential_widths = [n if n <= ONE_BLOCK_COORDINATES else root * 3 // 2]
    jacobi_widths = sorted({min(n, k * root) for k in (1, 2, 4)})
    if request.method == "auto":
        sequential_widths = sequential_widths if n <= MAX_SEQUENTIAL_COORDINATES else []
        jacobi_widths = jacobi_widths if n > ONE_BLOCK_COORDINATES else []
    sequential = [Inverse("sequential", width) for width in sequential_widths]
    jacobi = [Inverse("jacobi", width, request.tolerance) for width in jacobi_widths]
    allowed = {"auto": sequential + jacobi, "sequential": sequential, "jacobi": jacobi}
    return allowed[request.method]


def fastest(
    draft: Draft,
    feed: Feed,
    request: InverseRequest,
    check: Callable[[ServedGraph], None] | None = None,
) -> tuple[bytes, ServedGraph, InverseReport | None]:
    """Finish a draft with the inverse that takes the least time.

    Args:
        draft: one direction of a flow.
        feed: inputs of its graph, as many rows as a server runs at once.
        request: which inverses to choose from.
        check: raises where a graph cannot pass, before the others are made.

    Returns:
        The ONNX file; the same loaded; which inverse it has and what was measured, with a residual
        of NaN, or None if the draft has no masked layer to invert.
    """
    n = draft.sequential
    if not n:
        content = draft.finish(None)
        return content, ServedGraph(content), None
    measured: list[tuple[float, Inverse, InverseMethod]] = []
    # the last first: sweeps are quick to load, and in each candidate the arithmetic is the same
    for inverse in reversed(candidates(n, request)):
        content = draft.finish(inverse)
        graph = ServedGraph(content)
        if check is not None and not measured:
            check(graph)
        milliseconds = _milliseconds(graph, feed)
        method = InverseMethod(
            method=METHOD_WORDS[inverse.method], width=inverse.width, milliseconds=milliseconds
        )
        # by the product, so that each batch size counts alike
        cost = math.prod(milliseconds.values())
        if not measured or cost < min(of for of, _, _ in measured):
            best = content, graph  # no other stays loaded: together they would fill the memory
        measured.append((cost, inverse, method))
    (_, inverse, fastest_method), *others = sorted(measured, key=lambda each: each[0])
    report = InverseReport(
        **fastest_method.model_dump(),
        tolerance=inverse.tolerance,
        residual=math.nan,
        others=[method for _, _, method in others],
    )
    return *best, report


def _milliseconds(graph: ServedGraph, feed: Feed) -> dict[str, float]:
    """Least time of a run of one row, and of as many as a server runs at once."""
    measured = {}
    for size in (1, graph.batch_rows):
        rows = {name: values[:size] for name, values in feed.items()}
        times: list[float] = []
        began = time.perf_counter()
        while len(times) < MAX_RUNS and time.perf_counter() - began < MAX_SECONDS:
            start = time.perf_counter()
            graph.run(rows)
            times.append(1e3 * (time.perf_counter() - start))
        measured[str(size)] = round(min(times), 4)
    return measured
