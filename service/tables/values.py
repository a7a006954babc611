"""Values of Python and numpy as columns, and rows and columns of JSON as the columns of a table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.tables.columns import Float64, TableError, Word, class_key
from service.tables.durations import CLOCK_FORM
from service.tables.raw import PER_SECOND, RawColumn, from_codes, of_durations
from service.tables.writing import MAX_WHOLE, listed


def from_array(values: NDArray[Any]) -> RawColumn:
    """An array of numbers, truth values, text, times, or of Python objects of these.

    Raises:
        TableError: it holds something else.
    """
    kind = values.dtype.kind
    if kind in "iu":
        return RawColumn("numbers", values, np.zeros(len(values), bool))
    if kind == "f":
        return RawColumn("numbers", values, np.isnan(values))
    if kind == "b":
        return from_codes(values.astype(np.int64), np.zeros(len(values), bool), (False, True))
    if kind == "M":
        missing = np.isnat(values)
        return RawColumn("times", _seconds(values), missing)
    if kind == "m":
        missing = np.isnat(values)
        unit, units = np.datetime_data(values.dtype)
        if unit in PER_SECOND:
            return of_durations(values.astype(np.int64) * units, PER_SECOND[unit], missing)
        seconds = np.where(missing, 0, values / np.timedelta64(1, "s"))
        return RawColumn("numbers", seconds, missing, duration=CLOCK_FORM)
    if kind in "UOT":
        return from_values(values.tolist())
    raise TableError(f"expected numbers, text or times, got {values.dtype}")


def from_values(values: Sequence[Any]) -> RawColumn:
    """Python values: numbers, text, truth values and None, as JSON has them.

    Raises:
        TableError: it holds lists or other objects.
    """
    kinds = set(map(type, values))
    if kinds <= {int, float, type(None)} and kinds != {type(None)}:
        missing = np.array([value is None for value in values], bool)
        if (numbers := _numbers(values)) is not None:
            if numbers.dtype.kind == "f":
                missing |= np.isnan(numbers)
            return RawColumn("numbers", numbers, missing)
    if kinds <= {str, type(None)}:
        texts = tuple([text for text in dict.fromkeys(values) if text is not None])
        numbering = dict(zip(texts, range(len(texts)), strict=True)) | {None: 0}
        coded = np.fromiter(map(numbering.__getitem__, values), np.int64, len(values))
        missing = np.array([value is None for value in values], bool)
        return RawColumn("words", coded, missing, texts)
    codes: dict[tuple[str, Word], int] = {}
    words: list[Word] = []
    result = np.empty(len(values), np.int64)
    missing = np.zeros(len(values), bool)
    for row, value in enumerate(values):
        if value is None or (isinstance(value, float) and value != value):
            missing[row], result[row] = True, 0
            continue
        if isinstance(value, np.generic):
            value = value.item()
        if not isinstance(value, str | int | float | bool):
            raise TableError(
                f"row {row}: expected a number, text, true, false or null, got "
                f"{type(value).__name__}"
            )
        key = class_key(value)
        code = codes.setdefault(key, len(words))
        if code == len(words):
            words.append(value)
        result[row] = code
    return RawColumn("words", result, missing, tuple(words))


def _numbers(values: Sequence[int | float | None]) -> NDArray[Any] | None:
    """Numbers as an array, with anything where there is none; None where it would round one.

    Whole numbers of more than 64 bits are none that a class could be, and are rounded.
    """
    try:
        numbers = np.array([0 if value is None else value for value in values])
    except OverflowError:
        numbers = np.array([], object)
    if numbers.dtype.kind == "i":
        return numbers
    if numbers.dtype.kind == "f" and not (np.abs(numbers) >= MAX_WHOLE).any():
        return numbers
    whole = [value for value in values if type(value) is int and abs(value) > MAX_WHOLE]
    if any(abs(value) < 2**64 for value in whole):
        return None
    return np.array([_as_float(value) for value in values], np.float64)


def _as_float(value: int | float | None) -> float:
    if value is None:
        return 0.0
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _seconds(values: NDArray[Any]) -> Float64:
    """Seconds since 1970 of numpy's times: whole seconds and fractions apart, so as to be exact."""
    whole = values.astype("datetime64[s]")
    fraction = (values - whole) / np.timedelta64(1, "s")
    seconds: Float64 = whole.astype(np.int64).astype(np.float64) + fraction
    return seconds


def from_records(records: Sequence[Mapping[str, Any]]) -> dict[str, RawColumn]:
    """Rows that name their values: `[{"amount": 12.5, "country": "DE", "age": null}]`.

    Raises:
        TableError: a row has other names than the first one, or a value is no number, text, truth
            value or null; names row and column.
    """
    if not records:
        return {}
    names = records[0].keys()
    for row, record in enumerate(records):
        if record.keys() != names:
            lacking = [name for name in names if name not in record]
            more = [name for name in record if name not in names]
            said = [f"lacks {listed(lacking)}"] * bool(lacking)
            said += [f"has {listed(more)}"] * bool(more)
            raise TableError(f"row {row} {' and '.join(said)}, unlike row 0: null is for no value")
    return from_columns({name: [record[name] for record in records] for name in names})


def from_columns(columns: Mapping[str, Sequence[Any]]) -> dict[str, RawColumn]:
    """Columns by name: `{"amount": [12.5, 3], "country": ["DE", "FR"]}`.

    Raises:
        TableError: columns of different lengths, or a value as of `from_records`.
    """
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        first, *others = lengths
        other = next(name for name in others if lengths[name] != lengths[first])
        raise TableError(
            f"column {first!r:.80} has {lengths[first]} values, and {other!r:.80} {lengths[other]}"
        )
    found: dict[str, RawColumn] = {}
    for name, values in columns.items():
        try:
            found[name] = from_values(values)
        except TableError as error:
            raise TableError(f"column {name!r:.80}, {error}") from None
    return found
