"""Reading tables from CSV and Parquet files."""

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from training.config import TableSource
from training.data.readers.base import Table, kept_columns
from training.errors import DataError


def read_csv(path: Path, source: TableSource) -> Table:
    """The columns of a CSV or TSV file.

    The first line is a header unless all its values are numbers.
    """
    with path.open(newline="", encoding="utf-8") as file:
        head = file.readline()
    if not head.strip():
        raise ValueError("it is empty")
    delimiter = max(",;\t", key=head.count)
    names = next(csv.reader([head], delimiter=delimiter))
    has_header = not all(_is_number(name) for name in names)
    table = pyarrow.csv.read_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(autogenerate_column_names=not has_header),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
    )
    return arrow_table(table, path, source)


def read_parquet(path: Path, source: TableSource) -> Table:
    """The columns of a Parquet file."""
    return arrow_table(pyarrow.parquet.read_table(path), path, source)


def arrow_table(table: pa.Table, path: Path, source: TableSource) -> Table:
    """The columns of an Arrow table, without those that the source drops.

    Raises:
        DataError: a column that holds no numbers.
    """
    labels = None
    if source.labels in table.column_names:
        labels = np.array(table[source.labels].to_pylist())  # a null stays None
    table = table.select(kept_columns(table.column_names, source, path))
    for field in table.schema:
        if not (pa.types.is_integer(field.type) or pa.types.is_floating(field.type)):
            first = table[field.name].drop_null()[:1].to_pylist()
            raise DataError(
                f"{path}: column {field.name!r} holds {field.type}"
                f"{f' (such as {first[0]!r})' if first else ''}, and a flow models numbers: "
                f'leave it out with drop = ["{field.name}"] in [data], or condition the flow on '
                f'it as a class with labels = "{field.name}"'
            )
    if table.num_columns == 0 or table.num_rows == 0:
        raise ValueError(f"it holds {table.num_rows} rows of {table.num_columns} columns")
    columns = [column.to_numpy() for column in table.columns]  # a null becomes NaN
    return Table(np.column_stack(columns), list(table.column_names), labels)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
