"""Files of lines, in pieces: a line that is no row is named, and the others are read."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from io import FileIO
from typing import Any

import numpy as np

from service.bulk.pieces import Piece, Place, Skipped
from service.bulk.sources.lines import Lines
from service.operations import TableColumns

# Of a piece, beside its rows.
PIECE_BYTES = 2**23

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
            LineError: a row that cannot.
        """

    @abstractmethod
    def _piece(self, rows: list[Any], batch: "Batch", read: Sequence[str], kept: Any) -> Piece:
        """The rows of a batch as a piece."""

    def starts(self, place: Place) -> list[Place]:
        """One: where a row begins, and its number, only those before it tell."""
        return [place]

    def pieces(
        self, read: Sequence[str], kept: Any, place: Place, stop: Place | None = None
    ) -> Iterator[Piece | None]:
        """See `Source`."""
        number = 0
        if place:
            number = place["row"]
            self._lines = Lines(self._file, self.most_bytes, place["byte"], place["line"])
        while True:
            if self._lines.would_wait:
                yield None
            batch = Batch()
            rows: list[Any] = []
            first, at_end = self._lines.offset, False
            while len(rows) < self._rows and self._lines.offset - first < PIECE_BYTES:
                if (rows or batch.skipped) and self._lines.would_wait:
                    break
                try:
                    row = self._next_row()
                except LineError as error:
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


class LineError(Exception):
    """A line that is no row."""


class Batch:
    """What is known of rows that have been read."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.lines: list[int] = []
        self.skipped: list[Skipped] = []

    def piece(self, columns: Callable[[], TableColumns], kept: Any) -> Piece:
        """The rows as a piece, which the source completes."""
        numbers, lines = np.array(self.numbers, np.int64), np.array(self.lines, np.int64)
        return Piece(numbers, columns, kept, {}, 0.0, lines, self.skipped)
