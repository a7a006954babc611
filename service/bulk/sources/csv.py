"""CSV (RFC 4180), as requests have it: commas, a header of names, UTF-8."""

import csv
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from service.bulk.pieces import FileError, Piece, missing_columns
from service.bulk.sources.text import BOM, Batch, LineError, TextSource
from service.codecs import (
    MAX_LINE_CHARACTERS,
    cells_of_comment,
    column_with_nul,
    columns_of_cells,
    header_names,
)
from service.errors import ServiceError, cut
from service.operations import TableColumns
from service.tables import NUL, Preamble


class CsvSource(TextSource):
    """A file of CSV."""

    most_bytes = 4 * MAX_LINE_CHARACTERS

    def _first_names(self) -> Sequence[str]:
        self._taken: list[tuple[bytes, int]] = []
        preamble = Preamble()
        for text in self._texts():
            if not preamble.takes(text):
                self._lines.put_back(self._taken)
                break
            self._taken.clear()
        self._delimiter = preamble.delimiter or ","
        self._reader = self._new_reader()
        try:
            cells = self._next_cells()
            if cells is None:
                raise FileError(f"{self._shown}: expected a header of names, got nothing")
            if (of_comment := cells_of_comment(preamble, self._delimiter, cells)) is not None:
                self._lines.put_back(self._taken)
                return header_names(of_comment)
            return header_names(cells)
        except (LineError, ServiceError) as error:
            raise FileError(f"{self._shown}: the first line is no header: {error}") from None

    def _new_reader(self) -> Iterator[list[str]]:
        return csv.reader(self._texts(), delimiter=self._delimiter, strict=True)

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
            LineError: it cannot be read; the next one may begin behind its first line.
        """
        self._taken.clear()
        self._line = self._lines.number
        try:
            cells = next(self._reader, None)
            if not self._taken or max(map(_length, self._taken)) <= self.most_bytes:
                if not all(line.isascii() for line, _ in self._taken):
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
        self._reader = self._new_reader()
        raise LineError(problem)

    def _next_row(self) -> list[str] | None:
        while (cells := self._next_cells()) == []:
            pass  # empty lines are no rows
        if cells is not None and len(cells) != len(self.names):
            raise LineError(f"expected {len(self.names)} cells as in the header, got {len(cells)}")
        if cells and any(b"\0" in line for line, _ in self._taken):
            raise LineError(f"column {column_with_nul(self.names, cells)!r}: {NUL}")
        return cells

    def _piece(self, rows: list[Any], batch: Batch, read: Sequence[str], kept: Any) -> Piece:
        cells: list[str] = []
        for row in rows:
            cells += row
        width = len(self.names)
        beside = [
            pa.array([cell or None for cell in cells[self.names.index(f.name) :: width]], f.type)
            for f in kept
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
