"""The context of a request: what a conditional model is told beside rows, latents or a seed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle import AnyManifest, ContextColumn
from service.errors import InvalidInputError
from service.operations.rows.faults import Fault, RowFaults
from service.store import Model
from service.types import Float64, Floats

# Names of classes in an error, of up to a thousand.
MOST_NAMED = 20


def rows(manifest: AnyManifest, context: NDArray[Any] | None, faults: RowFaults) -> Floats | None:
    """The context of all rows, as the graphs take it: n × columns; None where a model has none.

    Args:
        manifest: says which columns there are, and which classes.
        context: n × columns, or one row for all, of numbers, or with the names of classes that
            have names, or of text alone (from a URL or a tensor of text); of one column n values
            will do.
        faults: of the request; it says how many rows there are.

    Raises:
        InvalidInputError: a context that is missing, of no use or of the wrong shape, or what
            `RowFaults.check` raises of rows with a value that is no number or none of the column's
            classes; of a row that is for all always.
    """
    columns = manifest.context
    if columns is None:
        if context is not None:
            raise InvalidInputError("context: this model is conditional on nothing: leave it out")
        return None
    expected = "; ".join(map(_described, columns))
    if context is None:
        raise InvalidInputError(f"context is missing: this model is conditional on {expected}")
    n, width = faults.count, len(columns)
    of_each = context.shape == (n, width) or (width == 1 and context.shape == (n,))
    of_all = context.shape in ((width,), (1, width))
    if not (of_each or of_all or (n == 0 and context.size == 0)):
        raise InvalidInputError(
            f"context: expected {n} × {width} values, or one row of {width} for all "
            f"({expected}), got shape {context.shape}"
        )
    table = context.reshape(-1, width)
    dtype = np.dtype(manifest.dtype)
    read = [_numbers(table, i, column, dtype) for i, column in enumerate(columns)]
    _check_known(table, columns, [known for _, known in read], faults if of_each else RowFaults(1))
    return np.broadcast_to(np.stack([values for values, _ in read], 1), (n, width))


def classes_of(model: Model, context_rows: Floats | None) -> Float64 | None:
    """The class of each row that its calibration compares within; None where it has none."""
    assert model.detector is not None
    column = model.detector.class_column
    if column is None or context_rows is None:
        return None
    return np.asarray(context_rows[:, column], np.float64)


def _numbers(
    table: NDArray[Any], i: int, column: ContextColumn, dtype: np.dtype[Any]
) -> tuple[Floats, NDArray[np.bool_]]:
    """One column as the graphs take it, and of each value whether it is one that may come."""
    cells = table[:, i]
    if cells.dtype != dtype:
        codes = dict(zip(column.labels or (), column.classes or (), strict=False))
        # text of a URL or a tensor may be a number, a string in JSON is a name or nothing
        is_text = table.dtype.kind in "UT" and column.labels is None
        with np.errstate(over="ignore"):
            values = np.array([_number(v, codes, is_text) for v in cells.tolist()], dtype)
    else:
        values = cells
    known = np.isfinite(values) if column.classes is None else np.isin(values, column.classes)
    return values, known


def _check_known(
    table: NDArray[Any],
    columns: Sequence[ContextColumn],
    known: Sequence[NDArray[np.bool_]],
    faults: RowFaults,
) -> None:
    """Find rows with a value that is no number, or none of its column's classes."""
    if all(each.all() for each in known):
        return

    def describe(place: int, row: int) -> Fault:
        column = [bool(each[place]) for each in known].index(False)
        value = table[place, column : column + 1].tolist()[0]
        detail = (
            f"context: row {row}, column {column} is {value!r:.40}, expected "
            f"{_described(columns[column])}"
        )
        return Fault(detail, {"column": column})

    faults.check(~np.logical_and.reduce(known), InvalidInputError, describe)


def _number(value: float | str | None, codes: dict[str, int], is_text: bool) -> float:
    """A value as a number; NaN where it is none."""
    if isinstance(value, str) and not is_text:
        return codes.get(value, np.nan)
    try:
        return np.nan if value is None else float(value)
    except (ValueError, OverflowError):
        return np.nan


def _described(column: ContextColumn) -> str:
    if column.classes is None:
        return f"{column.name!r}, a number ({column.low:g} to {column.high:g} in training)"
    named = [repr(label) for label in column.labels or ()] or [str(c) for c in column.classes]
    more = f", … ({len(named)} in all)" if len(named) > MOST_NAMED else ""
    return f"{column.name!r}, one of {', '.join(named[:MOST_NAMED])}{more}"
