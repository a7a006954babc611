"""What is read of a file at a time, and what of it cannot be scored."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.errors import cut
from service.operations import TableColumns

Place = dict[str, int]
"""Where reading goes on in a file; empty for its beginning."""


class BulkError(Exception):
    """What ends a run; one line that names file, row and column where there are such."""


class FileError(BulkError):
    """A file of which nothing can be scored."""


class Skipped(NamedTuple):
    """Rows of a file without a score.

    Args:
        file: as the command names it.
        detail: what was expected and what came.
        row: the first of them, from 0; None for all of the file.
        rows: how many.
        line: of the file, from 1, where it has lines.
        column: its name or number, where one is to blame.
    """

    file: str
    detail: str
    row: int | None = None
    rows: int = 1
    line: int | None = None
    column: str | int | None = None

    def __str__(self) -> str:
        """One line for people."""
        where = [self.file]
        if self.row is not None:
            last = f" to {self.row + self.rows - 1}" if self.rows > 1 else ""
            where.append(f"row{'s' if last else ''} {self.row}{last}")
        if self.line is not None:
            where.append(f"line {self.line}")
        if self.column is not None:
            where.append(f"column {cut(str(self.column))!r}")
        return f"{', '.join(where)}: {self.detail}"

    def to_json(self) -> dict[str, Any]:
        """What a report says of them, without what there is not."""
        return {key: value for key, value in self._asdict().items() if value is not None}


@dataclass
class Piece:
    """Consecutive rows of a file.

    Args:
        numbers: N, of the rows in their file, from 0.
        columns: reads what is scored; called once, in any thread.
        kept: the columns that stand beside the scores, a `pyarrow.Table` of N rows.
        after: where reading goes on.
        share: of the file that has been read by then, 0 to 1.
        lines: N, where the rows begin in a file of lines.
        skipped: rows before or among these that could not be read.
    """

    numbers: NDArray[np.int64]
    columns: Callable[[], TableColumns]
    kept: Any
    after: Place
    share: float
    lines: NDArray[np.int64] | None = None
    skipped: list[Skipped] = field(default_factory=list)


class Source(Protocol):
    """A file of rows.

    Attributes:
        names: of its columns.
    """

    names: Sequence[str]

    def kept_schema(self, keep: Sequence[str]) -> Any:
        """The types of some columns, a `pyarrow.Schema`.

        Raises:
            FileError: there is no such column.
        """
        ...

    def empty(self, read: Sequence[str]) -> TableColumns:
        """Some columns, of no rows."""
        ...

    def starts(self, place: Place) -> list[Place]:
        """Places from which parts of the rest of the file can be read apart, the first of them."""
        ...

    def pieces(
        self, read: Sequence[str], kept: Any, place: Place, stop: Place | None = None
    ) -> Iterator[Piece | None]:
        """The rows from a place on, some at a time: the same from whatever place.

        None comes where more rows of a pipe may be long in coming.

        Args:
            read: columns to be scored.
            kept: the `pyarrow.Schema` of the columns that stand beside the scores.
            place: `after` of a piece, one of `starts`, or empty.
            stop: the next of `starts`; None for the end of the file.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


JSON_TEXT = {b"format": b"json"}
"""Marks columns of text that is JSON, which NDJSON holds as what it is."""


def json_field(name: str) -> Any:
    """A column of such text, a `pyarrow.Field`."""
    return pa.field(name, pa.string(), metadata=JSON_TEXT)


def plain_type(kind: Any) -> Any:
    """The type of a column's values, which may stand in a dictionary."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def missing_columns(file: str, names: Sequence[str], wanted: Sequence[str]) -> None:
    """See that a file has some columns.

    Raises:
        FileError: it lacks some.
    """
    if missing := [name for name in wanted if name not in names]:
        shown = ", ".join(map(repr, map(cut, missing[:10])))
        there = ", ".join(map(repr, map(cut, names[:10]))) + ", …" * (len(names) > 10)
        raise FileError(f"{file}: there is no column {shown} to keep; the columns are {there}")
