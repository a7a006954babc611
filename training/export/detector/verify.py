"""Verified graphs of a detector, measured against it in float64."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from service.bundle import ScoreTolerances
from training.detectors import ArrayDetector, Detector
from training.errors import ExportError
from training.export.detector.graphs import neighbours_graph, score_graph
from training.export.reference import REFERENCE_ROWS
from training.export.served_graph import ServedGraph
from training.export.verify import BARS

Float64 = NDArray[np.float64]

# Of scores, as a part of the deviation of the calibration rows' scores.
SCORE_BAR = 1e-4

# Of squared distances, as a part of the largest of a row: a neighbour that is farther than the
# nearest rows by less is as near.
DISTANCE_BAR = 1e-9

# Rows whose neighbours are compared: of each, distances to all reference rows by each column.
NEIGHBOUR_ROWS = 32


class DetectorGraphs(NamedTuple):
    """The graphs as ONNX files, and how far they are from the detector.

    Args:
        score: x[, context] → score, log_prob.
        neighbours: x[, context] → values; None where it is left out.
        tolerances: what was measured.
    """

    score: bytes
    neighbours: bytes | None
    tolerances: ScoreTolerances


def verified_detector(
    detector: Detector | ArrayDetector,
    rows: NDArray[Any],
    context: NDArray[np.floating] | None,
    deviation: float,
    neighbours: bool = True,
) -> DetectorGraphs:
    """Export the graphs of a detector and measure them on rows.

    Args:
        detector: it computes in float64, and is the reference.
        rows: N × event shape; codes of classes, NaN where missing.
        context: N × C, exactly when the detector has one.
        deviation: of the calibration rows' scores.
        neighbours: whether a detector of tables has a graph of neighbours.

    Raises:
        ExportError: a difference is above its bar; all are named.
    """
    index = np.arange(REFERENCE_ROWS) % len(rows)  # repeated where there are fewer
    feed = {"x": rows[index].astype(np.float64)}
    if context is not None:
        feed["context"] = context[index].astype(np.float64)
    graph = score_graph(detector)
    tolerances, missed = _compared(detector, graph, feed, deviation)
    of_neighbours = None
    if neighbours and isinstance(detector, Detector):
        of_neighbours = neighbours_graph(detector)
        few = {name: values[:NEIGHBOUR_ROWS] for name, values in feed.items()}
        farther = _farther(detector, of_neighbours, few)
        if not farther <= DISTANCE_BAR:
            missed.append(f"neighbours farther by {farther:.2g} (bar {DISTANCE_BAR:.0e})")
    if missed:
        raise ExportError(
            "the exported detector misses the float64 reference by more than allowed, and nothing "
            f"was written: {', '.join(missed)}"
        )
    return DetectorGraphs(graph, of_neighbours, tolerances)


def _compared(
    detector: Detector | ArrayDetector, graph: bytes, feed: dict[str, Float64], deviation: float
) -> tuple[ScoreTolerances, list[str]]:
    """The differences of scores and log-densities at each batch size, and those above their bars.

    The last row is one outside the support, which has an infinite score.
    """
    feed = {name: np.concatenate([values, values[:1]]) for name, values in feed.items()}
    feed["x"][-1] = np.inf
    with torch.no_grad():
        answers = detector(*(torch.from_numpy(values) for values in feed.values()))
    expected = [answer.numpy() for answer in answers]
    served = ServedGraph(graph)
    errors: list[list[Float64]] = [[], []]
    for batch, found in served.at_each_size(feed):
        for kept, values, right in zip(errors, found, expected, strict=True):
            kept.append(_difference(values, right[batch]))
    score, log_prob = (np.concatenate(each) for each in errors)
    per_dim = log_prob / math.prod(detector.event_shape)
    measured = {
        "score": (float(score.max()) / deviation, SCORE_BAR),
        "log_prob_per_dim_max": (float(per_dim.max()), BARS["log_prob_per_dim_max"]),
        "log_prob_per_dim_p99": (
            float(np.quantile(per_dim, 0.99)),
            BARS["log_prob_per_dim_p99"],
        ),
    }
    # written so that NaN is a miss
    missed = [f"{k} {v:.2g} (bar {bar:.0e})" for k, (v, bar) in measured.items() if not v <= bar]
    tolerances = ScoreTolerances(
        score=measured["score"][0],
        log_prob_per_dim=measured["log_prob_per_dim_max"][0],
        batch_sizes=sorted(served.batch_sizes),
    )
    return tolerances, missed


def _farther(detector: Detector, graph: bytes, feed: dict[str, Float64]) -> float:
    """By how much the values of a graph are of rows that are farther than the nearest ones.

    Of rows that are equally near, each has other values, and rounding decides between them: each
    value is to be that of some row that is as near as the nearest one of its place.

    Returns:
        A difference of squared distances, as a part of the largest of its row; infinite where a
        value is of no training row.
    """
    values = ServedGraph(graph).run(feed)[0]
    with torch.no_grad():
        distances = detector.distances_by_others(*map(torch.from_numpy, feed.values())).numpy()
    nearest = np.sort(distances, 2)[:, :, : values.shape[2]]
    references = detector.references.numpy()
    worst = 0.0
    for column in range(values.shape[1]):
        of_rows = references[:, column]
        found = values[:, column]
        is_value = (found[:, :, None] == of_rows) | (
            np.isnan(found)[:, :, None] & np.isnan(of_rows)
        )
        of_value = np.where(is_value, distances[:, column, None, :], np.inf).min(2)
        scale = np.maximum(distances[:, column].max(1), 1.0)[:, None]
        worst = max(worst, float(((of_value - nearest[:, column]) / scale).max()))
    return worst


def _difference(answer: Float64, expected: Float64) -> Float64:
    """Absolute differences: zero where both are infinite, infinite where one is."""
    with np.errstate(invalid="ignore"):
        difference = np.abs(answer - expected)
    return np.where(answer == expected, 0.0, np.where(np.isnan(difference), np.inf, difference))
