"""Rows of tables by name: records, columns and frames as the columns of a JSON body, in parts.

Arrow tables and data frames are known by their methods, so that nothing of theirs is imported.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, Protocol

import numpy as np

Columns = dict[str, list[Any]]
"""Values that JSON has, by the names of their columns."""

# Of a request. A server takes 524,288 values, which it counts by commas and brackets, also of text,
# an eighth as many keys, which it counts by colons, also of times, and 16 MiB.
MOST_VALUES = 400_000
MOST_MARKS = 500_000
MOST_COLONS = 60_000
MOST_BYTES = 2**23

# What JSON has as it is.
PLAIN = {str, int, bool, type(None)}

# Of times of numpy, which would be written with more or fewer digits than a server reads.
WRITTEN_UNITS = {"Y": "D", "M": "D", "W": "D", "h": "m", "ps": "ns", "fs": "ns", "as": "ns"}


class ArrowLike(Protocol):
    """A table or record batch of Arrow."""

    def to_pydict(self) -> Any:
        """Columns by name."""


class FrameLike(Protocol):
    """A data frame of pandas or polars."""

    def to_dict(self, *args: Any, **options: Any) -> Any:
        """Columns by name, by an option that each of them has for that."""


Named = Mapping[str, Any] | Sequence[Mapping[str, Any]] | ArrowLike | FrameLike
"""Rows by name."""


def is_named(x: object) -> bool:
    """Whether these are rows by name, and no array."""
    if isinstance(x, Mapping) or is_frame(x):
        return True
    return isinstance(x, Sequence) and len(x) > 0 and isinstance(x[0], Mapping)


def is_frame(x: object) -> bool:
    """Whether these are rows by name that may be meant as an array."""
    return hasattr(x, "to_pydict") or hasattr(x, "to_dict")


def columns_of(name: str, x: Any) -> Columns:
    """Rows by name as columns.

    Args:
        name: of the rows, for people.
        x: rows of which `is_named` is true.

    Raises:
        ValueError: records of different names, or columns of different lengths.
        TypeError: what is no row, no column, no name or no value.
    """
    columns = {}
    for column, values in _by_column(name, x).items():
        if not isinstance(column, str):
            raise TypeError(f"{name}: column {column!r:.80}: expected text as its name")
        columns[column] = _plain_column(f"{name}: column {column!r:.80}", values)
    lengths = {column: len(values) for column, values in columns.items()}
    first = next(iter(lengths), "")
    for column, length in lengths.items():
        if length != lengths[first]:
            raise ValueError(
                f"{name}: column {first!r:.80} has {lengths[first]} values, "
                f"and {column!r:.80} {length}"
            )
    return columns


def row_of(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """One row by name, with values that JSON has."""
    return {column: values[0] for column, values in columns_of(name, [record]).items()}


def parts(
    n: int, width: int, most: int | None, body: Callable[[int, int], bytes]
) -> Iterator[tuple[int, int, bytes]]:
    """Bodies of so many rows each as a server takes: where each begins, its rows, its bytes.

    Args:
        n: rows in all.
        width: values of a row.
        most: rows of a request; None for all in one, whatever a server says.
        body: of the rows from one number up to another.
    """
    largest = n if most is None else max(1, min(most, MOST_VALUES // max(width, 1)))
    size, start = largest, 0
    while True:
        stop = min(start + size, n)
        content = body(start, stop)
        load = _load(content)
        if most is not None and stop - start > 1 and load > 1:
            size = (stop - start) // 2
            continue
        yield start, stop - start, content
        start = stop
        if start >= n:
            return
        if load <= 0.5:  # the rows that were much are past
            size = min(2 * size, largest)


def plain(value: Any) -> Any:
    """A value as JSON has it: times as ISO 8601, and null for NaN and NaT.

    Raises:
        TypeError: it is none of a table.
    """
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind is float or isinstance(value, Decimal):
        return _number(value)
    if kind.__name__ == "NAType":  # of pandas; it cannot so much as be compared
        return None
    if isinstance(value, np.datetime64 | np.timedelta64):
        return _numpy_time(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return _number(value)
    if isinstance(value, date | time):  # NaT of pandas among them, which is not equal to itself
        return value.isoformat() if value == value else None
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise TypeError(f"expected a number, text, a time, a truth value or None, got {kind.__name__}")


def _number(value: Real | Decimal | float) -> Any:
    if isinstance(value, Decimal) and value.is_nan():
        return None  # some of them are no float
    number = float(value)
    if math.isfinite(number):
        return number
    # JSON has no infinity; as text the server refuses its row, and answers the others
    return None if math.isnan(number) else str(number)


def _numpy_time(value: Any) -> Any:
    if np.isnat(value):
        return None
    if isinstance(value, np.timedelta64):
        return float(value / np.timedelta64(1, "s"))
    unit = np.datetime_data(value.dtype)[0]
    return str(value.astype(f"datetime64[{WRITTEN_UNITS.get(unit, unit)}]"))


def _by_column(name: str, x: Any) -> Mapping[Any, Any]:
    if isinstance(x, Mapping):
        return x
    columns: Mapping[Any, Any]
    if hasattr(x, "to_pydict"):
        columns = x.to_pydict()
    elif hasattr(x, "to_dict"):
        try:
            columns = x.to_dict(as_series=False)  # of polars
        except TypeError:
            columns = x.to_dict("list")  # of pandas
    else:
        columns = _of_records(name, x)
    return columns


def _of_records(name: str, records: Sequence[Any]) -> Mapping[Any, Any]:
    names = records[0].keys()
    for row, record in enumerate(records):
        if not isinstance(record, Mapping):
            kind = type(record).__name__
            raise TypeError(f"{name}: row {row}: expected values by name, as row 0 has, got {kind}")
        if record.keys() != names:
            lacking = [each for each in names if each not in record]
            others = [each for each in record if each not in names]
            raise ValueError(
                f"{name}: row {row} has other names than row 0: it lacks {_listed(lacking)}, and "
                f"has {_listed(others)}; None is for no value"
            )
    return {each: [record[each] for record in records] for each in names}


def _plain_column(name: str, column: Any) -> list[Any]:
    values = _values(name, column)
    if set(map(type, values)) <= PLAIN:
        return values
    converted = []
    for row, value in enumerate(values):
        try:
            converted.append(plain(value))
        except TypeError as error:
            raise TypeError(f"{name}, row {row}: {error}") from None
    return converted


def _values(name: str, column: Any) -> list[Any]:
    """The values of a list, an array, or a series of Arrow, pandas or polars."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "biuf":
        return list(column.tolist()) if column.ndim == 1 else list(column)
    for method in ("to_pylist", "to_list"):
        if hasattr(column, method):
            return list(getattr(column, method)())
    if not isinstance(column, Iterable) or isinstance(column, str | bytes | Mapping):
        raise TypeError(f"{name}: expected a list of its values, got {column!r:.80}")
    return list(column)


def _load(content: bytes) -> float:
    """Of what a server takes in a request the share that this is; above 1 it may be too much."""
    marks = sum(map(content.count, (b",", b"[", b"{")))
    colons = content.count(b":")
    return max(len(content) / MOST_BYTES, marks / MOST_MARKS, colons / MOST_COLONS)


def _listed(names: Sequence[Any]) -> str:
    """Names for people: the first few."""
    shown = ", ".join(f"{name!r:.80}" for name in names[:10])
    return (shown + (f", … ({len(names)} in all)" if len(names) > 10 else "")) or "none"
