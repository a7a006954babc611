"""The numbers of typed columns that are fitted to the training rows, for `zoo.build_tabular`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.columns import NumberColumn
from models.numerics import Knots
from training.preprocessing.marginals import normal_marginals

Float64 = NDArray[np.float64]
Fields = Mapping[str, Any]

# A warp has a knot for so many rows, within these limits. On 31 OddBench tables independent columns
# scored 0.8 nats a row better than with 32 knots everywhere; 128 everywhere lost 0.2 on tables of
# fewer than 700 rows.
ROWS_PER_KNOT = 10
MIN_KNOTS, MAX_KNOTS = 24, 128

# The largest slope of a continuous column's warp, in normal deviations per deviation of the column,
# and of a lattice's, per cell. At 1000 those tables scored 0.4 nats better than at 100, where many
# values lie close together; at 10,000 hardly more, and equal values would be steps.
MAX_SLOPE = 1000.0
MAX_SLOPE_PER_CELL = 50.0

# What is added to each count before it becomes a share.
PRIOR_COUNT = 0.5


def fit_columns(rows: Float64, columns: Sequence[Fields]) -> list[dict[str, Any]]:
    """Fit descriptions of columns to training rows.

    Args:
        rows: N × D; NaN where a value is missing, codes where it is a class.
        columns: for each column its kind and what is known before: `step`, `origin`, `low`, `high`,
            `closed`, `point_masses` and `features` of numbers (`models.columns.NumberColumn`), the
            number `classes` and `other` of categorical columns, and whether values can be
            `missing`.

    Returns:
        Arguments of `zoo.build_tabular`, as JSON values.
    """
    return [fit_column(rows[:, i], column) for i, column in enumerate(columns)]


def fit_column(values: Float64, column: Fields) -> dict[str, Any]:
    """The same for one column: N values."""
    known = {name: value for name, value in column.items() if name not in ("missing", "classes")}
    there = values[~np.isnan(values)]
    fitted: dict[str, Any] = {}
    if column.get("missing"):
        gaps = len(values) - len(there)
        fitted["missing_share"] = (gaps + PRIOR_COUNT) / (len(values) + 2 * PRIOR_COUNT)
    if column["kind"] == "categorical":
        count = column["classes"] + bool(column.get("other"))
        fitted["shares"] = _shares(np.bincount(there.astype(np.int64), minlength=count))
        return known | fitted
    masses = column.get("point_masses", [])
    if masses:
        counts = [len(there), *((there == mass).sum() for mass in masses)]
        counts[0] -= sum(counts[1:])
        fitted["shares"] = _shares(np.array(counts))[1:]
        there = there[~np.isin(there, masses)]
    if column.get("step") is None:
        return known | fitted | _continuous(there)
    return known | fitted | _lattice(there, known)


def _shares(counts: NDArray[np.int64]) -> list[float]:
    """Shares from counts, none of them zero."""
    smooth = counts + PRIOR_COUNT
    return [float(share) for share in smooth / smooth.sum()]


def _continuous(x: Float64) -> dict[str, Any]:
    """Center, scale and warp of a continuous column."""
    with np.errstate(over="ignore"):  # the square of a large number is infinite
        center, scale = (float(np.median(x)), float(x.std())) if len(x) else (0.0, 1.0)
    if len(x):
        low, high = np.quantile(x, [0.1587, 0.8413])
        scale = float(high - low) / 2 or scale or 1.0
    return {"center": center, "scale": scale, "warp": _warp((x - center) / scale, MAX_SLOPE)}


def _lattice(x: Float64, known: Fields) -> dict[str, Any]:
    """Center and warp of a lattice."""
    flat = {"x": [-1.0, 0.0, 1.0], "y": [-1.0, 0.0, 1.0], "slope": [1.0, 1.0, 1.0]}
    lattice = NumberColumn(**{**known, "warp": flat, "point_masses": (), "closed": False})
    k = np.array([lattice.cell(value) for value in x.tolist()])
    p, a, q = lattice.lattice
    if known.get("closed"):
        first, last = lattice.cell(known["low"]), lattice.cell(known["high"])
    else:
        first, last = (float(k.min()), float(k.max())) if len(k) else (0.0, 0.0)
    middle = float(np.median(k).round()) if len(k) else first
    fitted = {"center": (middle * p + a) / q}
    first, last, k = first - middle, last - middle, k - middle
    if last - first + 2 <= MAX_KNOTS:
        # a knot at the edge of each cell: the marginal probabilities are exact
        counts = np.bincount((k - first).astype(np.int64), minlength=int(last - first) + 1)
        return fitted | {"warp": _exact_warp(first, counts, bool(known.get("closed")))}
    # equal values are spread over their cell
    k = np.sort(k)
    _, start, count = np.unique(k, return_index=True, return_counts=True)
    inside = (np.arange(len(k)) - np.repeat(start, count) + 0.5) / np.repeat(count, count)
    return fitted | {"warp": _warp(k - 0.5 + inside, MAX_SLOPE_PER_CELL)}


def _exact_warp(first: float, counts: NDArray[np.int64], closed: bool) -> dict[str, list[float]]:
    """A warp with a knot at each edge of the cells from `first` on: the quantiles of the counts."""
    shares = np.array(_shares(counts))
    # of training rows that all have a value of large weight, there is no count
    outside = 0.0 if closed else PRIOR_COUNT / (max(counts.sum(), 1) + 2 * PRIOR_COUNT)
    shares *= 1 - 2 * outside
    below = outside + np.concatenate([[0], shares.cumsum()])
    above = (outside + np.concatenate([[0], shares[::-1].cumsum()]))[::-1].copy()
    y = _normal_quantile(below, above)
    if closed:
        # no probability lies beyond the outer edges: they place the warped middle of the outermost
        # cells, which the network reads, at the median of their values
        half = shares[[0, -1]] / 2
        medians = _normal_quantile(
            np.array([half[0], 1 - half[1]]), np.array([1 - half[0], half[1]])
        )
        if len(shares) == 1:
            y = np.array([-1.0, 1.0])
        else:
            y[0], y[-1] = 2 * medians[0] - y[1], 2 * medians[1] - y[-2]
    x = first - 0.5 + np.arange(len(y))
    if len(y) == 2:
        x, y = np.insert(x, 1, x.mean()), np.insert(y, 1, y.mean())
    return _knots(torch.from_numpy(x), torch.from_numpy(y))


def _normal_quantile(below: Float64, above: Float64) -> Float64:
    """The normal quantile of a point between probabilities, from the smaller of them."""
    side = torch.special.ndtri(torch.from_numpy(np.minimum(below, above)))
    quantile: Float64 = np.where(below < above, side.numpy(), -side.numpy())
    return quantile


def _warp(v: Float64, max_slope: float) -> dict[str, list[float]]:
    """A warp that makes values about standard normal, up to the smallest and the largest."""
    if len(np.unique(v)) < 2:
        return _knots(*(2 * [torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)]))
    x = torch.from_numpy(v)[:, None]
    steepest = x.new_tensor([max_slope])
    count = min(max(len(v) // ROWS_PER_KNOT, MIN_KNOTS), MAX_KNOTS)
    inner = normal_marginals(x, count - 2, steepest)
    knots = inner.x[0], inner.y[0]
    # one knot more at each end: the range of the data
    end = max(-float(torch.special.ndtri(x.new_tensor(0.5 / len(v)))), float(knots[1][-1]) + 0.25)
    gap = (end - knots[1][-1]) / steepest
    low = torch.minimum(x.min(), knots[0][:1] - gap)
    high = torch.maximum(x.max(), knots[0][-1:] + gap)
    ends = knots[1].new_tensor([end])
    return _knots(torch.cat([low, knots[0], high]), torch.cat([-ends, knots[1], ends]))


def _knots(x: Tensor, y: Tensor) -> dict[str, list[float]]:
    """Monotone slopes through knots: harmonic means of secants (Fritsch & Butland 1984)."""
    secant = y.diff() / x.diff()
    inner = 2 / (1 / secant[1:] + 1 / secant[:-1])
    knots = Knots(x, y, torch.cat([secant[:1], inner, secant[-1:]]))
    return {name: values.tolist() for name, values in knots._asdict().items()}
