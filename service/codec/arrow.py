"""Tables as Arrow IPC streams, as bodies and answers.

A row of several numbers is a fixed-size list; of more than one side it is a tensor too, Arrow's
canonical extension `arrow.fixed_shape_tensor`.
"""

import io
import json
from collections.abc import Mapping
from math import prod
from typing import Any

import nanoarrow as na
import numpy as np
from nanoarrow.ipc import InputStream, StreamWriter
from numpy.typing import NDArray

from service.arrays import Arrays
from service.errors import MalformedBodyError

TYPE = "application/vnd.apache.arrow.stream"

TENSOR = "arrow.fixed_shape_tensor"
TEXT = ("string", "large_string")
NUMBERS = (
    "half_float",
    "float",
    "double",
    *(f"{u}int{8 * n}" for u in ("", "u") for n in (1, 2, 4, 8)),
)


def parse(body: bytes) -> dict[str, NDArray[Any]]:
    """The columns of a stream by name, in their order: an array each, of numbers or of text.

    Raises:
        MalformedBodyError: the body is not a stream of a table, or a column is neither numbers
            nor text nor lists of one length of them, or has nulls.
    """
    try:
        with na.c_array_stream(InputStream.from_readable(io.BytesIO(body))) as stream:
            batches = list(stream)
        names = [field.name for field in batches[0].schema.children]
        parts = [[_values(batch.child(i)) for i in range(batch.n_children)] for batch in batches]
    except MalformedBodyError:
        raise
    except Exception as error:  # a parser of untrusted bytes, which fails in every way there is
        raise MalformedBodyError(f"the body is not an Arrow stream of a table: {error}") from None
    if len(set(names)) < len(names):
        raise MalformedBodyError(f"two columns have one name: {', '.join(map(str, names))}")
    columns = zip(*parts, strict=True)
    return {name: np.concatenate(column) for name, column in zip(names, columns, strict=True)}


class Writer:
    """Writes float32 tables as the pieces of one stream.

    Args:
        shapes: of a row of each column, by name.
        metadata: of the schema.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str]) -> None:
        self._types = {name: _type(shape) for name, shape in shapes.items()}
        self._schema = na.Schema(na.struct(self._types), metadata=metadata)
        self._buffer = io.BytesIO()
        self._stream = StreamWriter.from_writable(self._buffer)

    def piece(self, columns: Arrays) -> bytes:
        """The stream's next rows; with the first ones comes the schema."""
        rows = len(next(iter(columns.values())))
        children = [_column(self._types[name], columns[name]) for name in self._types]
        batch = na.c_array_from_buffers(self._schema, rows, [None], children=children)
        self._stream.write_array(batch)
        return self._taken()

    def end(self) -> bytes:
        """What ends the stream."""
        self._stream.close()
        return self._taken()

    def _taken(self) -> bytes:
        taken = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return taken


def _values(column: Any) -> NDArray[Any]:
    """A column, of nanoarrow's CArray, as an array of as many rows."""
    schema, view = column.schema, column.view()
    if view.null_count:
        raise MalformedBodyError(f"column {schema.name!r} has nulls: expected numbers")
    if view.storage_type == "fixed_size_list":
        width = int(schema.format.partition(":")[2])
        rows = slice(view.offset * width, (view.offset + view.length) * width)
        inner = _values(column.child(0))[rows]
        extension = na.Schema(schema).extension
        if extension is not None and extension.name == TENSOR:
            return inner.reshape(view.length, *json.loads(extension.metadata)["shape"])
        return inner.reshape(view.length, width, *inner.shape[1:])
    if schema.dictionary is not None or view.storage_type in TEXT:
        return np.array(na.Array(column).to_pylist(), dtype=str)
    if view.storage_type not in NUMBERS:
        raise MalformedBodyError(f"column {schema.name!r} is of {view.storage_type}, not numbers")
    return np.asarray(view.buffer(1))[view.offset : view.offset + view.length]


def _type(shape: tuple[int, ...]) -> Any:
    """The type of a column whose rows have this shape."""
    if not shape:
        return na.float32()
    rows = na.fixed_size_list(na.float32(), prod(shape))
    if len(shape) == 1:
        return rows
    return na.extension_type(rows, TENSOR, json.dumps({"shape": shape}).encode())


def _column(kind: Any, values: NDArray[Any]) -> Any:
    flat = np.ascontiguousarray(values, "<f4").ravel()
    numbers = na.c_array_from_buffers(na.float32(), flat.size, [None, flat])
    if values.ndim == 1:
        return numbers
    return na.c_array_from_buffers(kind, len(values), [None], children=[numbers])
