"""Parquet and Arrow, in pieces: what can be read of a damaged file is read, the rest is named."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from service.bulk.pieces import FileError, Piece, Place, Skipped, missing_columns
from service.codecs import columns_of
from service.errors import cut
from service.inflight import BodyLimits, InflightBudget, Reading
from service.operations import TableColumns

# What Arrow's file format begins with.
FILE_MAGIC = b"ARROW1"

# Of a column that is read at a time: with a row group of any size, memory stays the same.
BUFFER_BYTES = 2**20

# A file may be of any size: the limits of requests have no use.
UNLIMITED = 2**62
READING = Reading(
    BodyLimits(UNLIMITED, UNLIMITED, UNLIMITED, UNLIMITED, UNLIMITED),
    InflightBudget(UNLIMITED).share(),
    has_tables=True,
)

ERRORS = (pa.ArrowException, OSError, ValueError)
"""What pyarrow raises of a damaged file."""


class ArrowTables(ABC):
    """A file whose rows pyarrow reads, in blocks of which one may be damaged.

    Args:
        shown: its name, for people.
        rows: of a piece, at most.
        schema: of the file.
    """

    block_name: str
    """Of a block, for people."""

    _is_pipe = False

    def __init__(self, shown: str, rows: int, schema: Any) -> None:
        self._shown = shown
        self._rows = rows
        self._schema = schema
        self.names: Sequence[str] = schema.names
        if len(set(self.names)) < len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise FileError(f"{shown}: several columns have one name: {cut(twice)!r}")

    @property
    @abstractmethod
    def block_rows(self) -> Sequence[int | None]:
        """Rows of each block; None where they are not known before it is read."""

    @abstractmethod
    def _batches(self, block: int, names: Sequence[str]) -> Iterator[Any]:
        """The rows of a block, some at a time, of these columns at least."""

    def starts(self, place: Place) -> list[Place]:
        """Blocks, where it is known how many rows there are before each."""
        sizes = self.block_rows
        if None in sizes:
            return [place]
        rows = np.cumsum([0, *(size or 0 for size in sizes)]).tolist()
        rest = range(place.get("block", 0) + 1, len(sizes))
        return [place, *({"block": i, "done": 0, "row": rows[i]} for i in rest)]

    def pieces(
        self, read: Sequence[str], kept: Any, place: Place, stop: Place | None = None
    ) -> Iterator[Piece | None]:
        """See `Source`."""
        sizes = self.block_rows
        wanted = list(dict.fromkeys([*read, *kept.names]))
        done, row = place.get("done", 0), place.get("row", 0)
        end = len(sizes) if stop is None else stop["block"]
        for block in range(place.get("block", 0), end):
            start, first = 0, row - done
            try:
                for batch in self._batches(block, wanted):
                    for offset in range(0, batch.num_rows, self._rows):
                        part = batch.slice(offset, self._rows)
                        end_row = start + part.num_rows
                        if start >= done:
                            after = {"block": block, "done": end_row, "row": first + end_row}
                            share = (block + end_row / (sizes[block] or np.inf)) / len(sizes)
                            yield self._piece(part, first + start, after, read, kept, share)
                        start = end_row
                    if self._is_pipe:
                        yield None
                lost = (sizes[block] or start) - start
                problem = f"it has {lost} rows fewer than it says" if lost else ""
            except ERRORS as error:
                lost = (sizes[block] or start) - start
                problem = cut(str(error), 200)
                if sizes[block] is None:
                    problem += " (how many rows it has is not known: later ones count on from here)"
            row, done = first + start + lost, 0
            if problem:
                after = {"block": block + 1, "done": 0, "row": row}
                yield self._lost(block, first + start, lost, problem, after, kept)

    def _piece(
        self, batch: Any, first: int, after: Place, read: Sequence[str], kept: Any, share: float
    ) -> Piece:
        table = pa.Table.from_batches([batch])
        numbers = np.arange(first, first + batch.num_rows)
        beside = [_as(table.column(field.name), field.type) for field in kept]
        columns = table.select(list(read))
        return Piece(
            numbers,
            lambda: columns_of(columns, READING),
            pa.Table.from_arrays(beside, schema=kept),
            after,
            share,
        )

    def _lost(
        self, block: int, first: int, rows: int, problem: str, after: Place, kept: Any
    ) -> Piece:
        what = f"{self.block_name} {block} cannot be read: {problem}"
        skipped = [Skipped(self._shown, what, first, rows)]
        share = after["block"] / len(self.block_rows)
        none = np.zeros(0, np.int64)
        return Piece(none, dict, kept.empty_table(), after, share, skipped=skipped)

    def kept_schema(self, keep: Sequence[str]) -> Any:
        """The types of the file; of dictionaries with room for those of all blocks."""
        missing_columns(self._shown, self.names, keep)
        fields = [self._schema.field(name) for name in keep]
        return pa.schema([(field.name, _kept_type(field.type)) for field in fields])

    def empty(self, read: Sequence[str]) -> TableColumns:
        """See `Source`."""
        chosen = pa.schema([self._schema.field(name) for name in read])
        return columns_of(chosen.empty_table(), READING)


def _kept_type(kind: Any) -> Any:
    if not pa.types.is_dictionary(kind):
        return kind
    return pa.dictionary(pa.int32(), kind.value_type, kind.ordered)


def _as(column: Any, kind: Any) -> Any:
    """A column of a piece in the type that all pieces have."""
    if not pa.types.is_dictionary(kind):
        return column if column.type == kind else column.cast(kind)
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    chunks = [_as_dictionary(chunk, kind, len(column)) for chunk in column.chunks]
    return pa.chunked_array(chunks, kind)


def _as_dictionary(chunk: Any, kind: Any, rows: int) -> Any:
    if len(chunk.dictionary) > rows and not kind.ordered:
        # each piece is kept with its dictionary, which is to be no longer than the piece
        chunk = chunk.cast(chunk.type.value_type).dictionary_encode()
    indices, values = chunk.indices.cast(kind.index_type), chunk.dictionary.cast(kind.value_type)
    return pa.DictionaryArray.from_arrays(indices, values, ordered=kind.ordered)


class ParquetSource(ArrowTables):
    """A Parquet file, row group by row group.

    Raises:
        FileError: it is none.
    """

    block_name = "row group"

    def __init__(self, shown: str, file: Path | BinaryIO, rows: int) -> None:
        try:
            self._file = pq.ParquetFile(
                file,
                pre_buffer=False,
                buffer_size=BUFFER_BYTES,
                # of nanoseconds 64 bits end in 2262
                coerce_int96_timestamp_unit="us",
                page_checksum_verification=True,
            )
            schema = self._file.schema_arrow
        except ERRORS as error:
            raise FileError(f"{shown}: it is no Parquet file: {cut(str(error), 200)}") from None
        super().__init__(shown, rows, schema)

    @property
    def block_rows(self) -> Sequence[int | None]:
        """Rows of each row group."""
        metadata = self._file.metadata
        return [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]

    def _batches(self, block: int, names: Sequence[str]) -> Iterator[Any]:
        return self._file.iter_batches(  # type: ignore[no-any-return]
            self._rows, row_groups=[block], columns=list(names), use_threads=False
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ArrowFileSource(ArrowTables):
    """An Arrow IPC file, batch by batch.

    Raises:
        FileError: it is none.
    """

    block_name = "batch"

    def __init__(self, shown: str, file: Path, rows: int) -> None:
        try:
            # a batch may be of any size: of one that is mapped no more is in memory than is read
            self._map = pa.memory_map(str(file))
            self._reader = pa.ipc.open_file(self._map)
            schema = self._reader.schema
        except ERRORS as error:
            raise FileError(f"{shown}: it is no Arrow file: {cut(str(error), 200)}") from None
        super().__init__(shown, rows, schema)

    @property
    def block_rows(self) -> Sequence[int | None]:
        """Unknown: to learn the rows of a batch it has to be read."""
        return [None] * self._reader.num_record_batches

    def _batches(self, block: int, names: Sequence[str]) -> Iterator[Any]:
        yield self._reader.get_batch(block)

    def close(self) -> None:
        """Close the file."""
        self._map.close()


class ArrowStreamSource(ArrowTables):
    """An Arrow IPC stream, of a file or a pipe, batch by batch.

    Raises:
        FileError: it is none.
    """

    block_name = "stream"

    def __init__(self, shown: str, file: BinaryIO, rows: int, is_pipe: bool = False) -> None:
        self._is_pipe = is_pipe
        try:
            self._reader = pa.ipc.open_stream(file)
            schema = self._reader.schema
        except ERRORS as error:
            raise FileError(f"{shown}: it is no Arrow stream: {cut(str(error), 200)}") from None
        self._file = file
        super().__init__(shown, rows, schema)

    @property
    def block_rows(self) -> Sequence[int | None]:
        """One block: behind damage nothing of a stream can be read."""
        return [None]

    def _batches(self, block: int, names: Sequence[str]) -> Iterator[Any]:
        yield from self._reader

    def close(self) -> None:
        """Close the file."""
        self._file.close()
