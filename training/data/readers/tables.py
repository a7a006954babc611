"""Reading tables from CSV and Parquet files."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
from numpy.typing import NDArray

from training.config import TableSource
from training.data.readers.base import CheckWidth, Part, Table, any_width, kept_columns
from training.data.readers.csv_dialect import (
    Dialect,
)
from training.data.readers.text import TextColumn, text_column
from training.errors import DataError
from training.memory import check_fits

BYTES_OF_A_NUMBER = 8

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


def open_parquet(path: Path, _: TableSource, check_width: CheckWidth) -> ArrowFile:
    """A Parquet file, or all those of a folder, sorted by name."""
    for file in sorted(path.rglob("*.parquet")) if path.is_dir() else [path]:
        check_width(_check_parquet(file))
    if not path.is_dir():
        _check_names(pyarrow.parquet.read_schema(path).names, path)
    # as requests and `bijecta score` read Spark's times; by nanoseconds they end with the year 2262
    return ArrowFile(pyarrow.parquet.read_table(path, coerce_int96_timestamp_unit="us"))


def read_parquet(path: Path, source: TableSource) -> Table:
    """The columns of numbers of a Parquet file or of a folder of them."""
    return arrow_table(open_parquet(path, source, any_width).table, path, source)


def open_feather(path: Path, _: TableSource, check_width: CheckWidth) -> ArrowFile:
    """An Arrow file, which Feather of version 2 is."""
    with pa.memory_map(str(path)) as mapped:
        check_width(len(pa.ipc.open_file(mapped).schema.names))
    check_fits(path, "an Arrow table", path.stat().st_size)
    return ArrowFile(pyarrow.feather.read_table(path, memory_map=False))


def read_feather(path: Path, source: TableSource) -> Table:
    """The columns of numbers of an Arrow file."""
    return arrow_table(open_feather(path, source, any_width).table, path, source)


def _check_parquet(path: Path) -> int:
    """Compare what a file says that it holds with memory: values, and their uncompressed bytes.

    A column of one value a billion times is a few bytes in the file. Returns its number of columns.
    """
    metadata = pyarrow.parquet.read_metadata(path)
    values = size = 0
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        size += group.total_byte_size
        values += sum(group.column(j).num_values for j in range(group.num_columns))
    holds = f"{metadata.num_rows} rows of {metadata.num_columns} columns"
    check_fits(path, holds, max(size, values * BYTES_OF_A_NUMBER))
    return len(metadata.schema.to_arrow_schema())


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
