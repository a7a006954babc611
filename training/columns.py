"""What a column of data must be for a density of it to exist."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.errors import DataError
from training.table import Table

# A column of fewer distinct values than this, among many rows, is a set of labels.
FEWEST_DISTINCT = 20

# A value in more than this part of the rows is no draw from a density.
LARGEST_SHARE = 0.2

# Above it float32 has less than two binary digits for noise of half a step.
LARGEST_WHOLE = 2**22


def numbers(table: Table) -> NDArray[np.float64]:
    """A table's rows as N × columns float64, all of them finite in float32.

    Raises:
        DataError: something else than numbers, or one that is not finite; the column is named.
    """
    rows = table.rows
    if rows.dtype.kind not in "fiu":
        raise DataError(f"expected numbers, the data holds {rows.dtype}: a flow models numbers")
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    with np.errstate(over="ignore"):
        bad = np.argwhere(~np.isfinite(flat.astype(np.float32)))
    if len(bad):
        row, column = bad[0]
        raise DataError(
            f"row {row} has no finite float32 number in column {table.columns[column]!r} "
            f"({flat[row, column]}); {len(bad)} such values in all"
        )
    return flat


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


def refuse_repeated(rows: NDArray[np.float64], names: Sequence[str]) -> None:
    """See that no two columns are the same.

    Args:
        rows: N × columns, of those that are not dequantised: noise of its own sets a column apart.
        names: of the columns.

    Raises:
        DataError: a column repeats another; both are named.
    """
    first: dict[bytes, str] = {}
    for name, column in zip(names, np.ascontiguousarray(rows.T), strict=True):
        if (other := first.setdefault(column.tobytes(), name)) != name:
            raise DataError(
                f"column {name!r} repeats column {other!r} in every row: together they have no "
                f'density; leave it out with drop = ["{name}"] in [data]'
            )
