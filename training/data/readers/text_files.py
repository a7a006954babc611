"""Reading tables from text files: CSV and its like."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from service.tables import NUL
from training.config import TableSource
from training.data.readers.base import CheckWidth, Table, any_width
from training.data.readers.csv_dialect import BLANKS, SAMPLED_LINES, Dialect, dialect_of
from training.data.readers.tables import ArrowFile, arrow_table
from training.errors import DataError

# Bytes of the first lines that are looked at.
SAMPLED_BYTES = 2**20

COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}

# A cell of digits that begin with 0: pyarrow reads it as a number.
LEADING_ZERO_TEXT = r"^\s*[+-]?0\d+\s*$"
LEADING_ZERO_CELL = re.compile(rb"(?:^|[,;|\t\"\r\n])[ ]*[+-]?0\d+[ ]*(?:[,;|\t\"\r\n]|$)")


def open_csv(path: Path, source: TableSource, check_width: CheckWidth) -> ArrowFile:
    """A text file, compressed or not, written as `csv_dialect` says; codes such as 01067 are text.

    Raises:
        DataError: it is not UTF-8, or its lines differ in their number of cells.
    """
    file = _opened_csv(path, source, check_width)
    assert file.dialect is not None
    table = _with_leading_zeros(file.table, path, file.dialect)
    for i, kind in enumerate(table.schema.types):
        if pa.types.is_time(kind):  # as pyarrow takes all texts such as 00:12:30, durations too
            table = table.set_column(i, table.column_names[i], table.column(i).cast(pa.string()))
    return file._replace(table=table)


def _opened_csv(path: Path, source: TableSource, check_width: CheckWidth) -> ArrowFile:
    with _decompressed(path) as file:
        dialect = dialect_of(_first_lines(path, file.read(SAMPLED_BYTES)), source.header)
    check_width(dialect.width)
    with _decompressed(path) as file:
        content = file if dialect.delimiter != BLANKS else pa.BufferReader(_tabs(file.read()))
        try:
            table = pyarrow.csv.read_csv(content, *_options(dialect))
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{path}{_ragged_line(path, str(error))}: {error}{_advice(dialect, str(error))}"
            ) from None
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


def _with_leading_zeros(table: pa.Table, path: Path, dialect: Dialect) -> pa.Table:
    """A table with text in columns of whole numbers of which some begin with 0, as codes do."""
    whole = [i for i, kind in enumerate(table.schema.types) if pa.types.is_integer(kind)]
    names = table.column_names
    if not whole or dialect.delimiter == BLANKS or len(set(names)) < len(names):
        return table
    with _decompressed(path) as file:
        if not LEADING_ZERO_CELL.search(file.read()):
            return table
    read, parse, convert = _options(dialect)
    convert.column_types = {names[i]: pa.string() for i in whole}
    convert.include_columns = [names[i] for i in whole]
    convert.strings_can_be_null = True
    with _decompressed(path) as file:
        texts = pyarrow.csv.read_csv(file, read, parse, convert)
    for i in whole:
        column = texts[names[i]]
        if pc.any(pc.match_substring_regex(column, LEADING_ZERO_TEXT)).as_py():
            table = table.set_column(i, names[i], column)
    return table


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
    lines = text.splitlines()
    # the last line may be cut off
    whole = lines if len(sample) < SAMPLED_BYTES or len(lines) == 1 else lines[:-1]
    return whole[:SAMPLED_LINES]


def _options(
    dialect: Dialect,
) -> tuple[pyarrow.csv.ReadOptions, pyarrow.csv.ParseOptions, pyarrow.csv.ConvertOptions]:
    return (
        pyarrow.csv.ReadOptions(
            skip_rows=dialect.skipped + dialect.has_header,
            column_names=dialect.names if dialect.has_header else None,
            autogenerate_column_names=not dialect.has_header,
        ),
        pyarrow.csv.ParseOptions(
            delimiter="\t" if dialect.delimiter == BLANKS else dialect.delimiter
        ),
        pyarrow.csv.ConvertOptions(decimal_point=dialect.decimal),
    )


def _tabs(content: bytes) -> bytes:
    """Lines of cells between blanks, with one tab between two cells."""
    return b"\n".join(b"\t".join(line.split()) for line in content.splitlines())


def _line(path: Path, dialect: Dialect, row: int) -> str:
    """Where a text file has a row: counted in the file, since empty lines are no rows."""
    with _decompressed(path) as file:
        lines = file.read().splitlines()
    filled = [i for i, line in enumerate(lines[dialect.skipped :], dialect.skipped) if line.strip()]
    return f"line {filled[row + dialect.has_header] + 1}"


def _advice(dialect: Dialect, error: str) -> str:
    """What to do about a line of another length, where the first line is why."""
    if len(dialect.names) == 1 and "Expected 1 columns" in error:
        return (
            f"; the first line, {dialect.names[0]!r:.60}, is one cell: if it is no line of names, "
            "remove it and what else stands before them, or begin such lines with #"
        )
    return ""


def _ragged_line(path: Path, error: str) -> str:
    """Where the line is that the parser's error ends with."""
    text = error.rpartition(": ")[2].encode()
    with _decompressed(path) as file:
        lines = file.read().splitlines()
    return f", line {lines.index(text) + 1}" if text in lines else ""
