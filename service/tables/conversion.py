"""From the values of a table to rows of float64 by its columns.

One parser of values for training and for requests; what a row is in float64, `columns` says.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.tables.columns import (
    CategoricalColumn,
    Column,
    DatetimeColumn,
    Float64,
    LatticeColumn,
    NumericColumn,
    TableError,
    Word,
    class_key,
)
from service.tables.dates import seconds_of
from service.tables.decision import on_step
from service.tables.durations import durations_of
from service.tables.raw import RawColumn
from service.tables.words import aliases, cause, is_gap, is_marker, number_of, undivided
from service.tables.writing import OTHER, expected, listed

# Bits of a whole number that float32 and float64 have.
BITS_OF_FLOAT32, BITS_OF_FLOAT64 = 24, 53

# Values of a column that are described; more are only counted.
MAX_DESCRIBED = 1000


class ValueFault(NamedTuple):
    """A value that cannot be one of its column.

    Args:
        row: counted from 0.
        column: its name.
        value: for people.
        expected: for people.
        is_impossible: whether it is of its column's kind, see `Converted`.
    """

    row: int
    column: str
    value: str
    expected: str
    is_impossible: bool

    def __str__(self) -> str:
        return f"column {self.column!r}: expected {self.expected}, got {self.value}"


@dataclass(frozen=True)
class Converted:
    """Rows, and what cannot be in them.

    A value is unreadable that is none of its column's kind: a text among numbers. It is impossible
    if it is of that kind, and of probability zero: a number off the step of its column, a class
    where there is no code for others, or no value where there always is one.

    Args:
        rows: N × D; what an unreadable or impossible value holds means nothing.
        unreadable: N × D, which values are unreadable.
        impossible: N × D, which values are impossible.
        faults: both, by row and column, the first thousand of each column and sort.
    """

    rows: Float64
    unreadable: NDArray[np.bool_]
    impossible: NDArray[np.bool_]
    faults: Sequence[ValueFault]

    @property
    def faulty(self) -> NDArray[np.bool_]:
        """Of each row, whether it has an unreadable or an impossible value."""
        return np.asarray((self.unreadable | self.impossible).any(1))


def to_rows(
    table: Mapping[str, RawColumn], columns: Sequence[Column], left_out: Iterable[str] = ()
) -> Converted:
    """The values of a table as rows.

    Args:
        table: columns by name, in any order; at least one.
        columns: of the rows, in their order.
        left_out: names of columns that may be there and are not looked at.

    Raises:
        TableError: columns are missing, or there are others; names both lists.
    """
    check_names(table.keys(), columns, left_out)
    count = len(table[columns[0].name]) if columns else 0
    rows = np.empty((count, len(columns)))
    unreadable, impossible = np.zeros(rows.shape, bool), np.zeros(rows.shape, bool)
    faults: list[ValueFault] = []
    for i, column in enumerate(columns):
        raw = table[column.name]
        with np.errstate(all="ignore"):  # of numbers near the largest there are
            rows[:, i], wrong, off = _values(raw, column)
        if not column.missing:
            off |= np.isnan(rows[:, i]) & ~wrong
        unreadable[:, i] = wrong
        impossible[:, i] = off
        for are_faulty in (wrong, off):
            faults += [
                ValueFault(r, column.name, _shown(raw, r, column), expected(column), bool(off[r]))
                for r in np.flatnonzero(are_faulty)[:MAX_DESCRIBED].tolist()
            ]
    return Converted(rows, unreadable, impossible, sorted(faults, key=lambda fault: fault.row))


def _shown(raw: RawColumn, row: int, column: Column) -> str:
    """A value for people, and why a text is no number, where one was expected."""
    shown = raw.value(row)
    is_of_numbers = isinstance(column, NumericColumn | LatticeColumn)
    if raw.missing[row] or raw.form != "words" or not is_of_numbers:
        return shown
    why = cause(str(raw.words[int(raw.values[row])]))
    return f"{shown}, which {why}" if why else shown


def check_names(given: Set[str], columns: Sequence[Column], left_out: Iterable[str] = ()) -> None:
    """See that a table has these columns, and no others beside those that are left out.

    Raises:
        TableError: it has not; names both lists.
    """
    names = [column.name for column in columns]
    missing = [name for name in names if name not in given]
    unknown = sorted(given - {*names, *left_out})
    if unknown and len(missing) == len(names):
        raise TableError(
            f"the table has none of the columns {listed(names)}, but {listed(unknown)}"
            f"{undivided(given)}"
        )
    if missing or unknown:
        said = [f"lacks {listed(missing)}"] * bool(missing)
        said += [f"has {listed(unknown)}, which it does not know"] * bool(unknown)
        raise TableError(
            f"the table {', and '.join(said)}; the columns are {listed(names)}{undivided(given)}"
        )


def _values(raw: RawColumn, column: Column) -> tuple[Float64, NDArray[np.bool_], NDArray[np.bool_]]:
    """The values of a column, NaN where missing; whether each is unreadable, and impossible."""
    off = np.zeros(len(raw), bool)
    if isinstance(column, CategoricalColumn):
        values, wrong = _codes(raw, column)
        off = np.isinf(values)
    elif isinstance(column, DatetimeColumn):
        values, wrong = _seconds(raw, column)
        if column.step is not None:
            nearest = np.rint(values / column.step) * column.step
            values, off = on_step(values, nearest, min(column.step, 1.0))
    else:
        values, wrong = numbers_in(raw, column.duration)
        if isinstance(column, LatticeColumn):
            values, off = on_step(values, column.nearest(values), column.step, raw.is_single)
        else:
            values = on_masses(values, column, raw.is_single)
    values[raw.missing] = np.nan
    wrong = wrong & ~raw.missing
    return values, wrong, off & ~wrong & ~raw.missing


def _by_word(raw: RawColumn, values: Sequence[float | None]) -> tuple[Float64, NDArray[np.bool_]]:
    """What each word stands for, in every row: a number, NaN for nothing, None if it is wrong."""
    if not values:
        return np.full(len(raw), np.nan), np.zeros(len(raw), bool)
    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    wrong = np.array([value is None for value in values])
    return numbers[raw.values], wrong[raw.values]


def numbers_in(raw: RawColumn, duration: str | None = None) -> tuple[Float64, NDArray[np.bool_]]:
    """The values of a column as numbers, NaN for nothing; and which of them are none.

    Args:
        raw: the column.
        duration: the form of texts that are durations, and numbers of seconds; None of others.
    """
    are_seconds = raw.form == "times" and raw.is_of_day and duration is not None  # 01:23:45 by type
    if raw.form == "numbers" or are_seconds:
        values = raw.values.astype(np.float64)
        return values, np.isinf(values)
    if raw.form == "times":
        return np.full(len(raw), np.nan), np.ones(len(raw), bool)
    numbers = [number_of(word) for word in raw.words]
    if duration is not None:
        texts = [word if isinstance(word, str) else "" for word in raw.words]
        seconds = durations_of(texts, duration).tolist()
        numbers = [s if s == s else n for s, n in zip(seconds, numbers, strict=True)]
    return _by_word(raw, numbers)


def on_masses(values: Float64, column: NumericColumn, single: bool = False) -> Float64:
    """Numbers that are what float32 makes of a value of large weight, as that value.

    A whole number may be another one, unless it came as float32.

    Args:
        values: which are changed.
        column: of them.
        single: whether they came as float32.
    """
    for mass in column.point_masses:
        rounded = float(np.float32(mass))
        if single or rounded % 1:
            values[values == rounded] = mass
    return values


def _seconds(raw: RawColumn, column: DatetimeColumn) -> tuple[Float64, NDArray[np.bool_]]:
    """Seconds since 1970, or of a time of day, which no date and no other time is."""
    is_of_day = "%d" not in column.format
    if raw.form == "numbers" or (raw.form == "times" and raw.is_of_day != is_of_day):
        return np.full(len(raw), np.nan), np.ones(len(raw), bool)
    if raw.form == "times":
        return raw.values.astype(np.float64), np.zeros(len(raw), bool)
    texts = [word if isinstance(word, str) else "" for word in raw.words]
    own = seconds_of(texts, column.format)
    usual = own if is_of_day else seconds_of(texts, "%Y-%m-%d")
    seconds = map(_second, raw.words, own.tolist(), usual.tolist())
    return _by_word(raw, list(seconds))


def _second(word: Word, own: float, usual: float) -> float | None:
    """A time in the form of its column, or as ISO 8601 has it."""
    if own == own:
        return own
    if usual == usual:
        return usual
    return float("nan") if isinstance(word, str) and is_marker(word) else None


def _codes(raw: RawColumn, column: CategoricalColumn) -> tuple[Float64, NDArray[np.bool_]]:
    bits = BITS_OF_FLOAT32 if raw.is_single else BITS_OF_FLOAT64
    words: Sequence[Word] = raw.words
    if raw.form != "words":  # few numbers, or times as text, in many rows
        distinct, inverse = np.unique(raw.values, return_inverse=True)
        if raw.form == "times":
            shown = RawColumn("times", distinct, np.zeros(len(distinct), bool), (), raw.time_form)
            words = [shown.value(i) for i in range(len(distinct))]
        else:  # whole ones of any size
            is_whole = distinct.dtype.kind in "iu"
            words = (distinct if is_whole else distinct.astype(np.float64)).tolist()
        raw = RawColumn("words", inverse.reshape(-1), raw.missing, tuple(words))
    codes = [_code(word, column) for word in words]
    are_long = [isinstance(word, float) and abs(word) >= 2.0**bits for word in words]
    if any(are_long) and _have_more_bits(column, bits):
        pairs = zip(codes, are_long, strict=True)
        codes = [
            _other(column) if code is not None and is_long else code for code, is_long in pairs
        ]
    return _by_word(raw, codes)


def _have_more_bits(column: CategoricalColumn, bits: int) -> bool:
    """Whether classes are whole numbers that a number of so many bits takes for each other."""
    whole = [abs(each) for each in column.classes if type(each) is int]
    return any(each % 2 ** max(0, each.bit_length() - bits) for each in whole)


def _code(word: Word, column: CategoricalColumn) -> float | None:
    """The code of a class, infinity of another one without a code; None of what is no class."""
    if word == OTHER and column.other:
        return float(len(column.classes))
    for alias in aliases(word):
        for key in (class_key(alias), ("float32", alias)):
            if (code := column.code_of.get(key)) is not None:
                return code
    if isinstance(word, str) and is_gap(word):
        return float("nan")
    if isinstance(word, float) and np.isnan(word):
        return float("nan")
    fits = isinstance(word, str) if column.holds_text else number_of(word) is not None
    return _other(column) if fits else None


def _other(column: CategoricalColumn) -> float:
    return float(len(column.classes)) if column.other else float("inf")
