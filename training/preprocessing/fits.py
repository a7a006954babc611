"""The flow of a recipe for a data set, its preprocessing fitted to the training rows."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from models import zoo
from service.bundle import ContextColumn
from training.config import NO_PREPROCESSING, FlowRecipe, FlowSpec, TabularSpec
from training.data import Dataset, Float32, TypedDataset
from training.errors import DataError
from training.preprocessing.marginals import normal_marginals, steepest, tail_share
from training.preprocessing.tabular import tabular_spec

Steps = list[dict[str, Any]]
"""Fixed first layers as `zoo.build` takes them: {"kind": a key of `zoo.PREPROCESSING`, …}."""

# A whitening matrix of so many coordinates is a million numbers, 20 MB in run.json.
MAX_WHITENED_COORDINATES = 1024

# Relative to the variance along the widest direction: a smaller one is rounding.
MIN_RELATIVE_VARIANCE = 1e-8

MARGINAL_KNOTS = 32

# The largest slope of a dequantised coordinate's spline, in normal deviations per integer cell.
MAX_SLOPE_PER_CELL = 50.0

# A channel's spline is fitted to this many pixels at most.
MAX_POOLED_PIXELS = 2**22


def context_fields(columns: Sequence[ContextColumn]) -> list[dict[str, Any]]:
    """The columns of a context as a `ContextSpec` takes them."""
    fields = {"classes", "mean", "scale"}
    return [column.model_dump(include=fields, exclude_none=True) for column in columns]


def flow_spec(dataset: Dataset | TypedDataset, recipe: FlowRecipe) -> FlowSpec | TabularSpec:
    """Specify the flow, or the density over typed columns, that a recipe describes for a data set.

    Raises:
        DataError: the preprocessing does not apply to the data, such as a logit of values without
            bounds.
    """
    context = None
    if dataset.context:
        context = {"columns": context_fields(dataset.context), "embedding": recipe.embedding}
    if isinstance(dataset, TypedDataset):
        return tabular_spec(dataset, recipe, context)
    return FlowSpec.model_validate(
        {
            "family": recipe.family,
            "event_shape": list(dataset.event_shape),
            "preprocessing": preprocessing(dataset, recipe),
            "options": recipe.options,
            "context": context,
        }
    )


def preprocessing(dataset: Dataset, recipe: FlowRecipe) -> Steps:
    """Fit the fixed first layers of a flow to the training rows.

    Raises:
        DataError: the preprocessing does not apply to the data.
    """
    if recipe.preprocessing == NO_PREPROCESSING:
        return []
    rows = dataset.noisy(dataset.train.rows, copies=1, seed=0)[0]
    return FITS[recipe.preprocessing](rows, dataset, recipe)


def _standardize(rows: Float32, dataset: Dataset, _: FlowRecipe) -> Steps:
    # the loudness of a sound varies over time, but one mean and one scale serve at all times
    axis = None if dataset.sound is not None else 0
    mean, scale = rows.mean(axis, dtype=np.float64), rows.std(axis, dtype=np.float64)
    scale = np.where(scale > 0, scale, 1.0)  # a pixel may be the same in every image
    return [
        {"kind": "standardize", "mean": per_coordinate(mean), "scale": per_coordinate(scale)},
    ]


def _whiten(rows: Float32, dataset: Dataset, recipe: FlowRecipe) -> Steps:
    matrix = _whitening(rows).tolist()
    return [*_standardize(rows, dataset, recipe), {"kind": "whiten", "matrix": matrix}]


def _soft_logit(rows: Float32, dataset: Dataset, recipe: FlowRecipe) -> Steps:
    low, high = _bounded_range(dataset, recipe)
    bounds = {"low": per_coordinate(low), "high": per_coordinate(high)}
    return _standardized_after(
        {"kind": "soft-logit", "margin": recipe.margin, **bounds}, rows, dataset, recipe
    )


def _logit(rows: Float32, dataset: Dataset, recipe: FlowRecipe) -> Steps:
    low, high = _bounded_range(dataset, recipe)
    pad = recipe.margin * (high - low)
    bounds = {"low": per_coordinate(low - pad), "high": per_coordinate(high + pad)}
    return _standardized_after({"kind": "logit", **bounds}, rows, dataset, recipe)


def _standardized_after(
    step: dict[str, Any], rows: Float32, dataset: Dataset, recipe: FlowRecipe
) -> Steps:
    """A step, and the standardization of what it makes of the rows."""
    layer = zoo.fixed_layer(dataset.event_shape, **step)
    with torch.no_grad():
        encoded: Float32 = layer.encode(torch.from_numpy(rows))[0].numpy()
    return [step, *_standardize(encoded, dataset, recipe)]


def _bounded_range(
    dataset: Dataset, recipe: FlowRecipe
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if not np.isfinite([dataset.low, dataset.high]).all():
        raise DataError(
            f"preprocessing = '{recipe.preprocessing}' needs the range of the values: set "
            "bounds = [low, high] in [data]"
        )
    return _range(dataset)


def _range(dataset: Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The smallest and the largest value of each coordinate; infinite if it is not bounded."""
    # an integer is the centre of its cell, so the cells end half a step beyond the range
    return dataset.low - 0.5 * dataset.integer, dataset.high + 0.5 * dataset.integer


def _normal_marginals(rows: Float32, dataset: Dataset, recipe: FlowRecipe) -> Steps:
    """Splines that make each coordinate normal or, of images, all pixels of each channel.

    Networks that treat all pixels alike need one spline for all of them: with a spline for each
    pixel, equal values of two pixels would no longer look equal.
    """
    low, high = _range(dataset)
    integer = dataset.integer
    if rows.ndim == 4 and not recipe.per_pixel_marginals:
        images = max(1, MAX_POOLED_PIXELS // rows[0, 0].size)
        rows = np.moveaxis(rows[:images], 1, -1).reshape(-1, rows.shape[1])
        low, high, integer = low.min((1, 2)), high.max((1, 2)), integer.min((1, 2))
    flat = rows.reshape(len(rows), -1)
    if np.isfinite([low, high]).all():
        # a coordinate that is constant in nearly all rows can still take any value in the range
        count = math.ceil(2 * tail_share(len(flat)) * len(flat))
        share = (np.arange(count) + 0.5)[:, None] / count
        synthetic = low.ravel() + share * (high - low).ravel()
        flat = np.concatenate([flat, synthetic.astype(np.float32)])
    values, cells = torch.from_numpy(flat), torch.from_numpy(integer.ravel())
    max_slope = torch.where(cells, MAX_SLOPE_PER_CELL, steepest(values))
    knots = normal_marginals(values, MARGINAL_KNOTS, max_slope)
    return [
        {
            "kind": "normal-marginals",
            "x": knots.x.double().tolist(),
            "y": knots.y[0].double().tolist(),
            "slope": knots.slope.double().tolist(),
        }
    ]


FITS: dict[str, Callable[[Float32, Dataset, FlowRecipe], Steps]] = {
    "standardize": _standardize,
    "whiten": _whiten,
    "logit": _logit,
    "soft-logit": _soft_logit,
    "normal-marginals": _normal_marginals,
}
"""How the preprocessing of each name is fitted to the training rows."""


def _whitening(rows: Float32) -> NDArray[np.float64]:
    """The matrix that makes standardized rows uncorrelated: D × D.

    Each row is a principal direction divided by its deviation, the widest direction first.

    Raises:
        DataError: too many coordinates for run.json, or some that depend linearly on others.
    """
    if rows.ndim != 2 or rows.shape[1] > MAX_WHITENED_COORDINATES:
        raise DataError(
            "preprocessing = 'whiten' is for rows of one axis of at most "
            f"{MAX_WHITENED_COORDINATES} coordinates, got rows of shape {list(rows.shape[1:])}"
        )
    variances, directions = np.linalg.eigh(np.corrcoef(rows.T.astype(np.float64)))
    if variances[0] < MIN_RELATIVE_VARIANCE * variances[-1]:
        raise DataError(
            "preprocessing = 'whiten' needs coordinates none of which follows from the others: "
            f"along one direction they vary {variances[0] / variances[-1]:.1e} times as much as "
            "along the widest"
        )
    # the sign of a direction is arbitrary: make its largest component positive
    largest = np.take_along_axis(directions, np.abs(directions).argmax(0)[None], 0)
    whitening: NDArray[np.float64] = (directions * np.sign(largest) / np.sqrt(variances)).T[::-1]
    return whitening


def per_coordinate(values: ArrayLike) -> float | list[float]:
    """One number if all coordinates agree, else one for each coordinate in row-major order."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    return float(flat[0]) if np.ptp(flat) == 0 else flat.tolist()
