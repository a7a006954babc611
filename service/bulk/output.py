"""Scored rows as files: the same rows come to the same bytes, however they came in parts."""

import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from service.bulk.pieces import JSON_TEXT, BulkError, plain_type

# Rows of a row group of Parquet, of a batch of Arrow, and of what is written of text in one go.
GROUP_ROWS = 2**18


class Writer(ABC):
    """Writes one table, some rows at a time."""

    @abstractmethod
    def write(self, table: Any) -> None:
        """Add rows, a `pyarrow.Table`."""

    def close(self) -> None:  # noqa: B027
        """Write what ends the file, if anything does; its sink stays open."""


class _ParquetFile(Writer):
    def __init__(self, sink: BinaryIO, schema: Any) -> None:
        # of numbers, which hardly repeat, dictionaries take seven times as long as all the rest
        texts = [field.name for field in schema if not pa.types.is_primitive(field.type)]
        self._writer = pq.ParquetWriter(sink, schema, use_dictionary=texts or False)

    def write(self, table: Any) -> None:
        self._writer.write_table(table, row_group_size=GROUP_ROWS)

    def close(self) -> None:
        self._writer.close()


class _Arrow(Writer):
    def __init__(self, sink: BinaryIO, schema: Any, is_file: bool) -> None:
        # a file has one dictionary of a column, which may only grow from batch to batch
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
        self._writer = (pa.ipc.new_file if is_file else pa.ipc.new_stream)(
            sink, schema, options=options
        )
        self._values: dict[int, Any] = {}

    def write(self, table: Any) -> None:
        for i, field in enumerate(table.schema):
            if pa.types.is_dictionary(field.type):
                table = table.set_column(i, field, self._grown(i, table.column(i), field.type))
        self._writer.write_table(table, max_chunksize=GROUP_ROWS)

    def _grown(self, i: int, column: Any, kind: Any) -> Any:
        """A column whose dictionary begins with that of the rows before."""
        whole = column.combine_chunks()
        if isinstance(whole, pa.ChunkedArray):
            whole = whole.unify_dictionaries().chunk(0) if whole.num_chunks else None
        if whole is None:
            return column
        known = self._values.setdefault(i, whole.dictionary)
        if not whole.dictionary.equals(known):
            new = pc.is_null(pc.index_in(whole.dictionary, known))
            known = pa.concat_arrays([known, whole.dictionary.filter(new)])
            self._values[i] = known
            indices = pc.take(pc.index_in(whole.dictionary, known), whole.indices)
            whole = pa.DictionaryArray.from_arrays(indices, known, ordered=kind.ordered)
        return pa.chunked_array([whole])

    def close(self) -> None:
        self._writer.close()


class _Csv(Writer):
    def __init__(self, sink: BinaryIO, schema: Any) -> None:
        for field in schema:
            if pa.types.is_nested(field.type):
                raise BulkError(f"column {field.name!r:.80} is of {field.type}: CSV has no such")
        self._sink = sink
        sink.write((",".join(map(_cell, schema.names)) + "\r\n").encode())

    def write(self, table: Any) -> None:
        for i, field in enumerate(table.schema):
            kind = plain_type(field.type)
            kind = pa.string() if pa.types.is_string_view(kind) else kind  # CSV knows no views
            if kind != field.type:
                table = table.set_column(i, pa.field(field.name, kind), table.column(i).cast(kind))
        options = pa.csv.WriteOptions(include_header=False, eol="\r\n")
        file = io.BytesIO()
        pa.csv.write_csv(table, file, options)
        self._sink.write(file.getbuffer())


class _Ndjson(Writer):
    def __init__(self, sink: BinaryIO, schema: Any) -> None:
        self._sink = sink
        self._keys = [orjson.dumps(name) + b":" for name in schema.names]

    def write(self, table: Any) -> None:
        columns = [
            [key + value for value in _texts(column, field.metadata == JSON_TEXT)]
            for key, column, field in zip(self._keys, table.columns, table.schema, strict=True)
        ]
        lines = [b"{" + b",".join(values) + b"}\n" for values in zip(*columns, strict=True)]
        self._sink.write(b"".join(lines))


def _texts(column: Any, is_json: bool) -> list[bytes]:
    """The values of a column in JSON; null for −∞, as in answers."""
    if is_json:
        return [b"null" if text is None else text.encode() for text in column.to_pylist()]
    kind = column.type
    if (pa.types.is_integer(kind) or pa.types.is_floating(kind)) and not column.null_count:
        # of a number of float32 its own shortest digits
        numbers = np.ascontiguousarray(column.to_numpy())
        if not len(numbers):
            return []
        return orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    return [orjson.dumps(value, default=str) for value in column.to_pylist()]


def _cell(name: str) -> str:
    quoted = name.replace('"', '""')
    return f'"{quoted}"' if any(mark in name for mark in ',"\r\n') else name


def open_writer(file_format: str, sink: BinaryIO, schema: Any) -> Writer:
    """A writer of a table.

    Args:
        file_format: one of `sources.FORMATS`.
        sink: where its bytes go.
        schema: a `pyarrow.Schema`.

    Raises:
        BulkError: the format cannot hold a column.
    """
    if file_format == "csv":
        return _Csv(sink, schema)
    if file_format == "ndjson":
        return _Ndjson(sink, schema)
    if file_format == "parquet":
        return _ParquetFile(sink, schema)
    return _Arrow(sink, schema, file_format == "arrow")


def write_tables(sink: BinaryIO, file_format: str, schema: Any, tables: Iterable[Any]) -> None:
    """Write all tables, whole row groups at a time.

    Raises:
        BulkError: the format cannot hold a column.
        OSError: they cannot be written.
    """
    writer = open_writer(file_format, sink, schema)
    for group in _groups(tables):
        writer.write(group)
    writer.close()


def _groups(tables: Iterable[Any]) -> Iterator[Any]:
    """The same rows, `GROUP_ROWS` in each table but the last, each column in one piece."""
    waiting: list[Any] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        while rows >= GROUP_ROWS:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, GROUP_ROWS).combine_chunks()
            waiting, rows = [whole.slice(GROUP_ROWS)], rows - GROUP_ROWS
    if rows:
        yield pa.concat_tables(waiting).combine_chunks()
