"""Which way of inverting masked layers is the fastest for a flow, by measurement."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.layers import ONE_BLOCK_COORDINATES, Inverse
from service.bundle import InverseMethod, InverseReport
from training.export.graphs import Draft

Feed = Mapping[str, NDArray[np.float32]]

# What is asked for: single rows, and batches as large as a server makes.
BATCH_SIZES = (1, 256)
REPEATS, SECONDS = 7, 2.0
# One by one, graphs of more coordinates are large and slow to load, and sweeps were faster.
MOST_STEPS = 64


@dataclass(frozen=True)
class InverseRequest:
    """What the user wants of the sequential direction.

    Args:
        method: a method of `models.layers.Inverse`; `auto` for the faster one.
        tolerance: of `jacobi`.

    Raises:
        ValueError: a tolerance below zero, or without `jacobi`.
    """

    method: Literal["auto", "sequential", "jacobi"] = "auto"
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        # which checks the tolerance: only of jacobi may it be another than 0
        Inverse("jacobi" if self.method == "jacobi" else "sequential", 1, self.tolerance)


FASTEST = InverseRequest()


def candidates(n: int, request: InverseRequest) -> list[Inverse]:
    """The inverses worth measuring for layers of n coordinates; one alone where they are few."""
    root = math.ceil(math.sqrt(n))
    ordered = [n if n <= ONE_BLOCK_COORDINATES else root * 3 // 2]
    jacobi = sorted({min(n, k * root) for k in (1, 2, 4)})
    if request.method == "auto":
        ordered = ordered if n <= MOST_STEPS else []
        jacobi = jacobi if n > ONE_BLOCK_COORDINATES else []
    return [
        *(Inverse("sequential", width) for width in ordered if request.method != "jacobi"),
        *(
            Inverse("jacobi", width, request.tolerance)
            for width in jacobi
            if request.method != "sequential"
        ),
    ]


def fastest(draft: Draft, feed: Feed, request: InverseRequest) -> tuple[bytes, InverseReport | None]:
    """Finish a draft in the way that takes the least time.

    Args:
        draft: one direction of a flow.
        feed: inputs of its graph, of as many rows as the largest of `BATCH_SIZES`.
        request: which methods may be taken.

    Returns:
        The ONNX file; what was chosen and measured, its residual still NaN, or None where no masked
        layer is in the draft's way.
    """
    n = draft.sequential
    if not n:
        return draft.finish(None), None
    found = [(one, draft.finish(one)) for one in candidates(n, request)]
    measured = [
        InverseMethod(method=one.method, width=one.width, milliseconds=_milliseconds(content, feed))
        for one, content in found
    ]
    # each size counts alike, however long it takes
    order = sorted(range(len(found)), key=lambda i: math.prod(measured[i].milliseconds.values()))
    best, *rest = (measured[i] for i in order)
    inverse, content = found[order[0]]
    report = InverseReport(
        **best.model_dump(), tolerance=inverse.tolerance, residual=math.nan, others=rest
    )
    return content, report


def _milliseconds(content: bytes, feed: Feed) -> dict[str, float]:
    """Least time of a run for each batch size, on the CPU."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    measured = {}
    for size in BATCH_SIZES:
        rows = {name: values[:size] for name, values in feed.items()}
        times: list[float] = []
        began = time.perf_counter()
        while len(times) < REPEATS and time.perf_counter() - began < SECONDS:
            start = time.perf_counter()
            session.run(None, rows)
            times.append(1e3 * (time.perf_counter() - start))
        measured[str(size)] = round(min(times), 4)
    return measured
