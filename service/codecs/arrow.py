"""Tables as Arrow IPC streams, as bodies and answers.

A row of several values is a fixed-size list; one of numbers with more than one side is a tensor
too, Arrow's canonical extension `arrow.fixed_shape_tensor`. pyarrow is large, and optional: it is
loaded with the first table.
"""

import io
import math
from collections.abc import Mapping
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from service.bundle import Manifest
from service.codecs.base import (
    ARROW_TYPE,
    NO_REMARKS,
    AnswerStream,
    Codec,
    R,
    TableRequest,
    all_or_picked,
)
from service.errors import MalformedBodyError, UnsupportedMediaTypeError
from service.inflight import Reading
from service.operations import Answer, FlowRequest
from service.types import Arrays

HAS_PYARROW = find_spec("pyarrow") is not None
NO_PYARROW = "this install knows no Arrow: pip install 'bijecta[arrow]'"


class ArrowCodec(Codec):
    """Arrow: rows and context as columns, the other fields in the query string."""

    media_type = ARROW_TYPE
    body_types = (ARROW_TYPE,)

    def refusal(
        self, schema: type[FlowRequest], manifest: Manifest, output: str | None
    ) -> str | None:
        """An install without pyarrow writes no tables."""
        return None if HAS_PYARROW else NO_PYARROW

    def parse(
        self, schema: type[R], body: bytes, query: Mapping[str, str], reading: Reading
    ) -> TableRequest[R]:
        """A request whose rows are a table, with the context beside them."""
        return TableRequest.of(schema, read_table(body), query)

    def dump(self, manifest: Manifest, answer: Answer, output: str | None) -> bytes:
        """A table of all arrays, or of the one picked."""
        table = TableStream(manifest, output, answer.remarks)
        arrays = answer.arrays
        table.begin(arrays, len(next(iter(arrays.values()))), answer.seed)
        return table.piece(arrays) + table.end()

    def stream(self, manifest: Manifest, output: str | None) -> AnswerStream | None:
        """A writer of a table of all arrays, or of the one picked."""
        return TableStream(manifest, output)


class TableStream(AnswerStream):
    """Writes a table a piece at a time.

    Args:
        manifest: of the model that answers; the schema names it.
        output: the one column picked; None for all.
        remarks: what there is to say of single rows, which the schema holds as JSON by name.

    Raises:
        UnsupportedMediaTypeError: pyarrow is not installed.
    """

    def __init__(
        self, manifest: Manifest, output: str | None, remarks: Mapping[str, Any] = NO_REMARKS
    ) -> None:
        self._pa = _pyarrow()
        self._metadata = {"model": manifest.name, "version": str(manifest.version)}
        self._metadata |= {name: orjson.dumps(said).decode() for name, said in remarks.items()}
        self._output = output
        self._buffer = io.BytesIO()

    def begin(self, first: Arrays, rows: int, seed: int | None) -> int | None:
        """Make the schema, which the first piece tells; the length is not known."""
        if seed is not None:
            self._metadata["seed"] = str(seed)
        columns = all_or_picked(first, self._output)
        fields = [(name, _type(self._pa, values)) for name, values in columns.items()]
        self._schema = self._pa.schema(fields, metadata=self._metadata)
        self._stream = self._pa.ipc.new_stream(self._buffer, self._schema)
        return None

    def piece(self, arrays: Arrays) -> bytes:
        """The stream's next rows, behind the schema where they are the first."""
        columns = [_column(self._pa, field.type, arrays[field.name]) for field in self._schema]
        self._stream.write_batch(self._pa.record_batch(columns, schema=self._schema))
        return self._taken()

    def end(self) -> bytes:
        """The mark of the stream's end."""
        self._stream.close()
        return self._taken()

    def _taken(self) -> bytes:
        taken = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return taken


def read_table(body: bytes) -> dict[str, NDArray[Any]]:
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
        if table.num_columns == 0:
            raise MalformedBodyError("the table has no column")
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


def _pyarrow() -> ModuleType:
    if not HAS_PYARROW:
        raise UnsupportedMediaTypeError(NO_PYARROW)
    import pyarrow

    module: ModuleType = pyarrow
    return module


def _type(pa: ModuleType, values: NDArray[Any]) -> Any:
    """The type of a column that holds an array, row by row."""
    shape, is_text = values.shape[1:], values.dtype.kind in "UT"
    kind = pa.utf8() if is_text else pa.from_numpy_dtype(values.dtype.newbyteorder("="))
    # Arrow's tensors are of numbers of whole bytes
    if len(shape) > 1 and values.dtype.kind in "fiu":
        return pa.fixed_shape_tensor(kind, shape)
    for side in reversed(shape):
        kind = pa.list_(kind, side)
    return kind


def _column(pa: ModuleType, kind: Any, values: NDArray[Any]) -> Any:
    """An array as a column of that type."""
    if isinstance(kind, pa.FixedShapeTensorType):
        flat = _column(pa, kind.storage_type, values.reshape(len(values), math.prod(kind.shape)))
        return pa.ExtensionArray.from_storage(kind, flat)
    if pa.types.is_fixed_size_list(kind):
        inner = values.reshape(-1, *values.shape[2:])
        return pa.FixedSizeListArray.from_arrays(_column(pa, kind.value_type, inner), type=kind)
    if values.dtype.kind in "UT":
        return pa.array(values.tolist(), kind)
    return pa.array(np.ascontiguousarray(values, values.dtype.newbyteorder("=")), kind)


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
