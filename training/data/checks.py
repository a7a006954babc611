"""Checks that a density of each column exists and is bounded."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.readers import Table
from training.errors import DataError

# A column with fewer distinct values than this, in many rows, is a set of labels.
MIN_DISTINCT_VALUES = 20

# So is one with fewer distinct values than this share of the rows.
MIN_DISTINCT_SHARE = 0.01

# A value in a larger share of the rows than this is no draw from a density.
MAX_SHARE_OF_ONE_VALUE = 0.2

# Above it float32 has less than two binary digits for noise of half a step.
MAX_INTEGER = 2**22

# A column that keeps a smaller share of its distinct values in float32 than this is refused.
MIN_SHARE_KEPT_IN_FLOAT32 = 0.9

# Rows or columns are checked this many numbers at a time: files may be larger than memory.
NUMBERS_AT_ONCE = 2**24


@dataclass(frozen=True)
class ColumnRanges:
    """Of each column: whether its values are integers, and their range.

    Args:
        integer: whether the column holds whole numbers that are to be dequantised.
        low, high: its smallest and its largest value.
    """

    integer: NDArray[np.bool_]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def check_numbers(table: Table) -> None:
    """Check that all values of a table are numbers that are finite in float32.

    Raises:
        DataError: values that are no numbers, or one that is not finite; the column is named.
    """
    rows = table.rows
    if rows.dtype.kind not in "fiu":
        raise DataError(f"expected numbers, the data holds {rows.dtype}: a flow models numbers")
    if rows.dtype.kind in "iu":
        return
    step = _rows_at_once(rows)
    for first in range(0, len(rows), step):
        block = rows[first : first + step]
        with np.errstate(over="ignore"):
            bad = np.argwhere(~np.isfinite(block.astype(np.float32)))
        if len(bad):
            row, column = bad[0]
            raise DataError(
                f"row {first + row} has no finite float32 number in column "
                f"{table.columns[column]!r} ({block[row, column]}); {len(bad)} such values in the "
                f"{len(block)} rows about it"
            )


def float32(
    rows: NDArray[np.generic], indices: NDArray[np.intp], columns: Sequence[int]
) -> NDArray[np.float32]:
    """Select columns of some rows: N × D → len(indices) × len(columns)."""
    selected = np.empty((len(indices), len(columns)), np.float32)
    step = _rows_at_once(rows)
    for first in range(0, len(indices), step):
        selected[first : first + step] = rows[indices[first : first + step]][:, columns]
    return selected


def inspect(
    rows: NDArray[np.generic], columns: Sequence[int], names: Sequence[str], integers: str
) -> ColumnRanges:
    """Check columns one by one, and measure their ranges.

    Args:
        rows: N × D, finite numbers.
        columns: indices of those to check.
        names: of all columns.
        integers: `refuse` or `dequantize`.

    Raises:
        DataError: no density of a column has a bound, or one repeats another.
    """
    integer: list[bool] = []
    ranges: list[tuple[float, float]] = []
    first_by_digest: dict[bytes, str] = {}  # the first column with these values
    step = max(1, NUMBERS_AT_ONCE // max(1, len(rows)))
    for start in range(0, len(columns), step):
        block = list(columns[start : start + step])
        for i, values in zip(block, rows[:, block].T.astype(np.float64, order="C"), strict=True):
            whole = is_integer(values, names[i], integers)
            integer.append(whole)
            ranges.append((float(values.min()), float(values.max())))
            if whole:  # its own noise makes it differ from others
                continue
            digest = hashlib.sha256(values.tobytes()).digest()
            other = first_by_digest.setdefault(digest, names[i])
            if other != names[i]:
                raise DataError(
                    f"column {names[i]!r} repeats column {other!r} in every row: together they "
                    f'have no density; leave it out with drop = ["{names[i]}"] in [data]'
                )
    low, high = np.array(ranges).T
    return ColumnRanges(np.array(integer), low, high)


def _rows_at_once(rows: NDArray[np.generic]) -> int:
    columns: int = rows.shape[1]
    return max(1, NUMBERS_AT_ONCE // max(1, columns))


def is_integer(values: NDArray[np.float64], name: str, integers: str) -> bool:
    """Whether a column holds whole numbers that are to be dequantised.

    Args:
        values: the column.
        name: its name.
        integers: `refuse` or `dequantize`.

    Raises:
        DataError: no density of the column has a bound.
    """
    leave_out = f'leave it out with drop = ["{name}"] in [data]'
    whole = bool((values == np.round(values)).all())
    if whole and integers == "dequantize":
        if np.abs(values).max() >= MAX_INTEGER:
            raise DataError(
                f"column {name!r} holds whole numbers up to {np.abs(values).max():g}, to which "
                f"float32 cannot add noise of half a step: subtract an offset, or {leave_out}"
            )
        return True
    distinct, counts = np.unique(values, return_counts=True)
    if whole:
        raise DataError(
            f"column {name!r} holds only whole numbers ({len(distinct)} different ones): the "
            "density of a discrete column has no bound. If they are rounded measurements or "
            f'counts, set integers = "dequantize"; if they are categories, {leave_out}'
        )
    fewest = min(MIN_DISTINCT_VALUES, len(values))
    if len(distinct) < fewest or len(distinct) < MIN_DISTINCT_SHARE * len(values):
        raise DataError(
            f"column {name!r} holds only {len(distinct)} different values "
            f"({', '.join(f'{v:g}' for v in distinct[:5])}…) in {len(values)} rows: it is "
            f"discrete or rounded, and its density has no bound; {leave_out}"
        )
    if counts.max() > max(MAX_SHARE_OF_ONE_VALUE * len(values), 2):
        raise DataError(
            f"column {name!r} is {distinct[counts.argmax()]:g} in {counts.max()} of {len(values)} "
            f"rows: a density has no bound at a value of such weight; {leave_out}"
        )
    kept = len(np.unique(distinct.astype(np.float32)))
    if kept < MIN_SHARE_KEPT_IN_FLOAT32 * len(distinct):
        raise DataError(
            f"column {name!r} has {len(distinct)} different values, of which float32 can tell "
            f"only {kept} apart (they lie between {distinct[0]:g} and {distinct[-1]:g}): subtract "
            "an offset first"
        )
    return False
