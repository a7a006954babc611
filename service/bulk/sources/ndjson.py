"""One JSON object a line: values by name, as `rows` of a request has them."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from service.bulk.pieces import FileError, Piece, Skipped, missing_columns
from service.bulk.sources.text import BOM, Batch, LineError, TextSource
from service.errors import cut, few
from service.operations import TableColumns, flatten_lists, pack_numbers
from service.tables import TableError, from_values

MAX_LINE_BYTES = 2**24

# Records that the types of kept columns are taken from.
FIRST_RECORDS = 1000

# Names that are kept in mind.
MAX_SEEN_NAMES = 2**16

ERRORS = (TableError, pa.ArrowException, TypeError, OverflowError)
"""Of values that cannot be those of their column."""


class NdjsonSource(TextSource):
    """A file of objects, whose columns are the names of the first one.

    Attributes:
        is_read: whether a column of some name is scored: an object that has one more than the first
            is no row, as its value would be lost.
    """

    most_bytes = MAX_LINE_BYTES

    def _first_names(self) -> Sequence[str]:
        self.is_read: Callable[[str], bool] = lambda _: False
        self._seen: set[str] = set()
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
            except LineError:
                continue
        self._lines.put_back(taken)
        if not self._first:
            raise FileError(f"{self._shown}: expected a JSON object in each line, got none")
        return list(self._first[0])

    def _next_row(self) -> dict[str, Any] | None:
        for line in self._lines:
            self._line = self._lines.number - 1
            if (record := _record(line)) is not None:
                if not self._seen.issuperset(record):
                    self._look_at([name for name in record if name not in self._seen])
                return record
        return None

    def _look_at(self, names: Collection[str]) -> None:
        """See that names that have not been seen yet are of no column that is read.

        Raises:
            LineError: one is.
        """
        first = self._first[0]
        if more := [name for name in names if name not in first and self.is_read(name)]:
            raise LineError(
                f"it has the column{'s' * (len(more) > 1)} {few(more)}, which the first record "
                "lacks: null is for no value"
            )
        if len(self._seen) + len(names) <= MAX_SEEN_NAMES:
            self._seen.update(names)

    def _piece(self, rows: list[Any], batch: Batch, read: Sequence[str], kept: Any) -> Piece:
        try:
            columns, beside = self._converted(rows, read, kept)
        except (KeyError, *ERRORS):
            rows = self._sound(rows, batch, read, kept)
            columns, beside = self._converted(rows, read, kept)
        batch.skipped.sort(key=lambda each: each.row or 0)
        return batch.piece(lambda: columns, pa.Table.from_arrays(beside, schema=kept))

    def _converted(
        self, rows: list[Any], read: Sequence[str], kept: Any
    ) -> tuple[TableColumns, list[Any]]:
        """The columns that are read, and those that stand beside the scores."""
        columns = {
            name: _values([record[name] for record in rows], self._first[0][name]) for name in read
        }
        return columns, [pa.array([record[f.name] for record in rows], f.type) for f in kept]

    def _sound(self, rows: list[Any], batch: Batch, read: Sequence[str], kept: Any) -> list[Any]:
        """The rows whose values can all be read; the batch tells of the others."""
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
        sound = [i for i in range(len(rows)) if i not in problems]
        batch.numbers = [batch.numbers[i] for i in sound]
        batch.lines = [batch.lines[i] for i in sound]
        return [rows[i] for i in sound]

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
    if len(line) > MAX_LINE_BYTES:
        raise LineError(f"a line may have {MAX_LINE_BYTES} bytes, this one has more")
    if line.isspace():
        return None
    try:
        record = orjson.loads(line.removeprefix(BOM))
    except ValueError as error:
        raise LineError(f"it is not JSON: {cut(str(error), 200)}") from None
    if not isinstance(record, dict):
        raise LineError(f"expected a JSON object, got {type(record).__name__}")
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
    shape, flat = flatten_lists([like, *values]) or ((), [None])
    if not set(map(type, flat)) <= {int, float}:
        raise TableError("expected a list of numbers, as long as that of the first row")
    return pack_numbers(flat, np.dtype(np.float64)).reshape(shape)[1:]


def _find(
    problems: dict[int, tuple[str, str]],
    name: str,
    rows: list[dict[str, Any]],
    convert: Callable[[list[Any]], Any],
) -> None:
    """Find the rows whose value of a column cannot be one, if there are some."""
    sound = [i for i in range(len(rows)) if i not in problems]
    try:
        convert([rows[i][name] for i in sound])
    except ERRORS:
        for i in sound:
            try:
                convert([rows[i][name]])
            except ERRORS as error:
                problems[i] = (name, cut(str(error).removeprefix("row 0: "), 200))
