"""Tables as Arrow IPC streams, as bodies and answers.

A row of several numbers is a fixed-size list; of more than one side it is a tensor too, Arrow's
canonical extension `arrow.fixed_shape_tensor`. pyarrow is large, and optional: it is loaded with
the first table.
"""

import io
from collections.abc import Mapping
from math import prod
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import MalformedBodyError, UnsupportedMediaTypeError
from service.types import Arrays

TYPE = "application/vnd.apache.arrow.stream"


def _pyarrow() -> ModuleType:
    try:
        import pyarrow
    except ModuleNotFoundError:
        hint = "this install knows no Arrow: pip install 'bijecta[arrow]'"
        raise UnsupportedMediaTypeError(hint) from None
    module: ModuleType = pyarrow
    return module


def parse(body: bytes) -> dict[str, NDArray[Any]]:
    """The columns of a stream by name, in their order: an array each, of numbers or of text.

    Raises:
        MalformedBodyError: the body is not a stream of a table, or a column is neither numbers
            nor text nor lists of one length of them, or has nulls.
        UnsupportedMediaTypeError: pyarrow is not installed.
    """
    pa = _pyarrow()
    try:
        with pa.ipc.open_stream(body) as stream:
            table = stream.read_all()
        table.validate(full=True)
        if len(set(table.column_names)) < table.num_columns:
            names = ", ".join(table.column_names)
            raise MalformedBodyError(f"two columns have one name: {names}")
        return {
            name: _values(pa, name, column.combine_chunks())
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
    except MalformedBodyError:
        raise
    except Exception as error:  # a parser of untrusted bytes, which fails in every way there is
        raise MalformedBodyError(f"the body is not an Arrow stream of a table: {error}") from None


class Writer:
    """Writes float32 tables as the pieces of one stream.

    Args:
        shapes: of a row of each column, by name.
        metadata: of the schema.

    Raises:
        UnsupportedMediaTypeError: pyarrow is not installed.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str]) -> None:
        self._pa = pa = _pyarrow()
        self._shapes = shapes
        fields = [(name, _type(pa, shape)) for name, shape in shapes.items()]
        self._schema = pa.schema(fields, metadata=dict(metadata))
        self._buffer = io.BytesIO()
        self._stream = pa.ipc.new_stream(self._buffer, self._schema)

    def piece(self, columns: Arrays) -> bytes:
        """The stream's next rows; with the first ones comes the schema."""
        arrays = [
            self._column(field.type, columns[field.name], self._shapes[field.name])
            for field in self._schema
        ]
        self._stream.write_batch(self._pa.record_batch(arrays, schema=self._schema))
        return self._taken()

    def end(self) -> bytes:
        """What ends the stream."""
        self._stream.close()
        return self._taken()

    def _column(self, kind: Any, values: NDArray[Any], shape: tuple[int, ...]) -> Any:
        flat = self._pa.array(np.ascontiguousarray(values, np.float32).ravel())
        if not shape:
            return flat
        rows = self._pa.FixedSizeListArray.from_arrays(flat, prod(shape))
        is_tensor = len(shape) > 1
        return self._pa.ExtensionArray.from_storage(kind, rows) if is_tensor else rows

    def _taken(self) -> bytes:
        taken = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return taken


def _type(pa: ModuleType, shape: tuple[int, ...]) -> Any:
    """The type of a column whose rows have this shape."""
    if len(shape) > 1:
        return pa.fixed_shape_tensor(pa.float32(), shape)
    return pa.list_(pa.float32(), *shape) if shape else pa.float32()


def _values(pa: ModuleType, name: str, column: Any) -> NDArray[Any]:
    """A column as an array of as many rows."""
    if isinstance(column, pa.FixedShapeTensorArray):
        storage = _values(pa, name, column.storage)
        return storage.reshape(len(column), *column.type.shape)
    if column.null_count:
        raise MalformedBodyError(f"column {name!r} has nulls: expected numbers")
    kind = column.type
    if pa.types.is_fixed_size_list(kind):
        inner = _values(pa, name, column.flatten())
        return inner.reshape(len(column), kind.list_size, *inner.shape[1:])
    if pa.types.is_dictionary(kind):
        return _values(pa, name, column.dictionary_decode())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.array(column.to_pylist(), dtype=str)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise MalformedBodyError(f"column {name!r} is of {kind}, not numbers")
    values: NDArray[Any] = column.to_numpy()
    return values
