"""The context of a request: what a conditional model is told beside rows, latents or a seed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle import ContextColumn, Manifest
from service.errors import InvalidInputError
from service.types import Float32

# Names of classes in an error, of up to a thousand.
MOST_NAMED = 20


def rows(manifest: Manifest, context: NDArray[Any] | None, n: int) -> Float32 | None:
    """The context of n rows, as the graphs take it: n × columns; None where a model has none.

    Args:
        manifest: says which columns there are, and which classes.
        context: n × columns, or one row for all, of numbers, or with the names of classes that
            have names, or of text alone (from a URL or a tensor of text).
        n: how many rows.

    Raises:
        InvalidInputError: a context that is missing, of no use, of the wrong shape, or with a
            value that is no number or none of the column's classes.
    """
    columns = manifest.context
    if columns is None:
        if context is not None:
            raise InvalidInputError("context: this model is conditional on nothing: leave it out")
        return None
    expected = "; ".join(map(_described, columns))
    if context is None:
        raise InvalidInputError(f"context is missing: this model is conditional on {expected}")
    if context.shape not in ((len(columns),), (1, len(columns)), (n, len(columns))):
        raise InvalidInputError(
            f"context: expected {n} × {len(columns)} values, or one row of {len(columns)} for all "
            f"({expected}), got shape {context.shape}"
        )
    table = context.reshape(-1, len(columns))
    values = np.stack([_numbers(table, i, column) for i, column in enumerate(columns)], 1)
    return np.broadcast_to(values, (n, len(columns)))


def _numbers(table: NDArray[Any], i: int, column: ContextColumn) -> Float32:
    """One column as the graphs take it."""
    cells = table[:, i]
    if cells.dtype != np.float32:
        codes = dict(zip(column.labels or (), column.classes or (), strict=False))
        # text of a URL or a tensor may be a number, a string in JSON is a name or nothing
        is_text = table.dtype.kind in "UT" and column.labels is None
        with np.errstate(over="ignore"):
            values = np.array([_number(v, codes, is_text) for v in cells.tolist()], np.float32)
    else:
        values = cells
    known = np.isfinite(values) if column.classes is None else np.isin(values, column.classes)
    if not known.all():
        row = int(np.argmin(known))
        raise InvalidInputError(
            f"context: row {row}, column {i} is {cells.tolist()[row]!r:.40}, expected "
            f"{_described(column)}",
            row=row,
            column=i,
        )
    return values


def _number(value: float | str, codes: dict[str, int], is_text: bool) -> float:
    """A value as a number; NaN where it is none."""
    if isinstance(value, str) and not is_text:
        return codes.get(value, np.nan)
    try:
        return float(value)
    except (ValueError, OverflowError):
        return np.nan


def _described(column: ContextColumn) -> str:
    if column.classes is None:
        return f"{column.name!r}, a number ({column.low:g} to {column.high:g} in training)"
    named = [repr(label) for label in column.labels or ()] or [str(c) for c in column.classes]
    more = f", … ({len(named)} in all)" if len(named) > MOST_NAMED else ""
    return f"{column.name!r}, one of {', '.join(named[:MOST_NAMED])}{more}"
