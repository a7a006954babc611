"""Tables as CSV (RFC 4180), as bodies and answers: commas, a header of names, UTF-8.

What a cell stands for, `service.tables` says by the kind of its column, as for training's files.
"""

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, dropwhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle import AnyManifest
from service.codecs.base import CSV_TYPE, Codec
from service.codecs.fields import R, TableRequest
from service.codecs.flat_columns import (
    MAX_COLUMNS,
    flat_columns,
    no_columns,
    reasons_as_columns,
)
from service.codecs.json import BYTES_PER_VALUE, QUICK_BYTES, occurrences
from service.codecs.json_writer import MIN_PIECE_BYTES
from service.errors import (
    InvalidInputError,
    MalformedBodyError,
    TooLargeError,
    cut,
    few,
)
from service.inflight import Reading
from service.operations import Answer, FlowRequest
from service.tables import (
    NUL,
    Column,
    Preamble,
    RawColumn,
    from_values,
    is_header,
    to_values,
    undivided,
)

# More than any row has.
MAX_LINE_CHARACTERS = 2**18

# Cells that are written in one go, which takes a millisecond.
WRITTEN_CELLS = 2**11


class CsvCodec(Codec):
    """CSV: rows and context as columns, the other fields in the query string."""

    media_type = CSV_TYPE
    body_types = (CSV_TYPE,)

    def parse(
        self, schema: type[R], body: bytes, query: Mapping[str, str], reading: Reading
    ) -> TableRequest:
        """A request whose rows are a table, with the context beside them."""
        return TableRequest.read(schema, read_csv, body, query, reading)

    def refusal(
        self, schema: type[FlowRequest], manifest: AnyManifest, output: str | None
    ) -> str | None:
        """Columns of one name cannot be told apart."""
        return no_columns(schema, manifest, output, CSV_TYPE)

    def dump(self, manifest: AnyManifest, answer: Answer, output: str | None) -> bytes:
        """A header and the rows of all arrays, or of the one picked."""
        return b"".join(self.pieces(manifest, answer, output)[1])

    def pieces(
        self, manifest: AnyManifest, answer: Answer, output: str | None
    ) -> tuple[int | None, Iterator[bytes]]:
        """The same bytes; how many, only their end tells."""
        return None, _written(manifest, answer, output)


def read_csv(body: bytes, reading: Reading, max_rows: int) -> dict[str, RawColumn]:
    """The columns of a CSV body by name, in their order; an empty cell is a missing value.

    Empty lines are no rows, and comments may stand before the header, as in training's files.

    Args:
        body: all of it.
        reading: limits; what they forbid is refused, and memory charged, before it is taken.
        max_rows: most rows.

    Raises:
        MalformedBodyError: it is no CSV in UTF-8, or two columns have one name.
        InvalidInputError: a row has more or fewer cells than the header.
        TooLargeError, MemoryFullError: more than the limits allow.
        TakesLongError: on the event loop, more than a little.
    """
    _check_bytes(body, reading)
    if body[:64].lstrip().startswith((b'{"', b'[{"')):  # no cell of CSV does
        raise MalformedBodyError("the body is not CSV: it begins as JSON does")
    preamble, lines, has_nul = Preamble(), _lines(body), b"\0" in body
    reader = csv.reader(())
    cells: list[str] = []
    try:
        first = next(lines, "")
        is_before_header = preamble.takes(first)
        delimiter = preamble.delimiter or ","  # which no other line names
        # before any more lines are taken: 16 MiB of empty ones take 10 s of the interpreter
        _check_cells(body, reading, delimiter)
        if is_before_header:
            first = next(dropwhile(preamble.takes, lines), "")
        reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
        header = next((line for line in reader if line), None)
        if header is None:
            raise MalformedBodyError("the body is not CSV: expected a header of names, got nothing")
        if (of_comment := cells_of_comment(preamble, delimiter, header)) is not None:
            header, cells = of_comment, header
        names = header_names(header)
        for line in reader:
            if not line:
                continue
            row = len(cells) // len(names)
            if len(line) != len(names):
                raise InvalidInputError(
                    f"row {row} (line {preamble.count + reader.line_num}): expected {len(names)} "
                    f"cells as in the header, got {len(line)}{_advice(names, len(line))}"
                )
            if has_nul and (column := column_with_nul(names, line)) is not None:
                raise InvalidInputError(
                    f"row {row}, column {column!r:.80}: {NUL}", row=row, column=column, rows=[row]
                )
            if row >= max_rows:
                raise TooLargeError(f"a table may have {max_rows} rows, this one has more")
            cells += line
    except UnicodeDecodeError as error:
        raise MalformedBodyError(
            f"the body is not CSV: byte {error.object[error.start]:#x}, in line "
            f"{preamble.count + reader.line_num + 1} or behind it, is not UTF-8"
        ) from None
    except csv.Error as error:
        raise MalformedBodyError(
            f"the body is not CSV: line {preamble.count + reader.line_num}: {cut(str(error), 200)}"
        ) from None
    return columns_of_cells(names, cells)


def columns_of_cells(
    names: Sequence[str], cells: Sequence[str], wanted: Collection[str] | None = None
) -> dict[str, RawColumn]:
    """The columns of rows of cells, or some of them; an empty cell is a missing value.

    Args:
        names: of the columns.
        cells: of all rows, row after row.
        wanted: names of columns; None for all.
    """
    width = len(names)
    return {
        name: from_values([cell or None for cell in cells[i::width]])
        for i, name in enumerate(names)
        if wanted is None or name in wanted
    }


def cells_of_comment(preamble: Preamble, delimiter: str, below: Sequence[str]) -> list[str] | None:
    """The last comment as a header, if the line below is a row and not one itself.

    Args:
        preamble: all before that line.
        delimiter: of cells.
        below: the cells of the line.
    """
    if not preamble.comment:
        return None
    cells = next(csv.reader([preamble.comment], delimiter=delimiter))
    return cells if is_header(cells, below) else None


def column_with_nul(names: Sequence[str], cells: Sequence[str]) -> str | None:
    """The first column whose cell holds a NUL byte, at which other programs cut texts."""
    return next((name for name, cell in zip(names, cells, strict=True) if "\0" in cell), None)


def _lines(body: bytes) -> Iterator[str]:
    """Lines with their ends: decoded as they come, as the interpreter stands still for long ones.

    Raises:
        UnicodeDecodeError: some are not UTF-8.
        TooLargeError: a line is longer than any row.
    """
    with io.TextIOWrapper(io.BytesIO(body), "utf-8-sig", newline="") as file:
        while line := file.readline(MAX_LINE_CHARACTERS + 1):
            if len(line) > MAX_LINE_CHARACTERS:
                raise TooLargeError(
                    f"a line of CSV may have {MAX_LINE_CHARACTERS} characters, this one has more"
                )
            yield line


def _check_bytes(body: bytes, reading: Reading) -> None:
    """Check how much CSV there is, before any of it is read."""
    limits, length = reading.limits, len(body)
    if length > limits.json_bytes:
        raise TooLargeError(
            f"a request may have {limits.json_bytes} bytes of CSV, this one has {length}: send "
            "Arrow or Parquet"
        )
    reading.check_quick(length <= QUICK_BYTES)


def _check_cells(body: bytes, reading: Reading, delimiter: str) -> None:
    """Check how many cells there are, and charge what they are parsed to, before they are."""
    limits, length = reading.limits, len(body)
    # each cell but the last ends with one of these, and so may a part of one in quotes
    cells = 1 + sum(occurrences(body, length, delimiter.encode() + b"\n\r"))
    if cells > limits.json_values:
        raise TooLargeError(
            f"a request may have {limits.json_values} cells of CSV, this one has {cells} "
            "delimiters and ends of lines: send Arrow or Parquet"
        )
    if length > QUICK_BYTES:
        # a character beyond ASCII makes each of its cell take up to four bytes
        reading.share.charge(BYTES_PER_VALUE * cells + length * (1 if body.isascii() else 4))


def _advice(names: list[str], cells: int) -> str:
    """Why a row may have other cells than the header, for people."""
    if cells < len(names):
        return ""
    # of a header that is one cell, commas are those of numbers
    return undivided(set(names)) or (
        ": a cell that holds a comma stands in quotes, and numbers have points, not commas"
    )


def header_names(header: Sequence[str]) -> list[str]:
    """The names of columns in the cells of a header.

    Raises:
        MalformedBodyError: two columns have one name, or a name is no text.
        TooLargeError: there are more than any table has.
    """
    if len(header) > MAX_COLUMNS:
        raise TooLargeError(f"a table may have {MAX_COLUMNS} columns, this one has {len(header)}")
    if any("\0" in cell for cell in header):
        raise MalformedBodyError(f"the header is no text: {NUL}")
    names = [cell.strip() for cell in header]
    if len(set(names)) < len(names):
        twice = [name for name, count in Counter(names).items() if count > 1]
        raise MalformedBodyError(f"several columns have one name: {few(twice)}")
    return names


def _written(manifest: AnyManifest, answer: Answer, output: str | None) -> Iterator[bytes]:
    columns = flat_columns(manifest, reasons_as_columns(answer).arrays, output)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    header = writer
    if next(iter(columns)).startswith("#"):  # which would be a comment
        header = csv.writer(file, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    header.writerow(columns)
    rows = len(next(iter(columns.values()))[0])
    at_once = max(1, WRITTEN_CELLS // len(columns))
    for start in range(0, rows, at_once):
        part = slice(start, start + at_once)
        cells = [_cells(values[part], kind) for values, kind in columns.values()]
        writer.writerows(zip(*cells, strict=True))
        if file.tell() >= MIN_PIECE_BYTES:
            yield file.getvalue().encode()
            file.seek(0)
            file.truncate()
    yield file.getvalue().encode()


def _cells(values: NDArray[Any], kind: Column | None) -> list[Any]:
    """Values as cells: None where there is none, and numbers in their shortest digits."""
    if kind is not None:
        (written,) = to_values(values[:, None], [kind]).values()
    elif values.dtype.kind != "f":
        written = values.tolist()
    else:
        written = values.astype("U32").tolist() if values.itemsize < 8 else values.tolist()
        written = [
            None if is_nan else value
            for value, is_nan in zip(written, np.isnan(values).tolist(), strict=True)
        ]
    return [str(each).lower() if isinstance(each, bool) else each for each in written]
