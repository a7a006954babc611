"""Which rows of float64 have a probability: values that their columns can have."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.tables.columns import (
    CategoricalColumn,
    Column,
    DatetimeColumn,
    Float64,
    LatticeColumn,
    NumericColumn,
    some_value,
)
from service.tables.conversion import on_masses
from service.tables.decision import on_step


def in_cells(rows: Float64, columns: Sequence[Column]) -> tuple[Float64, NDArray[np.bool_]]:
    """Rows with each value exactly where its cell is, and which values lie outside the support.

    What is outside becomes a value that its column has, so that graphs can be run on all rows.

    Args:
        rows: N × D, NaN where a value is missing, which is outside nothing.
        columns: of the rows.

    Returns:
        N × D both.
    """
    settled, outside = rows.copy(), np.zeros(rows.shape, bool)
    for i, column in enumerate(columns):
        with np.errstate(all="ignore"):  # of numbers near the largest there are
            nearest, off = _nearest(rows[:, i], column)
        settled[:, i], outside[:, i] = np.where(off, some_value(column), nearest), off
    return settled, outside


def support_of(column: Column) -> str:
    """Where the support of a column ends, for people."""
    if isinstance(column, CategoricalColumn):
        return f"codes 0 to {column.codes - 1}"
    if isinstance(column, LatticeColumn):
        text = f"multiples of {column.step:.6g}"
        text += f" from {column.origin:.6g}" * (column.origin != 0)
        return text + f", {column.low:.6g} to {column.high:.6g}" * column.closed
    if isinstance(column, DatetimeColumn) and column.step is not None:
        return f"multiples of {column.step:g} s"
    return "all numbers"


def _nearest(values: Float64, column: Column) -> tuple[Float64, NDArray[np.bool_]]:
    """The nearest values of a column, and whether each is another one than that."""
    if isinstance(column, CategoricalColumn):
        codes = np.rint(values)
        return codes, (codes != values) & ~np.isnan(values) | (codes < 0) | (codes >= column.codes)
    if isinstance(column, LatticeColumn):
        nearest, off = on_step(values, column.nearest(values), column.step)
        if column.closed:
            half = column.step / 2
            off |= (nearest < column.low - half) | (nearest > column.high + half)
        return nearest, off | (np.isnan(nearest) & ~np.isnan(values)) | np.isinf(nearest)
    if isinstance(column, DatetimeColumn) and column.step is not None:
        nearest = np.rint(values / column.step) * column.step
        return on_step(values, nearest, min(column.step, 1.0))
    if isinstance(column, NumericColumn) and column.point_masses:
        values = on_masses(values.copy(), column)
    return values, np.zeros(len(values), bool)
