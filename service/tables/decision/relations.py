"""What columns and rows are to each other: copies, linear combinations, outliers, repeated rows."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# A column whose part that does not follow from others is smaller than this, in its own deviations,
# is a combination of them: float32 files round values to 1e-7 of their size.
MIN_INDEPENDENT_PART = 1e-5

# Columns that differ by more of their deviation than this are two, however they are rounded.
MAX_TWIN_RESIDUAL = 0.02

# Smaller coefficients of a combination are rounding.
MIN_COEFFICIENT = 1e-3

# Rows that linear combinations are looked for in, for each column; and columns that are looked at.
SAMPLED_ROWS_PER_COLUMN = 20
MIN_SAMPLED_ROWS = 4096
MAX_COMPARED_COLUMNS = 1024

# A column with fewer distinct values than this, in many rows, is a set of labels.
MIN_DISTINCT_VALUES = 20

# A value that so many rows share, and that lies farther from all others than those from each other
# (times this), stands for something else: a sensor that was off, or no answer.
MIN_ROWS_OF_A_MARKER = 3
MARKER_DISTANCE = 2.0

# Rows of discrete columns repeat by nature where more than this share of them repeats others: there
# are few different ones. Fewer may be copies.
NATURAL_SHARE = 0.9

# A single value with more than this share of a column's variance is said.
MAX_VARIANCE_SHARE = 0.5


def combinations(rows: NDArray[np.float64]) -> list[tuple[int, list[int]]]:
    """Columns that are linear combinations of earlier ones: the index of each, and of those.

    A diagonal entry of the triangle of a QR decomposition is what is left of a column once those
    before it are taken out.

    Args:
        rows: N × D, a sample of the rows, none of whose columns is constant.
    """
    deviations = rows - rows.mean(0)
    triangle = np.linalg.qr(deviations / deviations.std(0), mode="r") / np.sqrt(len(rows))
    dependent = np.abs(np.diag(triangle)) < MIN_INDEPENDENT_PART
    found = []
    for column in np.flatnonzero(dependent):
        earlier = np.flatnonzero(~dependent[:column])
        coefficients = np.linalg.lstsq(triangle[:, earlier], triangle[:, column], rcond=None)[0]
        others = earlier[np.abs(coefficients) > MIN_COEFFICIENT]
        found.append((int(column), others.tolist()))
    return found


def twins(rows: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs of columns that are copies of each other but for their rounding: later, earlier.

    Written in other units and rounded, a column differs from its copy by no more than the steps in
    which both are written.

    Args:
        rows: N × D, a sample of the rows, none of whose columns is constant.
    """
    deviations = rows.std(0)
    # columns that are not rounded differ by next to nothing somewhere
    steps = np.array([np.diff(np.unique(column)).min(initial=np.inf) for column in rows.T])
    steps = np.minimum(steps / deviations, 1)
    correlation = np.abs(np.corrcoef(rows.T))
    residuals = np.sqrt(np.maximum(1 - correlation * correlation, 0))
    alike = np.tril(residuals < MAX_TWIN_RESIDUAL, -1)
    alike &= residuals < steps[:, None] + steps
    return [(int(later), int(earlier)) for later, earlier in np.argwhere(alike)]


def sampled_rows(n: int, columns: int) -> NDArray[np.intp] | None:
    """Which rows to look for combinations in; None where there are too few or too many columns."""
    if columns < 2 or columns > MAX_COMPARED_COLUMNS or n < 2 * columns:
        return None
    count = max(SAMPLED_ROWS_PER_COLUMN * columns, MIN_SAMPLED_ROWS)
    chosen: NDArray[np.intp] = np.random.default_rng(0).permutation(n)[:count]
    return chosen


def outlier(values: NDArray[np.float64]) -> tuple[int, float] | None:
    """The row of a value that makes most of a column's variance, and its share of it."""
    scale = float(np.abs(values).max()) or 1.0
    deviations = values / scale - np.median(values / scale)
    squares = deviations * deviations
    row = int(squares.argmax())
    total = float(squares.sum())
    share = float(squares[row]) / total if total else 0.0
    return (row, share) if share > MAX_VARIANCE_SHARE and len(values) > 2 else None


def marker(distinct: NDArray[np.float64], counts: NDArray[np.intp]) -> tuple[float, int] | None:
    """The smallest or largest value, where it is one such as −999, and how many rows have it."""
    if len(distinct) < MIN_DISTINCT_VALUES:
        return None
    for edge, others in ((0, distinct[1:]), (-1, distinct[:-1])):
        distance = float(np.abs(others - distinct[edge]).min())
        spread = float(others[-1] - others[0])
        if counts[edge] >= MIN_ROWS_OF_A_MARKER and distance > MARKER_DISTANCE * spread:
            return float(distinct[edge]), int(counts[edge])
    return None


def repeat_by_nature(repeated: int, rows: int, are_discrete: bool) -> bool:
    """Whether so many rows that repeat others are no copies."""
    return are_discrete and repeated > NATURAL_SHARE * rows


def without_copies(columns: Sequence[NDArray[np.generic]], are_discrete: bool) -> NDArray[np.intp]:
    """The first of each set of equal rows; all rows where they repeat by nature.

    Args:
        columns: D of N values each.
        are_discrete: whether their rows may repeat by nature.
    """
    rows = np.stack([values.astype(np.float64) for values in columns], 1)
    _, firsts = np.unique(row_digests(rows, len(rows)), axis=0, return_index=True)
    if repeat_by_nature(len(rows) - len(firsts), len(rows), are_discrete):
        return np.arange(len(rows))
    return np.sort(firsts)


def row_digests(rows: NDArray[np.generic], rows_at_once: int) -> NDArray[np.uint64]:
    """Two numbers for each row, the same for the same rows: N × D → N × 2.

    Args:
        rows: N × D.
        rows_at_once: how many are in memory in float64.
    """
    factors = np.random.default_rng(0).integers(1, 2**63, (2, rows.shape[1]), np.uint64) | 1
    digests = np.empty((len(rows), 2), np.uint64)
    for first in range(0, len(rows), rows_at_once):
        # 0.0 and −0.0 are the same number
        bits = (rows[first : first + rows_at_once].astype(np.float64) + 0.0).view(np.uint64)
        mixed = bits ^ (bits >> np.uint64(29))
        for i in range(2):
            products = mixed * factors[i]
            products ^= products >> np.uint64(32)
            digests[first : first + len(bits), i] = products.sum(1, dtype=np.uint64)
    return digests
