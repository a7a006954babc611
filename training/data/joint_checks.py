"""What columns and rows are to each other: copies, linear combinations, outliers, repeated rows."""

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

# A column whose part that does not follow from others is smaller than this, in its own deviations,
# is a combination of them: float32 files round values to 1e-7 of their size.
MIN_INDEPENDENT_PART = 1e-5

# Smaller coefficients of a combination are rounding.
MIN_COEFFICIENT = 1e-3

# Rows that linear combinations are looked for in, for each column; and columns that are looked at.
SAMPLED_ROWS_PER_COLUMN = 20
MIN_SAMPLED_ROWS = 4096
MAX_COMPARED_COLUMNS = 1024

# A single value with more than this share of a column's variance is said.
MAX_VARIANCE_SHARE = 0.5


def combinations(rows: NDArray[np.float64]) -> list[tuple[int, list[int]]]:
    """Columns that are linear combinations of others: of each its index, and those of the others.

    Args:
        rows: N × D, a sample of the rows, none of whose columns is constant.
    """
    deviations = rows - rows.mean(0)
    standardized = deviations / deviations.std(0)
    # the pivots of the triangle are those of the rows, and it has a few of them
    (square,) = linalg.qr(standardized, mode="r", check_finite=False)
    square = square[: rows.shape[1]] / np.sqrt(len(rows))
    triangle, order = linalg.qr(square, mode="r", pivoting=True, check_finite=False)
    rank = int((np.abs(np.diag(triangle)) >= MIN_INDEPENDENT_PART).sum())
    found = []
    for position in range(rank, len(order)):
        coefficients = linalg.solve_triangular(triangle[:rank, :rank], triangle[:rank, position])
        others = [int(order[i]) for i in np.flatnonzero(np.abs(coefficients) > MIN_COEFFICIENT)]
        found.append((int(order[position]), sorted(others)))
    return sorted(found)


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
