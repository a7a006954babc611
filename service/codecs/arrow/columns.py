"""The columns of Arrow tables as arrays of numbers or text, or as values of typed columns."""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.codecs.arrow.memory import BYTES_PER_TYPED
from service.errors import MalformedBodyError, TooLargeError, cut, few
from service.inflight import Reading
from service.operations import TEXT
from service.tables import RawColumn, TableError, from_arrow

# Columns that the event loop converts value by value for one request: each takes 0.1 ms.
QUICK_CONVERTED = 8


def columns_of(table: Any, reading: Reading) -> dict[str, Any]:
    """The columns of a table by name, in their order: an array each, of numbers or text.

    A column with nulls is a `RawColumn`; where there are models of typed columns also one of
    another type.

    Args:
        table: a `pyarrow.Table`, whose size has been counted.
        reading: limits.

    Raises:
        MalformedBodyError: several columns of one name, or one that holds something else.
        TooLargeError, MemoryFullError: texts that many rows share, which come to too much.
        TakesLongError: on the event loop, many columns that are to be converted.
    """
    import pyarrow as pa  # large, and no part of a service that reads no tables

    table.validate(full=True)
    names = table.column_names
    if len(set(names)) < len(names):
        twice = [name for name, count in Counter(names).items() if count > 1]
        raise MalformedBodyError(f"several columns have one name: {few(twice)}")
    columns = dict(zip(names, table.columns, strict=True))
    typed = {
        name
        for name, column in columns.items()
        if _is_typed(pa, column) and (reading.has_tables or column.null_count)
    }
    reading.check_quick(len(typed) <= QUICK_CONVERTED)
    if not reading.has_tables:  # which charge it by the types of the columns
        reading.share.charge(BYTES_PER_TYPED * len(table) * len(typed))
    return {
        name: (
            _typed(pa, name, column, reading)
            if name in typed
            else _values(pa, name, _in_one(column), reading)
        )
        for name, column in columns.items()
    }


def _is_typed(pa: Any, column: Any) -> bool:
    """Whether a column has values that are neither numbers nor text, such as nulls."""
    kind, types = column.type, pa.types
    if types.is_fixed_size_list(kind) or isinstance(kind, pa.BaseExtensionType):
        return False
    if types.is_dictionary(kind):
        kind = kind.value_type
        if any(chunk.dictionary.null_count for chunk in column.chunks):
            return True
    is_plain = _is_number(pa, kind) or _is_text(pa, kind)
    return column.null_count > 0 or not is_plain


def _typed(pa: Any, name: str, column: Any, reading: Reading) -> RawColumn:
    if pa.types.is_string_view(column.type):
        size = sum(int(_view_lengths(chunk).sum()) for chunk in column.chunks)
        _check_text_bytes(name, size, reading)
    try:
        raw = from_arrow(name, column)[name]
    except TableError as error:
        raise MalformedBodyError(str(error)) from None
    if pa.types.is_dictionary(column.type) and raw.form == "words":
        lengths = np.array([len(str(word).encode()) for word in raw.words], np.int64)
        counts = np.bincount(raw.values[~raw.missing], minlength=len(lengths))
        _check_text_bytes(name, int(counts @ lengths) if len(lengths) else 0, reading)
    return raw


def _is_number(pa: Any, kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_text(pa: Any, kind: Any) -> bool:
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _in_one(column: Any) -> Any:
    """A column of any number of batches as one array."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _values(
    pa: Any, name: str, column: Any, reading: Reading, is_in_list: bool = False
) -> NDArray[Any]:
    """A column as an array of as many rows."""
    if isinstance(column, pa.FixedShapeTensorArray):
        storage = _values(pa, name, column.storage, reading, is_in_list)
        return storage.reshape(len(column), *column.type.shape)
    kind = column.type
    if pa.types.is_fixed_size_list(kind) and column.null_count and _is_number(pa, kind.value_type):
        flat = column.values.slice(column.offset * kind.list_size, len(column) * kind.list_size)
        rows = _values(pa, name, flat, reading, is_in_list=True).astype(np.float64)
        rows = rows.reshape(len(column), kind.list_size)
        rows[np.asarray(column.is_null())] = np.nan
        return rows
    if column.null_count:
        if is_in_list and _is_number(pa, column.type):
            gaps: NDArray[Any] = column.to_numpy(zero_copy_only=False)  # NaN for null
            return gaps
        raise MalformedBodyError(f"column {cut(name)!r} has nulls: expected numbers")
    if _is_number(pa, kind):
        values: NDArray[Any] = column.to_numpy()
        return values
    if pa.types.is_fixed_size_list(kind):
        # without nulls the same as `flatten`, which takes four times as long
        flat = column.values.slice(column.offset * kind.list_size, len(column) * kind.list_size)
        inner = _values(pa, name, flat, reading, is_in_list=True)
        return inner.reshape(len(column), kind.list_size, *inner.shape[1:])
    if pa.types.is_dictionary(kind):
        return _looked_up(pa, name, column, reading)
    if pa.types.is_string_view(kind):
        _check_text_bytes(name, int(_view_lengths(column).sum()), reading)
    if _is_text(pa, kind):
        # of any length each: in an array of one width a long text would make all of them long
        return np.array(column.to_pylist(), TEXT)
    raise MalformedBodyError(f"column {cut(name)!r} is of {cut(str(kind))}, not numbers")


def _looked_up(pa: Any, name: str, column: Any, reading: Reading) -> NDArray[Any]:
    """The values of a dictionary for each of its indices; each value is converted once."""
    values = _values(pa, name, column.dictionary, reading)
    indices = column.indices.to_numpy()
    if values.dtype == TEXT:
        counts = np.bincount(indices.astype(np.int64), minlength=len(values))
        lengths = np.array([len(text.encode()) for text in values.tolist()], np.int64)
        _check_text_bytes(name, int(counts @ lengths) if len(indices) else 0, reading)
    looked_up: NDArray[Any] = values[indices]
    return looked_up


def _view_lengths(column: Any) -> NDArray[np.int64]:
    """Bytes of each text of a column of views, each of which may view the same text."""
    views = column.buffers()[1]
    if views is None:
        return np.zeros(0, np.int64)
    all_lengths = np.frombuffer(views, "<i4")[::4].astype(np.int64)
    return all_lengths[column.offset : column.offset + len(column)]


def _check_text_bytes(name: str, size: int, reading: Reading) -> None:
    """Check and charge what texts come to that many rows share."""
    if size > reading.limits.body_bytes:
        raise TooLargeError(
            f"the texts of column {cut(name)!r} are {size} bytes where each row has its own, of "
            f"the {reading.limits.body_bytes} that a body may have"
        )
    reading.share.charge(5 * size)
