"""Reading tables from text files: CSV and its like."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from service.tables import NUL
from training.config import TableSource, one_line
from training.data.readers.base import CheckWidth, Table, any_width
from training.data.readers.csv_dialect import BLANKS, Dialect, dialect_of
from training.data.readers.tables import ArrowFile, arrow_table
from training.errors import DataError

# Bytes of the first lines that are looked at.
SAMPLED_BYTES = 2**20

RAGGED = re.compile(r"Expected \d+ columns, got (\d+)")

COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}

# A cell of digits that begin with 0, or with 0x: pyarrow reads it as a number.
CODE_TEXT = r"^\s*[+-]?0(\d+|[xX][0-9A-Fa-f]+)\s*$"

# Digits that 64 bits may not hold: pyarrow rounds them to float64.
LONG_TEXT = r"^\s*[+-]?\d{19,}\s*$"
BEYOND_INT64 = 2.0**63

# Whatever pyarrow takes for a time of day, and may be a duration: to 01:23 it adds seconds.
TIME_TEXT = ":"


def open_csv(path: Path, source: TableSource, check_width: CheckWidth) -> ArrowFile:
    """A text file, compressed or not, written as `csv_dialect` says.

    What pyarrow makes something else of is text: codes such as 01067, and times of day.

    Raises:
        DataError: it is not UTF-8, or its lines differ in their number of cells.
    """
    file = _opened_csv(path, source, check_width)
    assert file.dialect is not None
    return file._replace(table=_as_written(file.table, path, file.dialect))


def _opened_csv(path: Path, source: TableSource, check_width: CheckWidth) -> ArrowFile:
    with _decompressed(path) as file:
        dialect = dialect_of(_first_lines(path, file.read(SAMPLED_BYTES)), source.header)
    check_width(dialect.width)
    with _decompressed(path) as file:
        content = file if dialect.delimiter != BLANKS else pa.BufferReader(_tabs(file.read()))
        try:
            table = pyarrow.csv.read_csv(content, *_options(dialect))
        except pa.ArrowInvalid as error:
            said = one_line(error)
            where = _ragged_line(path, dialect, said)
            raise DataError(f"{path}{where}: {said}{_advice(dialect, said)}") from None
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_string(column.type):
            row = pc.index(pc.match_substring(column, "\0"), True).as_py()
            if row >= 0:
                raise DataError(f"{path}, {_line(path, dialect, row)}, column {name!r}: {NUL}")
    return ArrowFile(table, lambda row: _line(path, dialect, row), dialect)


def read_csv(path: Path, source: TableSource) -> Table:
    """The columns of numbers of a text file, compressed or not; see `csv_dialect`."""
    file = _opened_csv(path, source, any_width)
    return arrow_table(file.table, path, source, file.place, file.dialect)


def _as_written(table: pa.Table, path: Path, dialect: Dialect) -> pa.Table:
    """A table with text in the columns that hold what pyarrow makes something else of."""
    names = table.column_names
    if dialect.delimiter == BLANKS or len(set(names)) < len(names):
        return table
    if not (columns := _changed(path, dialect, dict(_suspected(table)))):
        return table
    with _decompressed(path) as file:
        texts = pyarrow.csv.read_csv(file, *_options(dialect, as_text=columns))
    for name in columns:
        table = table.set_column(names.index(name), name, texts[name])
    return table


def _changed(path: Path, dialect: Dialect, suspected: Mapping[str, str]) -> list[str]:
    """The columns of which the text of some cell is as it is suspected to be."""
    found: set[str] = set()
    if not suspected:
        return []
    options = _options(dialect, as_text=list(suspected))
    with _decompressed(path) as file, pyarrow.csv.open_csv(file, *options) as batches:
        for batch in batches:
            for name in suspected.keys() - found:
                if pc.any(pc.match_substring_regex(batch[name], suspected[name])).as_py():
                    found.add(name)
    return [name for name in suspected if name in found]


def _suspected(table: pa.Table) -> Iterator[tuple[str, str]]:
    """The columns whose text may be something else, and what the text of some cell is then."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_integer(column.type):
            yield name, CODE_TEXT
        elif pa.types.is_time(column.type):
            yield name, TIME_TEXT
        elif pa.types.is_floating(column.type) and _reaches(column, BEYOND_INT64):
            yield name, LONG_TEXT


def _reaches(column: pa.ChunkedArray, size: float) -> bool:
    """Whether some number is so large, of either sign."""
    return bool(pc.any(pc.greater_equal(pc.abs(column), size)).as_py())


@contextmanager
def _decompressed(path: Path) -> Iterator[IO[bytes]]:
    """A file, decompressed as its ending says."""
    compression = COMPRESSIONS.get(path.suffix.lower())
    with pa.input_stream(str(path), compression=compression) as file:
        yield file


def _first_lines(path: Path, sample: bytes) -> list[str]:
    if sample[:2] == b"\x1f\x8b":
        raise DataError(f"{path} is compressed with gzip: name it {path.name}.gz")
    if sample[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path} is UTF-16: save it as UTF-8")
    if sample[:100].count(b"\0") > len(sample[:100]) // 4:
        raise DataError(f"{path} is UTF-16 without a mark, or no text: save it as UTF-8")
    try:
        # the sample may end within a character
        text = sample.decode("utf-8-sig", "strict" if len(sample) < SAMPLED_BYTES else "ignore")
    except UnicodeDecodeError as error:
        line = sample[: error.start].count(b"\n") + 1
        raise DataError(
            f"{path}, line {line}: byte {sample[error.start]:#x} is not UTF-8: save it as UTF-8"
        ) from None
    lines = list(io.StringIO(text, newline=""))
    # the last line may be cut off
    return lines if len(sample) < SAMPLED_BYTES or len(lines) == 1 else lines[:-1]


def _options(
    dialect: Dialect, as_text: Sequence[str] | None = None
) -> tuple[pyarrow.csv.ReadOptions, pyarrow.csv.ParseOptions, pyarrow.csv.ConvertOptions]:
    """How pyarrow reads a file: all columns, or some of them as text."""
    convert = pyarrow.csv.ConvertOptions(decimal_point=dialect.decimal)
    if as_text is not None:
        convert.include_columns = list(as_text)
        convert.column_types = dict.fromkeys(as_text, pa.string())
        convert.strings_can_be_null = True
    return (
        pyarrow.csv.ReadOptions(
            skip_rows=dialect.before_rows,
            column_names=dialect.names if dialect.has_header else None,
            autogenerate_column_names=not dialect.has_header,
        ),
        pyarrow.csv.ParseOptions(
            delimiter="\t" if dialect.delimiter == BLANKS else dialect.delimiter,
            newlines_in_values=True,
        ),
        convert,
    )


def _tabs(content: bytes) -> bytes:
    """Lines of cells between blanks, with one tab between two cells."""
    return b"\n".join(b"\t".join(line.split()) for line in content.splitlines())


def _rows(path: Path, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """The line where each row begins, and its cells; empty lines are no rows.

    The last one has no cells where one of them is longer than `csv` reads.
    """
    with _decompressed(path) as file:
        text = io.TextIOWrapper(file, "utf-8-sig", "replace", newline="")
        lines: Iterator[str] = islice(text, dialect.before_rows, None)
        delimiter = dialect.delimiter
        if delimiter == BLANKS:
            lines, delimiter = ("\t".join(line.split()) for line in lines), "\t"
        reader = csv.reader(lines, delimiter=delimiter)
        before = dialect.before_rows
        try:
            for cells in reader:
                if cells:
                    yield before + 1, cells
                before = dialect.before_rows + reader.line_num
        except csv.Error:
            yield before + 1, []


def _line(path: Path, dialect: Dialect, row: int) -> str:
    """Where a text file has a row, counted from 0."""
    line, _ = next(islice(_rows(path, dialect), row, None), (None, None))
    return f"row {row}" if line is None else f"line {line}"


def _advice(dialect: Dialect, error: str) -> str:
    """What to do about a line of another length, where the first line is why."""
    if len(dialect.names) == 1 and "Expected 1 columns" in error:
        return (
            f"; the first line, {dialect.names[0]!r:.60}, is one cell: if it is no line of names, "
            "remove it and what else stands before them, or begin such lines with #"
        )
    return ""


def _ragged_line(path: Path, dialect: Dialect, error: str) -> str:
    """Where the first row is that has as many cells as the parser's error says, or no end."""
    if (found := RAGGED.search(error)) is None:
        return ""
    lines = (line for line, cells in _rows(path, dialect) if len(cells) in (0, int(found[1])))
    line = next(lines, None)
    return "" if line is None else f", line {line}"
