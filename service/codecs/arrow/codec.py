"""Tables as Arrow IPC streams, as bodies and answers.

A row of several values is a fixed-size list; one of numbers with more than one side is a tensor
too, Arrow's canonical extension `arrow.fixed_shape_tensor`. `arrow_table` reads them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from service.bundle import AnyManifest
from service.codecs.arrow import table as arrow_table
from service.codecs.arrow import typed
from service.codecs.arrow.table import NO_PYARROW, pyarrow, read_table
from service.codecs.base import (
    ARROW_FILE_TYPE,
    ARROW_TYPE,
    NO_REMARKS,
    REASONS,
    AnswerStream,
    Codec,
    all_or_picked,
)
from service.codecs.fields import R, TableRequest
from service.codecs.flat_columns import reasons_as_columns
from service.inflight import Reading
from service.operations import Answer, FlowRequest
from service.tables import Column
from service.types import Arrays

# Behind the last batch of a stream: a message of no bytes.
END = b"\xff\xff\xff\xff\0\0\0\0"


class ArrowCodec(Codec):
    """Arrow: rows and context as columns, the other fields in the query string."""

    media_type = ARROW_TYPE
    body_types = (ARROW_TYPE, ARROW_FILE_TYPE)

    def refusal(
        self, schema: type[FlowRequest], manifest: AnyManifest, output: str | None
    ) -> str | None:
        """An install without pyarrow writes no tables."""
        return None if arrow_table.HAS_PYARROW else NO_PYARROW

    def parse(
        self, schema: type[R], body: bytes, query: Mapping[str, str], reading: Reading
    ) -> TableRequest:
        """A request whose rows are a table, with the context beside them."""
        return TableRequest.read(schema, read_table, body, query, reading)

    def dump(self, manifest: AnyManifest, answer: Answer, output: str | None) -> bytes:
        """A table of all arrays, or of the one picked; in records x is a column for each name."""
        if answer.columns is not None:
            return _records(manifest, answer, answer.columns, output)
        answer = reasons_as_columns(answer)
        table = TableStream(manifest, output, answer.remarks)
        arrays = answer.arrays
        table.begin(arrays, len(next(iter(arrays.values()))), answer.seed)
        return table.piece(arrays) + table.end()

    def pieces(
        self, manifest: AnyManifest, answer: Answer, output: str | None
    ) -> tuple[int | None, Iterator[bytes]]:
        """The same table in several batches; records and reasons are one: their values are text."""
        if answer.columns is None and REASONS not in answer.remarks:
            return super().pieces(manifest, answer, output)
        return None, (self.dump(manifest, answer, output) for _ in range(1))

    def stream(
        self, manifest: AnyManifest, output: str | None, remarks: Mapping[str, Any] = NO_REMARKS
    ) -> AnswerStream | None:
        """A writer of a table of all arrays, or of the one picked."""
        return TableStream(manifest, output, remarks)


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
        self, manifest: AnyManifest, output: str | None, remarks: Mapping[str, Any] = NO_REMARKS
    ) -> None:
        self._pa = pyarrow()
        self._metadata = schema_remarks(manifest, remarks)
        self._output = output
        self._head = b""

    def begin(self, first: Arrays, rows: int, seed: int | None) -> int | None:
        """Make the schema, which the first piece tells; the length is not known."""
        if seed is not None:
            self._metadata["seed"] = str(seed)
        columns = all_or_picked(first, self._output)
        fields = [(name, _type(self._pa, values)) for name, values in columns.items()]
        self._schema = self._pa.schema(fields, metadata=self._metadata)
        # pyarrow's writer to a file of Python's takes four times as long for the same bytes
        self._head = self._schema.serialize().to_pybytes()
        return None

    def piece(self, arrays: Arrays) -> bytes:
        """The stream's next rows, behind the schema where they are the first."""
        columns = [_column(self._pa, field.type, arrays[field.name]) for field in self._schema]
        batch = self._pa.RecordBatch.from_arrays(columns, schema=self._schema)
        head, self._head = self._head, b""
        written: bytes = head + batch.serialize().to_pybytes()
        return written

    def end(self) -> bytes:
        """The mark of the stream's end."""
        return END


def schema_remarks(
    manifest: AnyManifest, remarks: Mapping[str, Any], seed: int | None = None
) -> dict[str, str]:
    """What a schema says of an answer: its model, and what there is to say of single rows."""
    said = {"model": manifest.name, "version": str(manifest.version)}
    said |= {name: orjson.dumps(remark).decode() for name, remark in remarks.items()}
    return said if seed is None else said | {"seed": str(seed)}


def _records(
    manifest: AnyManifest, answer: Answer, columns: Sequence[Column], output: str | None
) -> bytes:
    """A table in which x is a column of each name, of the type that fits its kind."""
    pa = pyarrow()
    names: list[str] = []
    values: list[Any] = []
    for name, array in all_or_picked(answer.arrays, output).items():
        if name == "x":
            names += [column.name for column in columns]
            values += [typed.column(pa, array[:, i], each) for i, each in enumerate(columns)]
        else:
            names.append(name)
            values.append(_column(pa, _type(pa, array), array))
    fields = [(name, each.type) for name, each in zip(names, values, strict=True)]
    schema = pa.schema(fields, schema_remarks(manifest, answer.remarks, answer.seed))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(values, schema=schema))
    written: bytes = sink.getvalue().to_pybytes()
    return written


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
