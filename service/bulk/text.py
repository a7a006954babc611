"""CSV and NDJSON, in pieces: a line that is none of a table is named, and the others are read."""

import csv
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import FileIO
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from service.bulk.lines import Lines
from service.bulk.pieces import FileError, Piece, Place, Skipped, missing_columns
from service.codecs import MAX_LINE_CHARACTERS, columns_of_cells, header_names
from service.errors import ServiceError, cut
from service.operations import NUMBER_DTYPES, TableColumns, number_array
from service.tables import TableError, from_values

# Of a piece, beside its rows.
PIECE_BYTES = 2**23
MAX_JSON_LINE_BYTES = 2**24

# Records of NDJSON that the types of kept columns are taken from.
FIRST_RECORDS = 1000

BOM = b"\xef\xbb\xbf"


class TextSource(ABC):
    """A file of lines.

    Args:
        shown: its name, for people.
        file: unbuffered.
        size: its bytes; 0 of a pipe.
        rows: of a piece, at most.
    """

    most_bytes: int
    """Of a line."""

    def __init__(self, shown: str, file: FileIO, size: int, rows: int) -> None:
        self._shown = shown
        self._file = file
        self._size = size
        self._rows = rows
        self._line = 1  # where the row that is read begins
        self._lines = Lines(file, self.most_bytes, is_pipe=not size)
        self.names: Sequence[str] = self._first_names()

    @abstractmethod
    def _first_names(self) -> Sequence[str]:
        """The names of the columns, by the first lines."""

    @abstractmethod
    def _next_row(self) -> Any:
        """The next row that can be read, None at the end.

        Raises:
            _LineError: a row that cannot.
        """

    @abstractmethod
    def _piece(self, rows: list[Any], batch: "_Batch", read: Sequence[str], kept: Any) -> Piece:
        """The rows of a batch as a piece."""

    def pieces(self, read: Sequence[str], kept: Any, place: Place) -> Iterator[Piece | None]:
        """See `Source`."""
        number = 0
        if place:
            number = place["row"]
            self._lines = Lines(self._file, self.most_bytes, place["byte"], place["line"])
        while True:
            if self._lines.would_wait:
                yield None
            batch = _Batch()
            rows: list[Any] = []
            first, at_end = self._lines.offset, False
            while len(rows) < self._rows and self._lines.offset - first < PIECE_BYTES:
                if (rows or batch.skipped) and self._lines.would_wait:
                    break
                try:
                    row = self._next_row()
                except _LineError as error:
                    what = Skipped(self._shown, str(error), number, line=self._line)
                    batch.skipped.append(what)
                    number += 1
                    continue
                if row is None:
                    at_end = True
                    break
                rows.append(row)
                batch.numbers.append(number)
                batch.lines.append(self._line)
                number += 1
            if rows or batch.skipped:
                piece = self._piece(rows, batch, read, kept)
                piece.after = {
                    "byte": self._lines.offset,
                    "line": self._lines.number,
                    "row": number,
                }
                piece.share = self._lines.offset / self._size if self._size else 0.0
                yield piece
            if at_end:
                return

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _LineError(Exception):
    """A line that is no row."""


class _Batch:
    """What is known of rows that have been read."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.lines: list[int] = []
        self.skipped: list[Skipped] = []

    def piece(self, columns: Callable[[], TableColumns], kept: Any) -> Piece:
        numbers, lines = np.array(self.numbers, np.int64), np.array(self.lines, np.int64)
        return Piece(numbers, columns, kept, {}, 0.0, lines, self.skipped)


class CsvSource(TextSource):
    """CSV (RFC 4180), as requests have it: commas, a header of names, UTF-8."""

    most_bytes = 4 * MAX_LINE_CHARACTERS

    def _first_names(self) -> Sequence[str]:
        self._reader = csv.reader(self._texts(), strict=True)
        self._taken: list[tuple[bytes, int]] = []
        try:
            while (cells := self._next_cells()) == []:
                pass
            if cells is None:
                raise FileError(f"{self._shown}: expected a header of names, got nothing")
            return header_names(cells)
        except (_LineError, ServiceError) as error:
            raise FileError(f"{self._shown}: the first line is no header: {error}") from None

    def _texts(self) -> Iterator[str]:
        """Lines for the reader of CSV, which takes several for a cell with ends of lines."""
        while True:
            try:
                line, size = self._lines.take()
            except StopIteration:
                return
            self._taken.append((line, size))
            if self._lines.offset == size:
                line = line.removeprefix(BOM)
            yield line.decode("utf-8", "surrogateescape")

    def _next_cells(self) -> list[str] | None:
        """The cells of the next line, none of an empty one; None at the end.

        Raises:
            _LineError: it cannot be read; the next one may begin behind its first line.
        """
        self._taken.clear()
        self._line = self._lines.number
        try:
            cells = next(self._reader, None)
            if not self._taken or max(map(_length, self._taken)) <= self.most_bytes:
                for cell in cells or ():
                    cell.encode()
                return cells
            problem = f"a line may have {self.most_bytes} bytes, this one has more"
        except UnicodeEncodeError as error:
            byte = ord(error.object[error.start]) - 0xDC00
            problem = f"byte {byte:#x} is not UTF-8"
        except csv.Error as error:
            problem = f"it is not CSV: {cut(str(error), 200)}"
        # an open quote has taken lines that are rows of their own
        self._lines.put_back(self._taken[1:])
        self._reader = csv.reader(self._texts(), strict=True)
        raise _LineError(problem)

    def _next_row(self) -> list[str] | None:
        while (cells := self._next_cells()) == []:
            pass  # empty lines are no rows
        if cells is not None and len(cells) != len(self.names):
            raise _LineError(f"expected {len(self.names)} cells as in the header, got {len(cells)}")
        return cells

    def _piece(self, rows: list[Any], batch: _Batch, read: Sequence[str], kept: Any) -> Piece:
        cells: list[str] = []
        for row in rows:
            cells += row
        width = len(self.names)
        beside = [
            pa.array([cell or None for cell in cells[self.names.index(name) :: width]], pa.string())
            for name in kept.names
        ]
        table = pa.Table.from_arrays(beside, schema=kept)
        return batch.piece(lambda: columns_of_cells(self.names, cells, read), table)

    def kept_schema(self, keep: Sequence[str]) -> Any:
        """Text, as it stands in the cells."""
        missing_columns(self._shown, self.names, keep)
        return pa.schema([(name, pa.string()) for name in keep])

    def empty(self, read: Sequence[str]) -> TableColumns:
        """See `Source`."""
        return columns_of_cells(self.names, [], read)


def _length(line: tuple[bytes, int]) -> int:
    return line[1]


class NdjsonSource(TextSource):
    """One JSON object a line: values by name, as `rows` of a request has them."""

    most_bytes = MAX_JSON_LINE_BYTES

    def _first_names(self) -> Sequence[str]:
        self._first: list[dict[str, Any]] = []
        taken = []
        while len(self._first) < FIRST_RECORDS and not (self._first and self._lines.would_wait):
            try:
                taken.append(self._lines.take())
            except StopIteration:
                break
            try:
                if (record := _record(taken[-1][0])) is not None:
                    self._first.append(record)
            except _LineError:
                continue
        self._lines.put_back(taken)
        if not self._first:
            raise FileError(f"{self._shown}: expected a JSON object in each line, got none")
        return list(self._first[0])

    def _next_row(self) -> dict[str, Any] | None:
        for line in self._lines:
            self._line = self._lines.number - 1
            if (record := _record(line)) is not None:
                return record
        return None

    def _piece(self, rows: list[Any], batch: _Batch, read: Sequence[str], kept: Any) -> Piece:
        problems: dict[int, tuple[str, str]] = {}
        for name in dict.fromkeys([*read, *kept.names]):
            for i, record in enumerate(rows):
                if name not in record:
                    problems.setdefault(i, (name, "there is no value: null is for none"))
        for name in read:
            _find(problems, name, rows, partial(_values, like=self._first[0][name]))
        for field in kept:
            _find(problems, field.name, rows, partial(pa.array, type=field.type))
        for i, (name, problem) in sorted(problems.items()):
            number, line = batch.numbers[i], batch.lines[i]
            batch.skipped.append(Skipped(self._shown, problem, number, 1, line, name))
        batch.skipped.sort(key=lambda each: each.row or 0)
        sound = [i for i in range(len(rows)) if i not in problems]
        batch.numbers = [batch.numbers[i] for i in sound]
        batch.lines = [batch.lines[i] for i in sound]
        records = [rows[i] for i in sound]
        columns = {
            name: _values([record[name] for record in records], self._first[0][name])
            for name in read
        }
        beside = [pa.array([record[f.name] for record in records], f.type) for f in kept]
        return batch.piece(lambda: columns, pa.Table.from_arrays(beside, schema=kept))

    def kept_schema(self, keep: Sequence[str]) -> Any:
        """Types that the first records have."""
        missing_columns(self._shown, self.names, keep)
        kinds = [_kind([record.get(name) for record in self._first]) for name in keep]
        return pa.schema(list(zip(keep, kinds, strict=True)))

    def empty(self, read: Sequence[str]) -> TableColumns:
        """See `Source`."""
        return {name: _values([], self._first[0][name]) for name in read}


def _record(line: bytes) -> dict[str, Any] | None:
    """The object of a line; None of an empty line."""
    if len(line) > MAX_JSON_LINE_BYTES:
        raise _LineError(f"a line may have {MAX_JSON_LINE_BYTES} bytes, this one has more")
    if line.isspace():
        return None
    try:
        record = orjson.loads(line.removeprefix(BOM))
    except ValueError as error:
        raise _LineError(f"it is not JSON: {cut(str(error), 200)}") from None
    if not isinstance(record, dict):
        raise _LineError(f"expected a JSON object, got {type(record).__name__}")
    return record


def _kind(values: list[Any]) -> Any:
    """The type of some values: of all, or, where they have none in common, of the first."""
    for some in (values, values[:1]):
        try:
            kind = pa.array(some).type
        except (pa.ArrowException, OverflowError):
            continue
        return pa.string() if pa.types.is_null(kind) else kind
    return pa.string()


def _values(values: list[Any], like: Any) -> Any:
    """A column of single values, or of lists of one shape where the file's first value is a list.

    Raises:
        TableError: it is neither.
    """
    if not isinstance(like, list):
        return from_values(values)
    numbers = number_array([like, *values], NUMBER_DTYPES)
    if numbers is None or any(type(value) is not list for value in values):
        raise TableError("expected a list of numbers, as long as that of the first row")
    return numbers[1:]


def _find(
    problems: dict[int, tuple[str, str]],
    name: str,
    rows: list[dict[str, Any]],
    convert: Callable[[list[Any]], Any],
) -> None:
    """Find the rows whose value of a column cannot be one, if there are some."""
    sound = [i for i in range(len(rows)) if i not in problems]
    errors = (TableError, pa.ArrowException, TypeError, OverflowError)
    try:
        convert([rows[i][name] for i in sound])
    except errors:
        for i in sound:
            try:
                convert([rows[i][name]])
            except errors as error:
                problems[i] = (name, cut(str(error).removeprefix("row 0: "), 200))
