"""Comparing exported graphs with the float64 flow that they were made from."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.bundle import Tolerances
from training.errors import ExportError
from training.export.reference import Expected, Float64, GraphName
from training.export.served_graph import ServedGraph
from training.progress import say_where

# Rows that tell whether a graph is worth more: most that miss the bars miss them in these.
PREVIEW_ROWS = 64

P99 = 0.99
BARS = {
    "log_prob_per_dim_p99": 1e-5,
    "log_prob_per_dim_max": 1e-4,
    "z_relative": 1e-4,
    "x_relative": 1e-4,
}
STATES_BAR = {"states_relative": BARS["x_relative"]}
"""Of points between layers."""

# Part of a bar within which a near answer of the reference will do.
NEAR = 0.1

TENSORS: dict[GraphName, tuple[str, str]] = {
    "encode": ("x", "z"),
    "decode": ("z", "x"),
    "layers": ("z", "states"),
}
"""The input and the first output of each graph."""


@dataclass(frozen=True)
class Errors:
    """The differences between the outputs of a graph and those of its flow in float64.

    Args:
        relative: largest difference of a coordinate, as a fraction of its range; the range of
            latents, whose base has scale 1, counts as 1 at least.
        log_prob_per_dim: absolute differences of each row at each batch size, in nats; of layers
            the largest of a row.
        batch_sizes: that were tried.
    """

    relative: float
    log_prob_per_dim: Float64
    batch_sizes: list[int]


def verify(name: GraphName, expected: Expected, graph: ServedGraph) -> Errors:
    """Measure how far a graph is from its flow in float64, at each of its batch sizes.

    Args:
        name: of the graph.
        expected: the outputs of the flow that it was made from.
        graph: that is measured.

    Raises:
        ExportError: a difference is above its bar; all are named. It is raised as soon as the rest
            of the rows cannot change that.
    """
    checks = sum(graph.rows_at_each_size(expected.feed).values())
    for errors in _growing_errors(name, expected, graph):
        if _is_missed(errors, checks):
            break
    refuse_misses(name, errors)
    return errors


def preview(name: GraphName, expected: Expected, graph: ServedGraph) -> None:
    """Look at `PREVIEW_ROWS` rows, before anything is done for a graph that cannot pass.

    Raises:
        ExportError: as of `verify`.
    """
    checks = sum(graph.rows_at_each_size(expected.feed).values())
    for errors in _growing_errors(name, expected, graph, PREVIEW_ROWS):
        if _is_missed(errors, checks):
            refuse_misses(name, errors)


def _growing_errors(
    name: GraphName, expected: Expected, graph: ServedGraph, enough: float = math.inf
) -> Iterator[Errors]:
    """The errors of more and more rows, until they are enough.

    Rows that are too far from a near answer are compared with the exact one, all together: those of
    the first `PREVIEW_ROWS` after these, as most graphs that miss the bars miss them there, and all
    others at the end.
    """
    compare = _Comparison(name, expected)
    checks = sum(graph.rows_at_each_size(expected.feed).values())
    all_rows, seen = np.arange(len(expected)), 0
    relative, per_dim = 0.0, np.empty(0)
    too_far: list[tuple[NDArray[np.intp], Float64, Float64]] = []

    def with_settled() -> Errors:
        nonlocal relative, per_dim
        rows, value, log_prob = (np.concatenate(each) for each in zip(*too_far, strict=True))
        too_far.clear()
        expected.settle(np.unique(rows))
        of_value, of_log_prob = compare.errors(rows, value, log_prob)
        relative = float(np.maximum(relative, of_value.max()))
        per_dim = np.concatenate([per_dim, of_log_prob])
        return Errors(relative, per_dim, graph.batch_sizes)

    for part, (value, log_prob) in graph.at_each_size(expected.feed):
        rows = all_rows[part]
        of_value, of_log_prob = compare.errors(rows, value, log_prob)
        is_close = (of_value <= NEAR * compare.bar) & (
            of_log_prob <= NEAR * BARS["log_prob_per_dim_p99"]
        )
        sure = is_close | ~expected.near(rows)
        if not sure.all():
            too_far.append((rows[~sure], value[~sure], log_prob[~sure]))
        relative = float(np.maximum(relative, of_value[sure].max(initial=0)))  # which keeps NaN
        per_dim = np.concatenate([per_dim, of_log_prob[sure]])
        yield Errors(relative, per_dim, graph.batch_sizes)
        is_first, seen = seen < PREVIEW_ROWS, seen + len(rows)
        say_where(f"{seen} of {checks} rows")
        if too_far and is_first and seen >= PREVIEW_ROWS:
            yield with_settled()
        if seen >= enough:
            break
    if too_far:
        yield with_settled()


class _Comparison:
    """Measures differences from what is expected of a graph, row by row.

    Args:
        name: of the graph.
        expected: what it should answer.
    """

    def __init__(self, name: GraphName, expected: Expected) -> None:
        self._expected = expected
        self._dimensions = next(iter(expected.feed.values()))[0].size
        self._scale = np.ptp(expected.value, axis=0)
        if name == "encode":
            self._scale = np.maximum(self._scale, 1)
        self.bar = (BARS | STATES_BAR)[f"{TENSORS[name][1]}_relative"]
        """Of the first output."""

    def errors(
        self, rows: NDArray[np.intp], value: Float64, log_prob: Float64
    ) -> tuple[Float64, Float64]:
        """Largest error of a coordinate, as a part of its range, and of log_prob per dimension."""
        relative = np.abs(value - self._expected.value[rows]) / self._scale
        per_dim = np.abs(log_prob - self._expected.log_prob[rows]) / self._dimensions
        return relative.reshape(len(rows), -1).max(1), per_dim.reshape(len(rows), -1).max(1)


def _is_missed(errors: Errors, checks: int) -> bool:
    """Whether errors of some rows tell that those of all `checks` miss a bar.

    A quantile lies between two errors in their order: where so many are above the bar that the
    lower one is, whatever else comes, the quantile is.
    """
    many = checks - math.floor(P99 * (checks - 1))
    return not (
        errors.relative <= min(BARS["z_relative"], BARS["x_relative"])
        and errors.log_prob_per_dim.max(initial=0) <= BARS["log_prob_per_dim_max"]
        and (errors.log_prob_per_dim > BARS["log_prob_per_dim_p99"]).sum() < many
    )


def refuse_misses(name: GraphName, errors: Errors) -> None:
    """Raise an ExportError that names the errors of a graph that are above their bars, if any."""
    answer = f"{TENSORS[name][1]}_relative"
    measured, bars = _of_log_prob(errors.log_prob_per_dim), BARS | STATES_BAR
    measured[answer] = errors.relative
    # written so that NaN is a miss
    missed = [f"{k} {v:.2g} (bar {bars[k]:.0e})" for k, v in measured.items() if not v <= bars[k]]
    if missed:
        what = "of layers" if name == "layers" else f"to {name}"
        raise ExportError(
            f"the exported graph {what} misses the float64 reference by more than allowed, and "
            f"nothing was written: {', '.join(missed)}"
        )


def tolerances(encode: Errors, decode: Errors) -> Tolerances:
    """The errors of both directions, as a manifest states them."""
    log_prob_per_dim = np.concatenate([encode.log_prob_per_dim, decode.log_prob_per_dim])
    return Tolerances(
        **_of_log_prob(log_prob_per_dim),
        z_relative=encode.relative,
        x_relative=decode.relative,
        batch_sizes=sorted({*encode.batch_sizes, *decode.batch_sizes}),
    )


def layer_tolerances(errors: Errors) -> dict[str, float]:
    """The errors of the graph of layers, as a manifest states them."""
    return _of_log_prob(errors.log_prob_per_dim) | {"states_relative": errors.relative}


def _of_log_prob(per_dim: Float64) -> dict[str, float]:
    """Errors of log_prob by their names in `BARS`."""
    return {
        "log_prob_per_dim_p99": float(np.quantile(per_dim, P99)),
        "log_prob_per_dim_max": float(per_dim.max()),
    }
