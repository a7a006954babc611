"""Data sets: rows from real sources, checked, divided, and ready for maximum likelihood."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.datasets import load_digits

from models import zoo
from service.bundle import sha256
from training import files
from training.densities import DENSITIES
from training.errors import DataError
from training.recipe import DataRecipe, FlowRecipe

Float32 = NDArray[np.float32]

# A column of fewer distinct values than this, among many rows, is a set of labels.
FEWEST_DISTINCT = 20

# A value in more than this part of the rows is no draw from a density.
LARGEST_SHARE = 0.2

# Above it float32 has less than two binary digits for noise of half a step.
LARGEST_WHOLE = 2**22


@dataclass(frozen=True)
class Dataset:
    """Rows divided into three, each N × D in float32, raw as clients will send them.

    Args:
        name: where they come from, for people.
        sha256: checksum of the file, or of the rows where there is no file.
        integer: for each coordinate, whether it is a whole number to be dequantised.
        low, high: for each coordinate, the range of its values, both ends included.
    """

    name: str
    sha256: str
    integer: NDArray[np.bool_]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    train: Float32
    validation: Float32
    test: Float32

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.train.shape[1:]

    def noisy(self, rows: Float32, copies: int, seed: int) -> Float32:
        """Copies of the rows with dequantisation noise, copies × N × D; one where none is due."""
        if not self.integer.any():
            return rows[None]
        rng = np.random.default_rng(seed)
        noise = rng.uniform(-0.5, 0.5, (copies, *rows.shape)) * self.integer
        noisy: Float32 = (rows + noise).astype(np.float32)
        return noisy


def load(recipe: DataRecipe) -> Dataset:
    """Load, check and divide the rows that a recipe names.

    Raises:
        DataError: the source cannot be read, or holds columns that no density fits; the column
            is named.
    """
    assert recipe.source is not None
    if recipe.source == "digits":
        name, rows = "scikit-learn digits", load_digits().data
        columns = [f"pixel_{i // 8}_{i % 8}" for i in range(64)]
        digest, integers = _digest(rows), "dequantize"
    elif recipe.source in DENSITIES:
        name, rows = recipe.source, DENSITIES[recipe.source](recipe.rows, recipe.seed)
        columns, digest, integers = ["x", "y"], _digest(rows), recipe.integers
    else:
        path = Path(recipe.source)
        table = files.read(path, recipe.key, recipe.drop)
        name, rows, columns, digest = path.name, table.rows, table.columns, sha256(path)
        integers = recipe.integers
    rows, integer = _checked(rows, columns, integers)
    low, high = _range(rows, integer, columns, recipe.bounds)
    train, validation, test = _divide(rows.astype(np.float32), recipe)
    return Dataset(name, digest, integer, low, high, train, validation, test)


def preprocessing(dataset: Dataset, recipe: FlowRecipe) -> list[dict[str, Any]]:
    """The fixed first layers of a flow, as `zoo.build` takes them, fitted to the training rows.

    Raises:
        DataError: a logit was asked for and the data has no bounds.
    """
    if recipe.preprocessing == "none":
        return []
    rows = dataset.noisy(dataset.train, copies=1, seed=0)[0]
    steps: list[dict[str, Any]] = []
    if recipe.preprocessing != "standardize":
        if not np.isfinite([dataset.low, dataset.high]).all():
            raise DataError(
                f"preprocessing = '{recipe.preprocessing}' needs the range of the values: set "
                "bounds = [low, high] in [data]"
            )
        # an integer is the centre of its cell, so the cells end half a step further out
        low, high = dataset.low - 0.5 * dataset.integer, dataset.high + 0.5 * dataset.integer
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
    mean, scale = rows.mean(0, dtype=np.float64), rows.std(0, dtype=np.float64)
    steps.append(
        {
            "kind": "standardize",
            "mean": per_coordinate(mean),
            "scale": per_coordinate(np.maximum(scale, 1e-12)),
        }
    )
    return steps


def per_coordinate(values: ArrayLike) -> float | list[float]:
    """One number where all coordinates agree, else one a coordinate in row-major order."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    return float(flat[0]) if np.ptp(flat) == 0 else flat.tolist()


def _digest(rows: NDArray[np.generic]) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows, dtype="<f8").tobytes()).hexdigest()


def _checked(
    rows: NDArray[np.generic], columns: list[str], integers: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Rows as N × D float64, and which columns hold whole numbers; refuses what has no density."""
    if rows.dtype.kind not in "fiu":
        raise DataError(f"expected numbers, the data holds {rows.dtype}: a flow models numbers")
    if len(rows) < 10 or not columns:
        raise DataError(f"expected at least 10 rows of 1 column, got {len(rows)} × {len(columns)}")
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    with np.errstate(over="ignore"):
        bad = np.argwhere(~np.isfinite(flat.astype(np.float32)))
    if len(bad):
        row, column = bad[0]
        raise DataError(
            f"row {row} has no finite float32 number in column {columns[column]!r} "
            f"({flat[row, column]}); {len(bad)} such values in all"
        )
    integer = np.zeros(flat.shape[1], dtype=bool)
    for i, name in enumerate(columns):
        integer[i] = _column_is_integer(flat[:, i], name, integers)
    return flat, integer


def _column_is_integer(values: NDArray[np.float64], name: str, integers: str) -> bool:
    leave_out = f'leave it out with drop = ["{name}"] in [data]'
    distinct, counts = np.unique(values, return_counts=True)
    whole = bool((distinct == np.round(distinct)).all())
    if whole and integers == "dequantize":
        if np.abs(distinct).max() >= LARGEST_WHOLE:
            raise DataError(
                f"column {name!r} holds whole numbers up to {np.abs(distinct).max():g}, to which "
                f"float32 cannot add noise of half a step: subtract an offset, or {leave_out}"
            )
        return True
    if whole:
        raise DataError(
            f"column {name!r} holds only whole numbers ({len(distinct)} different ones): the "
            "density of a discrete column has no bound. If they are rounded measurements or "
            f'counts, set integers = "dequantize"; if they are categories, {leave_out}'
        )
    if len(distinct) < min(FEWEST_DISTINCT, len(values)) or len(distinct) < 0.01 * len(values):
        raise DataError(
            f"column {name!r} holds only {len(distinct)} different values "
            f"({', '.join(f'{v:g}' for v in distinct[:5])}…) in {len(values)} rows: it is "
            f"discrete or rounded, and its density has no bound; {leave_out}"
        )
    if counts.max() > max(LARGEST_SHARE * len(values), 2):
        raise DataError(
            f"column {name!r} is {distinct[counts.argmax()]:g} in {counts.max()} of {len(values)} "
            f"rows: a density has no bound at a value of such weight; {leave_out}"
        )
    kept = len(np.unique(distinct.astype(np.float32)))
    if kept < 0.9 * len(distinct):
        raise DataError(
            f"column {name!r} has {len(distinct)} different values, of which float32 can tell "
            f"only {kept} apart (they lie between {distinct[0]:g} and {distinct[-1]:g}): subtract "
            "an offset first"
        )
    return False


def _range(
    rows: NDArray[np.float64],
    integer: NDArray[np.bool_],
    columns: list[str],
    bounds: tuple[float, float] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, high = rows.min(0), rows.max(0)
    if bounds is not None:
        outside = np.argwhere((low < bounds[0]) | (high > bounds[1]))
        if len(outside):
            i = outside[0][0]
            raise DataError(
                f"column {columns[i]!r} goes from {low[i]:g} to {high[i]:g}, outside the "
                f"bounds {list(bounds)} that the recipe states"
            )
        low, high = np.full_like(low, bounds[0]), np.full_like(high, bounds[1])
    elif integer.all():
        # pixels share their range: one that is dark in every row could still be bright
        low, high = np.full_like(low, low.min()), np.full_like(high, high.max())
    else:
        low, high = np.where(integer, low, -np.inf), np.where(integer, high, np.inf)
    return low, high


def _divide(rows: Float32, recipe: DataRecipe) -> tuple[Float32, Float32, Float32]:
    order = np.random.default_rng(recipe.seed).permutation(len(rows))
    n_test, n_validation = (max(1, round(s * len(rows))) for s in (recipe.test, recipe.validation))
    test, validation, train = np.split(rows[order], [n_test, n_test + n_validation])
    if min(len(test), len(train)) < 2:
        raise DataError(
            f"{len(rows)} rows divide into {len(train)} to train on, {len(validation)} to validate "
            f"and {len(test)} to test: at least 2, 1 and 2 are needed; change [data] or add rows"
        )
    return train, validation, test
