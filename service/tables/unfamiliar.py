"""What rows hold that no row of the data had: classes, impossible values, changed constants.

A class without a code of its own counts as one of all others. An impossible value, and another
value of a column that is constant in the data, is anomalous by itself; log_prob knows nothing of
columns that are constant.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.tables.columns import (
    CategoricalColumn,
    Column,
    LatticeColumn,
    LeftOutColumn,
    NumericColumn,
    Word,
    some_value,
)
from service.tables.conversion import Converted, numbers_in, to_rows
from service.tables.raw import RawColumn
from service.tables.words import is_marker
from service.tables.writing import OTHER, to_values

# Values that are named, rows of each that are, and characters of a text.
MAX_VALUES = 100
MAX_ROWS = 1000
MAX_CHARACTERS = 100

Sort = Literal["unknown_classes", "impossible_values", "changed_constants"]


class Unfamiliar(NamedTuple):
    """The values of one sort in a column that no row of the data had.

    Args:
        sort: of the values.
        column: its name.
        is_of_numbers: whether its values are numbers, which may have come as text.
        raw: all its values as they came.
        rows: numbers of the rows that hold such values, ascending.
        expected: the value of a constant, None where it has none; of other columns None.
    """

    sort: Sort
    column: str
    is_of_numbers: bool
    raw: RawColumn
    rows: NDArray[np.intp]
    expected: Word | None = None

    def value(self, row: int) -> Word | None:
        """A value as JSON has it; a long text is cut."""
        word = self.raw.word(row)
        if self.raw.is_single and word is not None:  # in its shortest digits
            word = float(str(self.raw.values[row]))
        if self.is_of_numbers and isinstance(word, str):
            numbers, wrong = numbers_in(self.raw.taken(np.array([row])))
            if not wrong[0]:
                return None if np.isnan(numbers[0]) else float(numbers[0])
        if type(word) is int and not -(2**63) <= word < 2**64:  # which no JSON writer has room for
            word = str(word)
        is_long = isinstance(word, str) and len(word) > MAX_CHARACTERS
        return f"{str(word)[:MAX_CHARACTERS]}…" if is_long else word

    def examples(self, most: int) -> Iterable[NDArray[np.intp]]:
        """The rows of each different value; of so many values that come first."""
        return _by_value(self.raw, self.rows, most)


def unfamiliar_values(
    table: Mapping[str, RawColumn],
    converted: Converted,
    columns: Sequence[Column],
    left_out: Iterable[LeftOutColumn],
) -> list[Unfamiliar]:
    """What a table holds that no row of the data had, in the order of the columns.

    Args:
        table: columns by name, those that are left out perhaps among them.
        converted: what `to_rows` made of them.
        columns: of the rows.
        left_out: columns that are not modelled.
    """
    found: list[Unfamiliar] = []
    for i, column in enumerate(columns):
        raw = table[column.name]
        places: dict[Sort, NDArray[np.intp]] = {
            "impossible_values": np.flatnonzero(converted.impossible[:, i])
        }
        if isinstance(column, CategoricalColumn) and column.other:
            is_other = converted.rows[:, i] == len(column.classes)
            places["unknown_classes"] = np.flatnonzero(is_other & ~_asks_for_others(raw))
        found += [
            Unfamiliar(sort, column.name, _is_of_numbers(column), raw, rows)
            for sort, rows in places.items()
            if len(rows)
        ]
    return found + _changed_constants(table, left_out)


def remarks_on(found: Iterable[Unfamiliar]) -> dict[str, list[dict[str, Any]]]:
    """What an answer says of unknown classes and changed constants, as JSON has it, by sort.

    Each is an object with `column`, `value`, the first `rows` by number, and `row_count`: one for
    each unknown class, and of a constant the first of its other values beside the `expected` one.
    """
    said: dict[str, list[dict[str, Any]]] = {}
    for each in found:
        listed = said.setdefault(each.sort, [])
        left = MAX_VALUES - len(listed)
        if each.sort == "unknown_classes":
            listed += [_described(each, rows) for rows in each.examples(left)]
        elif each.sort == "changed_constants" and left:
            described = _described(each, each.rows)
            listed.append({"column": each.column, "expected": each.expected} | described)
    return {sort: listed for sort, listed in said.items() if listed}


def _asks_for_others(raw: RawColumn) -> NDArray[np.bool_]:
    """Of which rows the value is the word for all other classes."""
    if raw.form != "words" or OTHER not in raw.words:
        return np.zeros(len(raw), bool)
    return np.asarray(raw.values == raw.words.index(OTHER))


def _changed_constants(
    table: Mapping[str, RawColumn], left_out: Iterable[LeftOutColumn]
) -> list[Unfamiliar]:
    """Columns that are not as constant as in the data."""
    found: list[Unfamiliar] = []
    for column in left_out:
        raw, constant = table.get(column.name), column.constant
        if raw is None or constant is None:
            continue
        expected: Word | None = None
        is_of_numbers = False
        if constant == "missing":
            is_other = _are_present(raw)
        else:
            of_constant, value = to_rows({column.name: raw}, [constant]), some_value(constant)
            is_other = of_constant.faulty | (of_constant.rows[:, 0] != value)
            (expected,) = to_values(np.array([[value]]), [constant])[column.name]
            is_of_numbers = _is_of_numbers(constant)
        rows = np.flatnonzero(is_other)
        if len(rows):
            sort: Sort = "changed_constants"
            found.append(Unfamiliar(sort, column.name, is_of_numbers, raw, rows, expected))
    return found


def _is_of_numbers(column: Column) -> bool:
    return isinstance(column, NumericColumn | LatticeColumn)


def _are_present(raw: RawColumn) -> NDArray[np.bool_]:
    """Of which rows a value is there, and no text that stands for none."""
    gaps = [i for i, word in enumerate(raw.words) if isinstance(word, str) and is_marker(word)]
    return ~(raw.missing | (np.isin(raw.values, gaps) & (raw.form == "words")))


def _by_value(raw: RawColumn, places: NDArray[np.intp], most: int) -> list[NDArray[np.intp]]:
    """The rows of each different value among some rows; of so many values that come first."""
    if not len(places) or most < 1:
        return []
    values = raw.values[places]
    if raw.missing[places].any():  # what stands there means nothing
        values = np.where(raw.missing[places], -1 if raw.form == "words" else np.nan, values)
    _, firsts, inverse = np.unique(values, return_index=True, return_inverse=True)
    order = np.argsort(inverse.reshape(-1), kind="stable")
    ends = np.cumsum(np.bincount(inverse.reshape(-1)))[:-1]
    groups = np.split(places[order], ends)
    return [groups[i] for i in np.argsort(firsts)[:most]]


def _described(found: Unfamiliar, rows: NDArray[np.intp]) -> dict[str, Any]:
    value = found.value(int(rows[0]))
    listed = rows[:MAX_ROWS].tolist()
    return {"column": found.column, "value": value, "rows": listed, "row_count": len(rows)}
