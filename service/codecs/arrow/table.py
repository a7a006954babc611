"""Reading Arrow streams: columns as arrays, in memory that has been counted before."""

from collections import Counter
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.codecs.arrow.memory import measure_stream
from service.codecs.arrow.schema import NO_TABLE
from service.codecs.fields import TEXT
from service.errors import (
    MalformedBodyError,
    ServiceError,
    TooLargeError,
    UnsupportedMediaTypeError,
    cut,
    few,
)
from service.inflight import Reading
from service.types import Arrays

HAS_PYARROW = find_spec("pyarrow") is not None
NO_PYARROW = "this install knows no Arrow: pip install 'bijecta[arrow]'"

# A table of so few bytes is read on the event loop, and not worth charging.
QUICK_BYTES = 2**17

QUICK_TEXTS = 512

# What Arrow's file format begins with, which Feather is too.
FILE_MAGIC = b"ARROW1\0\0"


def pyarrow() -> ModuleType:
    """The library, which is large and loaded with the first table.

    Raises:
        UnsupportedMediaTypeError: it is not installed.
    """
    if not HAS_PYARROW:
        raise UnsupportedMediaTypeError(NO_PYARROW)
    import pyarrow

    module: ModuleType = pyarrow
    return module


def read_table(body: bytes, reading: Reading, max_rows: int) -> Arrays:
    """The columns of a stream or file by name, in their order: an array each, of numbers or text.

    Args:
        body: all of it.
        reading: limits; what they forbid is refused, and memory charged, before it is taken.
        max_rows: most rows.

    Raises:
        MalformedBodyError: the body is not a stream of a table, or a column is neither numbers
            nor text nor lists of one length of them, or has nulls.
        TooLargeError, MemoryFullError: more than the limits allow.
        TakesLongError: on the event loop, a table that is to be read in a thread.
        UnsupportedMediaTypeError: pyarrow is not installed.
    """
    pa = pyarrow()
    if body.startswith(FILE_MAGIC):
        # a file is a stream, with marks before and behind
        if len(body) > QUICK_BYTES:
            reading.share.charge(len(body))
        body = body[len(FILE_MAGIC) :]
    size = measure_stream(body, reading, max_rows)
    converted = size.converted_bytes
    if converted > QUICK_BYTES:
        reading.check_quick(False)
        reading.share.charge(converted)
    reading.check_quick(size.texts <= QUICK_TEXTS)
    try:
        with pa.ipc.open_stream(body) as stream:
            table = stream.read_all()
        table.validate(full=True)
        names = table.column_names
        if len(set(names)) < len(names):
            twice = [name for name, count in Counter(names).items() if count > 1]
            raise MalformedBodyError(f"several columns have one name: {few(twice)}")
        return {
            name: _values(pa, name, _in_one(column), reading)
            for name, column in zip(names, table.columns, strict=True)
        }
    except ServiceError:
        raise
    except Exception as error:  # a parser of untrusted bytes, which fails in every way there is
        raise MalformedBodyError(f"{NO_TABLE}: {cut(str(error), 200)}") from None


def _in_one(column: Any) -> Any:
    """A column of any number of batches as one array."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _values(pa: ModuleType, name: str, column: Any, reading: Reading) -> NDArray[Any]:
    """A column as an array of as many rows."""
    if isinstance(column, pa.FixedShapeTensorArray):
        storage = _values(pa, name, column.storage, reading)
        return storage.reshape(len(column), *column.type.shape)
    if column.null_count:
        raise MalformedBodyError(f"column {cut(name)!r} has nulls: expected numbers")
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        values: NDArray[Any] = column.to_numpy()
        return values
    if pa.types.is_fixed_size_list(kind):
        # without nulls the same as `flatten`, which takes four times as long
        flat = column.values.slice(column.offset * kind.list_size, len(column) * kind.list_size)
        inner = _values(pa, name, flat, reading)
        return inner.reshape(len(column), kind.list_size, *inner.shape[1:])
    if pa.types.is_dictionary(kind):
        return _looked_up(pa, name, column, reading)
    if pa.types.is_string_view(kind):
        _check_text_bytes(name, int(_view_lengths(column).sum()), reading)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        # of any length each: in an array of one width a long text would make all of them long
        return np.array(column.to_pylist(), TEXT)
    raise MalformedBodyError(f"column {cut(name)!r} is of {cut(str(kind))}, not numbers")


def _looked_up(pa: ModuleType, name: str, column: Any, reading: Reading) -> NDArray[Any]:
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
