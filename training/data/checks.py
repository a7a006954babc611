"""What a column of data must be for a density of it to exist."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.readers import Table
from training.errors import DataError

# A column of fewer distinct values than this, among many rows, is a set of labels.
FEWEST_DISTINCT = 20

# A value in more than this part of the rows is no draw from a density.
LARGEST_SHARE = 0.2

# Above it float32 has less than two binary digits for noise of half a step.
LARGEST_WHOLE = 2**22

# Rows or columns are looked at so many numbers at a time: files may be larger than memory.
NUMBERS_AT_ONCE = 2**24


@dataclass(frozen=True)
class Columns:
    """What each column of a table is.

    Args:
        integer: whether it holds whole numbers that are to be dequantised.
        low, high: its smallest and its largest value.
    """

    integer: NDArray[np.bool_]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def check_numbers(table: Table) -> None:
    """See that all of a table's rows are numbers that are finite in float32.

    Raises:
        DataError: something else than numbers, or one that is not finite; the column is named.
    """
    rows = table.rows
    if rows.dtype.kind not in "fiu":
        raise DataError(f"expected numbers, the data holds {rows.dtype}: a flow models numbers")
    if rows.dtype.kind in "iu":
        return
    each = _rows_at_once(rows)
    for first in range(0, len(rows), each):
        block = rows[first : first + each]
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
    rows: NDArray[np.generic], which: NDArray[np.intp], chosen: Sequence[int]
) -> NDArray[np.float32]:
    """Some columns of some rows: N × D → which × chosen."""
    taken = np.empty((len(which), len(chosen)), np.float32)
    each = _rows_at_once(rows)
    for first in range(0, len(which), each):
        taken[first : first + each] = rows[which[first : first + each]][:, chosen]
    return taken


def inspect(
    rows: NDArray[np.generic], chosen: Sequence[int], names: Sequence[str], integers: str
) -> Columns:
    """Look at columns one by one.

    Args:
        rows: N × D, finite numbers.
        chosen: which columns.
        names: of all columns.
        integers: `refuse` or `dequantize`.

    Raises:
        DataError: no density of a column has a bound, or one repeats another.
    """
    integer: list[bool] = []
    ends: list[tuple[float, float]] = []
    first: dict[bytes, str] = {}  # of a column with these values
    each = max(1, NUMBERS_AT_ONCE // max(1, len(rows)))
    for start in range(0, len(chosen), each):
        part = list(chosen[start : start + each])
        for i, values in zip(part, rows[:, part].T.astype(np.float64, order="C"), strict=True):
            whole = is_integer(values, names[i], integers)
            integer.append(whole)
            ends.append((float(values.min()), float(values.max())))
            if whole:  # noise of its own sets it apart from others
                continue
            other = first.setdefault(hashlib.sha256(values.tobytes()).digest(), names[i])
            if other != names[i]:
                raise DataError(
                    f"column {names[i]!r} repeats column {other!r} in every row: together they "
                    f'have no density; leave it out with drop = ["{names[i]}"] in [data]'
                )
    low, high = np.array(ends).T
    return Columns(np.array(integer), low, high)


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
        if np.abs(values).max() >= LARGEST_WHOLE:
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
