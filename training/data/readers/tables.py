"""Reading tables from CSV and Parquet files."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
from numpy.typing import NDArray

from training.config import TableSource
from training.data.readers.base import Part, Table, kept_columns
from training.data.readers.csv_dialect import (
    BLANKS,
    SAMPLED_LINES,
    Dialect,
    dialect_of,
)
from training.data.readers.text import TextColumn, text_column
from training.errors import DataError
from training.memory import check_fits

# Bytes of the first lines that are looked at.
SAMPLED_BYTES = 2**20

COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}

BYTES_OF_A_NUMBER = 8

# A cell of digits that begin with 0: pyarrow reads it as a number.
LEADING_ZERO_TEXT = r"^\s*[+-]?0\d+\s*$"
LEADING_ZERO_CELL = re.compile(rb"(?:^|[,;|\t\"\r\n])[ ]*[+-]?0\d+[ ]*(?:[,;|\t\"\r\n]|$)")

Place = Callable[[int], str]


class ArrowFile(NamedTuple):
    """A table as its file holds it.

    Args:
        table: all columns and rows.
        place: from a row's number, from 0, to where the file has it.
        dialect: of a text file.
    """

    table: pa.Table
    place: Place = "row {}".format
    dialect: Dialect | None = None


def open_csv(path: Path, source: TableSource) -> ArrowFile:
    """A text file, compressed or not, written as `csv_dialect` says; codes such as 01067 are text.

    Raises:
        DataError: it is not UTF-8, or its lines differ in their number of cells.
    """
    file = _opened_csv(path, source)
    assert file.dialect is not None
    table = _with_leading_zeros(file.table, path, file.dialect)
    for i, kind in enumerate(table.schema.types):
        if pa.types.is_time(kind):  # as pyarrow takes all texts such as 00:12:30, durations too
            table = table.set_column(i, table.column_names[i], table.column(i).cast(pa.string()))
    return file._replace(table=table)


def _opened_csv(path: Path, source: TableSource) -> ArrowFile:
    with _decompressed(path) as file:
        dialect = dialect_of(_first_lines(path, file.read(SAMPLED_BYTES)), source.header)
    with _decompressed(path) as file:
        content = file if dialect.delimiter != BLANKS else pa.BufferReader(_tabs(file.read()))
        try:
            table = pyarrow.csv.read_csv(content, *_options(dialect))
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{path}{_ragged_line(path, str(error))}: {error}{_advice(dialect, str(error))}"
            ) from None
    return ArrowFile(table, lambda row: _line(path, dialect, row), dialect)


def read_csv(path: Path, source: TableSource) -> Table:
    """The columns of numbers of a text file, compressed or not; see `csv_dialect`."""
    file = _opened_csv(path, source)
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


def open_parquet(path: Path, _: TableSource) -> ArrowFile:
    """A Parquet file, or all those of a folder, sorted by name."""
    for file in sorted(path.rglob("*.parquet")) if path.is_dir() else [path]:
        _check_parquet(file)
    if not path.is_dir():
        _check_names(pyarrow.parquet.read_schema(path).names, path)
    return ArrowFile(pyarrow.parquet.read_table(path))


def read_parquet(path: Path, source: TableSource) -> Table:
    """The columns of numbers of a Parquet file or of a folder of them."""
    return arrow_table(open_parquet(path, source).table, path, source)


def open_feather(path: Path, _: TableSource) -> ArrowFile:
    """An Arrow file, which Feather of version 2 is."""
    check_fits(path, "an Arrow table", path.stat().st_size)
    return ArrowFile(pyarrow.feather.read_table(path, memory_map=False))


def read_feather(path: Path, source: TableSource) -> Table:
    """The columns of numbers of an Arrow file."""
    return arrow_table(open_feather(path, source).table, path, source)


def _check_parquet(path: Path) -> None:
    """Compare what a file says that it holds with memory: values, and their uncompressed bytes.

    A column of one value a billion times is a few bytes in the file.
    """
    metadata = pyarrow.parquet.read_metadata(path)
    values = size = 0
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        size += group.total_byte_size
        values += sum(group.column(j).num_values for j in range(group.num_columns))
    holds = f"{metadata.num_rows} rows of {metadata.num_columns} columns"
    check_fits(path, holds, max(size, values * BYTES_OF_A_NUMBER))


def arrow_table(
    table: pa.Table,
    path: Path,
    source: TableSource,
    place: Place = "row {}".format,
    dialect: Dialect | None = None,
) -> Table:
    """The columns of an Arrow table, without those that the source drops.

    Args:
        table: as the file holds it.
        path: of the file, for people.
        source: which columns are dropped, and which holds labels.
        place: from a row's number, from 0, to where the file has it.
        dialect: of a text file.

    Raises:
        DataError: two columns of one name, or none that is kept.
    """
    names = unique_names(table, path)
    labels = None
    if source.labels in names:
        labels = np.array(table[source.labels].to_pylist())  # a null stays None
    table = table.select(kept_columns(names, source, path))
    if table.num_columns == 0 or table.num_rows == 0:
        raise ValueError(f"it holds {table.num_rows} rows of {table.num_columns} columns")
    texts: dict[str, TextColumn] = {}
    columns: dict[str, NDArray[np.generic]] = {}
    for name in table.column_names:
        for coordinate, values in _numbers(name, table[name]):
            if values is None:
                texts[coordinate] = text_column(table[name], dialect)
            else:
                columns[coordinate] = values
    rows = (
        np.column_stack(list(columns.values()))
        if columns
        else np.empty((table.num_rows, 0), np.float64)
    )
    part = Part(path, table.num_rows, place)
    notes = tuple(dialect.notes) if dialect is not None else ()
    return Table(
        rows,
        list(columns),
        labels,
        texts=texts,
        parts=[part],
        notes=notes,
        has_names=dialect is None or dialect.has_header,
    )


def unique_names(table: pa.Table, path: Path) -> list[str]:
    """The names of the columns.

    Raises:
        DataError: two columns have one name.
    """
    names = list(table.column_names)
    _check_names(names, path)
    return names


def _check_names(names: list[str], path: Path) -> None:
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise DataError(f"{path} has several columns of one name: {', '.join(map(repr, twice))}")


def _numbers(
    name: str, column: pa.ChunkedArray
) -> Iterator[tuple[str, NDArray[np.generic] | None]]:
    """The numbers of a column by name, of a list one by one; None for what holds no numbers."""
    kind = column.type
    if pa.types.is_fixed_size_list(kind) and column.null_count == 0:
        values = column.combine_chunks().flatten()
        matrix = np.asarray(values.to_numpy(zero_copy_only=False)).reshape(-1, kind.list_size)
        for i in range(kind.list_size):
            yield f"{name}.{i}", matrix[:, i] if _is_numeric(kind.value_type) else None
        return
    if pa.types.is_decimal(kind):
        column, kind = column.cast(pa.float64()), pa.float64()
    if pa.types.is_null(kind):  # nothing but gaps
        column, kind = column.cast(pa.float64()), pa.float64()
    yield name, column.to_numpy() if _is_numeric(kind) else None  # a null becomes NaN


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


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
    if b"\0" in sample[:100]:
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
