"""From rows of float64 back to values, and what a value of a column is, for people."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from service.tables.columns import (
    CategoricalColumn,
    Column,
    DatetimeColumn,
    Float64,
    LatticeColumn,
    some_value,
)
from service.tables.dates import texts_of
from service.tables.durations import duration_texts

# Classes and names that a message lists.
MAX_LISTED = 8

# Up to here float64 has every whole number.
MAX_WHOLE = 2.0**53

OTHER = "(other)"
"""What stands for all classes that have no code of their own, where a row is written."""


def to_values(rows: Float64, columns: Sequence[Column]) -> dict[str, list[Any]]:
    """Rows as values of each column's own kind, by name; None where missing.

    Args:
        rows: N × D, as `to_rows` makes them or as a model draws them.
        columns: of the rows.
    """
    return {
        column.name: [
            None if is_missing else value
            for value, is_missing in zip(
                _written(rows[:, i], column), np.isnan(rows[:, i]).tolist(), strict=True
            )
        ]
        for i, column in enumerate(columns)
    }


def expected(column: Column) -> str:
    """What a value of a column is, for people."""
    if isinstance(column, CategoricalColumn):
        if not column.other:
            text = f"one of {listed(column.classes)}"
        else:
            text = f"a class such as {column.classes[0]!r}"
    elif isinstance(column, DatetimeColumn):
        text = f"a time such as {texts_of(np.array([column.low]), column.format)[0]!r}"
        if column.step:
            text += f", a multiple of {column.step:g} s"
    elif column.duration is not None:
        (text,) = duration_texts(np.array([column.low]), column.duration)
        text = f"a duration such as {text!r} or its seconds"
        if isinstance(column, LatticeColumn):
            text += f", a multiple of {column.step:.6g} s"
    elif isinstance(column, LatticeColumn):
        is_whole = column.step == 1 and column.origin % 1 == 0
        origin = f" from {column.origin:.6g}" * (column.origin != 0)
        multiple = f"a number that is a multiple of {column.step:.6g}{origin}"
        text = "a whole number" if is_whole else multiple
    else:
        text = "a finite number"
    return text + " or nothing" * column.missing


def _written(values: Float64, column: Column) -> list[Any]:
    """Values of a column's own kind; anything where one is missing."""
    values = np.where(np.isnan(values), some_value(column), values)
    if isinstance(column, CategoricalColumn):
        words: list[Any] = [*column.classes, OTHER]
        return [words[code] for code in np.rint(values).astype(np.int64).tolist()]
    if isinstance(column, DatetimeColumn):
        return texts_of(values, column.format)
    is_whole = False
    if isinstance(column, LatticeColumn):
        values = column.nearest(values)
        is_whole = column.step == round(column.step) and column.origin == round(column.origin)
    if column.duration is not None:
        return duration_texts(values, column.duration)
    numbers: list[Any] = values.tolist()
    if is_whole:
        # beyond, they are no more exact, and JSON's writer has no room for all of them
        return [int(v) if abs(v) <= MAX_WHOLE else v for v in numbers]
    return numbers


def listed(names: Sequence[object]) -> str:
    """Names or classes for people, the first few of many."""
    told = ", ".join(f"{name!r:.80}" for name in names[:MAX_LISTED])
    return told + f", … ({len(names)} in all)" * (len(names) > MAX_LISTED)
