"""What requests hold that no row of the data had: classes, and other values of constant columns.

Neither makes a row wrong. A class without a code of its own counts as one of all others, and a
column that is constant in the data is not modelled: who looks at log_prob alone would not know.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.tables.columns import (
    CategoricalColumn,
    Column,
    Float64,
    LeftOutColumn,
    Word,
    some_value,
)
from service.tables.conversion import to_rows
from service.tables.raw import RawColumn
from service.tables.words import is_marker
from service.tables.writing import OTHER, to_values

# Values that are named, rows of each that are, and characters of a text.
MAX_VALUES = 100
MAX_ROWS = 1000
MAX_CHARACTERS = 100

Unfamiliar = dict[str, Any]
"""A value as JSON has it: `column`, `value`, the first `rows` by number, and `row_count`."""


def unknown_classes(
    table: Mapping[str, RawColumn], rows: Float64, columns: Sequence[Column]
) -> list[Unfamiliar]:
    """Classes that count as one of all others, in the order of the columns.

    Args:
        table: columns by name.
        rows: what `to_rows` made of them.
        columns: of the rows.
    """
    found: list[Unfamiliar] = []
    for i, column in enumerate(columns):
        if not isinstance(column, CategoricalColumn) or not column.other:
            continue
        raw = table[column.name]
        places = np.flatnonzero(rows[:, i] == len(column.classes))
        found += [
            _described(column.name, value, same)
            for same in _by_value(raw, places, MAX_VALUES - len(found))
            if (value := _value(raw, same[0])) != OTHER
        ]
    return found


def changed_constants(
    table: Mapping[str, RawColumn], left_out: Iterable[LeftOutColumn]
) -> list[Unfamiliar]:
    """Columns that are not as constant as in the data, by the first of their other values.

    Args:
        table: columns by name, those that are left out perhaps among them.
        left_out: columns that are not modelled.
    """
    found: list[Unfamiliar] = []
    for column in left_out:
        raw, constant = table.get(column.name), column.constant
        if raw is None or constant is None or len(found) == MAX_VALUES:
            continue
        if constant == "missing":
            expected, is_other = None, _are_present(raw)
        else:
            of_constant = to_rows({column.name: raw}, [constant])
            value = some_value(constant)
            is_other = of_constant.faulty | (of_constant.rows[:, 0] != value)
            (expected,) = to_values(np.array([[value]]), [constant])[column.name]
        if is_other.any():
            places = np.flatnonzero(is_other)
            said = _described(column.name, _value(raw, places[0]), places)
            found.append({"column": column.name, "expected": expected} | said)
    return found


def _are_present(raw: RawColumn) -> NDArray[np.bool_]:
    """Of which rows a value is there, and no text that stands for none."""
    gaps = [i for i, word in enumerate(raw.words) if isinstance(word, str) and is_marker(word)]
    return ~(raw.missing | (np.isin(raw.values, gaps) & (raw.form == "words")))


def _by_value(raw: RawColumn, places: NDArray[np.intp], most: int) -> list[NDArray[np.intp]]:
    """The rows of each different value among some rows; of so many values that come first."""
    if not len(places) or most < 1:
        return []
    _, firsts, inverse = np.unique(raw.values[places], return_index=True, return_inverse=True)
    order = np.argsort(inverse.reshape(-1), kind="stable")
    ends = np.cumsum(np.bincount(inverse.reshape(-1)))[:-1]
    groups = np.split(places[order], ends)
    return [groups[i] for i in np.argsort(firsts)[:most]]


def _value(raw: RawColumn, row: np.intp) -> Word | None:
    """A value as JSON has it; a long text is cut."""
    if raw.missing[row]:
        return None
    if raw.form == "words":
        word = raw.words[int(raw.values[row])]
        is_long = isinstance(word, str) and len(word) > MAX_CHARACTERS
        return f"{str(word)[:MAX_CHARACTERS]}…" if is_long else word
    if raw.form == "times":
        return raw.value(int(row))
    number: int | float = raw.values[row].item()
    return number


def _described(column: str, value: Word | None, places: NDArray[np.intp]) -> Unfamiliar:
    rows = places[:MAX_ROWS].tolist()
    return {"column": column, "value": value, "rows": rows, "row_count": len(places)}
