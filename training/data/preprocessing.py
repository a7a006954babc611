"""The flow that a recipe makes for a data set, as `zoo.build` takes it."""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from models import zoo
from training.config import FlowRecipe
from training.data.context import Float32
from training.data.dataset import Dataset
from training.data.marginals import normal_marginals, steepest, tail_share
from training.errors import DataError

# Coordinates that a matrix written into run.json can whiten: a million numbers, 20 MB.
MOST_WHITENED = 1024

# Of the widest direction's: less is rounding.
SMALLEST_VARIANCE = 1e-8

# Of each coordinate's spline.
KNOTS = 32

# The steepest that a dequantised coordinate's may be, in normal deviations a whole number's cell.
STEEPEST_CELL = 50.0

# Pixels of a channel that its spline is fitted to.
MOST_POOLED = 2**22


def flow_arguments(dataset: Dataset, recipe: FlowRecipe) -> dict[str, Any]:
    """What `zoo.build` takes to build a recipe's flow for a data set.

    Raises:
        DataError: a logit was asked for and the data has no bounds.
    """
    made = {
        "family": recipe.family,
        "event_shape": list(dataset.event_shape),
        "preprocessing": preprocessing(dataset, recipe),
        "options": recipe.options,
    }
    if dataset.context:
        fields = {"classes", "mean", "scale"}
        columns = [c.model_dump(include=fields, exclude_none=True) for c in dataset.context]
        made["context"] = {"columns": columns, "embedding": recipe.embedding}
    return made


def preprocessing(dataset: Dataset, recipe: FlowRecipe) -> list[dict[str, Any]]:
    """The fixed first layers of a flow, as `zoo.build` takes them, fitted to the training rows.

    Raises:
        DataError: a logit was asked for and the data has no bounds.
    """
    if recipe.preprocessing == "none":
        return []
    rows = dataset.noisy(dataset.train, copies=1, seed=0)[0]
    if recipe.preprocessing == "normal-marginals":
        return [_marginals(rows, dataset, pooled=not recipe.options.get("positional_bias"))]
    steps: list[dict[str, Any]] = []
    if recipe.preprocessing in ("logit", "soft-logit"):
        if not np.isfinite([dataset.low, dataset.high]).all():
            raise DataError(
                f"preprocessing = '{recipe.preprocessing}' needs the range of the values: set "
                "bounds = [low, high] in [data]"
            )
        low, high = _range(dataset)
        step: dict[str, Any] = {"kind": recipe.preprocessing}
        if recipe.preprocessing == "soft-logit":
            step["margin"] = recipe.margin
        else:
            pad = recipe.margin * (high - low)
            low, high = low - pad, high + pad
        steps.append(step | {"low": per_coordinate(low), "high": per_coordinate(high)})
        layer = zoo.fixed_layer(dataset.event_shape, **steps[0])
        with torch.no_grad():
            rows = layer.encode(torch.from_numpy(rows))[0].numpy()
    # a sound is louder at some times than at others, but the same numbers at all times
    axis = None if dataset.sound is not None else 0
    mean, scale = rows.mean(axis, dtype=np.float64), rows.std(axis, dtype=np.float64)
    steps.append(
        {
            "kind": "standardize",
            "mean": per_coordinate(mean),
            "scale": per_coordinate(np.maximum(scale, 1e-12)),
        }
    )
    if recipe.preprocessing == "whiten":
        steps.append({"kind": "whiten", "matrix": _whitening(rows).tolist()})
    return steps


def _range(dataset: Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The least and the largest value of each coordinate; infinite where there is none."""
    # an integer is the centre of its cell, so the cells end half a step further out
    return dataset.low - 0.5 * dataset.integer, dataset.high + 0.5 * dataset.integer


def _marginals(rows: Float32, dataset: Dataset, pooled: bool) -> dict[str, Any]:
    """Splines that make each coordinate normal, or of images, where pooled, each channel.

    To networks that are the same everywhere, splines of each pixel would hide which values are
    alike.
    """
    low, high = _range(dataset)
    integer = dataset.integer
    if rows.ndim == 4 and pooled:
        images = max(1, MOST_POOLED // rows[0, 0].size)
        rows = np.moveaxis(rows[:images], 1, -1).reshape(-1, rows.shape[1])
        low, high, integer = low.min((1, 2)), high.max((1, 2)), integer.min((1, 2))
    flat = rows.reshape(len(rows), -1)
    if np.isfinite([low, high]).all():
        # a coordinate that hardly ever left one value may do so in the next row
        count = math.ceil(2 * tail_share(len(flat)) * len(flat))
        share = (np.arange(count) + 0.5)[:, None] / count
        made_up = low.ravel() + share * (high - low).ravel()
        flat = np.concatenate([flat, made_up.astype(np.float32)])
    values, cells = torch.from_numpy(flat), torch.from_numpy(integer.ravel())
    knots = normal_marginals(values, KNOTS, torch.where(cells, STEEPEST_CELL, steepest(values)))
    x, slope = (part.double().tolist() for part in (knots.x, knots.slope))
    return {"kind": "normal-marginals", "x": x, "y": knots.y[0].double().tolist(), "slope": slope}


def _whitening(rows: Float32) -> NDArray[np.float64]:
    """What makes standardized rows uncorrelated: D × D, a row a principal direction, widest first.

    Raises:
        DataError: more coordinates than a recipe can write down, or some that follow from others.
    """
    if rows.ndim != 2 or rows.shape[1] > MOST_WHITENED:
        raise DataError(
            f"preprocessing = 'whiten' is for rows of one axis of at most {MOST_WHITENED} "
            f"coordinates, got rows of shape {list(rows.shape[1:])}"
        )
    variances, directions = np.linalg.eigh(np.corrcoef(rows.T.astype(np.float64)))
    if variances[0] < SMALLEST_VARIANCE * variances[-1]:
        raise DataError(
            "preprocessing = 'whiten' needs coordinates none of which follows from the others: "
            f"along one direction they vary {variances[0] / variances[-1]:.1e} times as much as "
            "along the widest"
        )
    # a direction's sign is anyone's: its largest component is positive
    largest = np.take_along_axis(directions, np.abs(directions).argmax(0)[None], 0)
    whitening: NDArray[np.float64] = (directions * np.sign(largest) / np.sqrt(variances)).T[::-1]
    return whitening


def per_coordinate(values: ArrayLike) -> float | list[float]:
    """One number where all coordinates agree, else one a coordinate in row-major order."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    return float(flat[0]) if np.ptp(flat) == 0 else flat.tolist()
