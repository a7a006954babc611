"""Columns that a flow is conditioned on: checked, described, and as numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.bundle import ContextColumn
from training.errors import DataError

Float32 = NDArray[np.float32]

# A column with more distinct values than this is an identifier or a measurement, not a class.
MAX_CLASSES = 1000

# Above it float32 does not represent every whole number.
MAX_LABEL = 2**24


@dataclass(frozen=True)
class Context:
    """The columns of a context and their raw values, N × columns in float32."""

    columns: list[ContextColumn]
    values: Float32

    def of(self, rows: NDArray[np.intp]) -> Float32 | None:
        """The values of the rows with these indices; None if there are no columns."""
        return self.values[rows] if self.columns else None


def context(
    names: Sequence[str],
    numbers: NDArray[np.float64],
    labels: tuple[str, NDArray[np.generic]] | None,
    train: NDArray[np.intp],
) -> Context:
    """Check and describe the columns of a context; there may be none.

    Args:
        names: of the columns of numbers.
        numbers: N × numbers, finite.
        labels: name and values (N) of the column of class labels, or None.
        train: indices of the training rows, which determine mean, scale and range.

    Raises:
        DataError: a number that is the same in every row, or labels that are no classes.
    """
    columns = [_number(name, column[train]) for name, column in zip(names, numbers.T, strict=True)]
    values = [numbers]
    if labels is not None:
        column, codes = _label(*labels)
        _check_all_are_trained(column, codes[train])
        columns.append(column)
        values.append(codes[:, None])
    return Context(columns, np.concatenate(values, 1).astype(np.float32))


def _number(name: str, values: NDArray[np.float64]) -> ContextColumn:
    low, high = float(values.min()), float(values.max())
    if np.float32(low) == np.float32(high):
        raise DataError(
            f"context column {name!r} is {low:g} in every training row: a flow learns nothing "
            f'from it; leave it out with drop = ["{name}"] in [data]'
        )
    return ContextColumn(
        name=name, mean=float(values.mean()), scale=float(values.std()), low=low, high=high
    )


def _label(name: str, labels: NDArray[np.generic]) -> tuple[ContextColumn, NDArray[np.float64]]:
    """The column, and for each row the number of its class."""
    text = labels.dtype.kind == "U"
    missing = labels == "" if text else ~_is_number(labels)
    if missing.any():
        row = int(missing.argmax())
        raise DataError(
            f"row {row} has no label in column {name!r} ({labels[row]!r}): expected whole numbers "
            "or text in every row"
        )
    distinct, codes = np.unique(labels if text else labels.astype(np.float64), return_inverse=True)
    if not 2 <= len(distinct) <= MAX_CLASSES:
        raise DataError(
            f"column {name!r} of labels has {len(distinct)} classes in {len(labels)} rows, "
            f"expected 2 to {MAX_CLASSES}; a column of measurements goes into context = [...]"
        )
    if text:
        classes, names = list(range(len(distinct))), [str(label) for label in distinct]
        return ContextColumn(name=name, classes=classes, labels=names), codes.astype(np.float64)
    invalid = distinct[(distinct != np.round(distinct)) | (np.abs(distinct) >= MAX_LABEL)]
    if len(invalid):
        raise DataError(
            f"column {name!r} of labels holds {invalid[0]:g}: labels are text or whole numbers "
            f"below {MAX_LABEL}; a column of measurements goes into context = [...]"
        )
    return ContextColumn(name=name, classes=[int(c) for c in distinct]), distinct[codes]


def _is_number(labels: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Which labels are finite numbers."""
    if labels.dtype.kind not in "biuf":
        return np.array([isinstance(v, int | float) and np.isfinite(v) for v in labels], dtype=bool)
    return np.isfinite(labels)  # type: ignore[no-any-return]


def _check_all_are_trained(column: ContextColumn, codes: NDArray[np.float64]) -> None:
    classes, trained = column.classes or [], set(codes.tolist())
    for name, code in zip(column.labels or classes, classes, strict=True):
        if code not in trained:
            raise DataError(
                f"class {name!r} of column {column.name!r} has no row to train on: leave its few "
                "rows out of the data, or change seed, validation or test in [data]"
            )
