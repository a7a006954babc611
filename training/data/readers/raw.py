"""Reading tables as they are: columns of numbers, text and times, with what is missing."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from service.bundle import MAX_COLUMNS
from service.tables import RawColumn, RawTable, TableError, from_array, from_arrow, is_number
from training.config import ArchiveSource, FileSource, TableSource
from training.data.readers.base import Table
from training.data.readers.csv_dialect import BLANKS, Dialect
from training.data.readers.registry import open_table
from training.data.readers.tables import ArrowFile, unique_names
from training.errors import DataError

# How an archive may call the array that names the columns of another one.
NAMES = ("feature_names", "columns", "column_names")

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", BLANKS: "blanks"}


def read_raw(path: Path, source: FileSource, drop: Sequence[str] = ()) -> RawTable:
    """Read all columns of a table, whatever they hold.

    Args:
        path: the file or folder.
        source: how to read it; columns that it drops are there all the same.
        drop: columns that are left out, too.

    Raises:
        DataError: as of `registry.read`, no rows or columns, more than a model may have, which is
            said before they are read, or a column of lists or the like.
    """
    dropped = {*source.columns_not_modelled, *drop}

    def check_width(width: int) -> None:
        if width - len(dropped) > MAX_COLUMNS:
            raise DataError(
                f"{path} has {width} columns, {width - len(dropped)} without those that are "
                f"dropped: a model of a table may have {MAX_COLUMNS}; drop others"
            )

    whole = source.model_copy(update={"drop": [], "labels": None})
    opened = open_table(path, whole, check_width)
    try:
        if isinstance(opened, ArrowFile):
            table = _of_arrow(opened, path)
        else:
            check_width(len(opened.columns))
            table = _of_array(opened, path, source)
    except TableError as error:
        raise DataError(f"{path}: {error}") from None
    if not table.rows or not table.columns:
        raise DataError(f"{path} holds {table.rows} rows of {len(table.columns)} columns")
    return table


def _of_arrow(file: ArrowFile, path: Path) -> RawTable:
    columns: dict[str, RawColumn] = {}
    for name in unique_names(file.table, path):
        columns |= from_arrow(name, file.table[name])
    notes: list[str] = []
    if (dialect := file.dialect) is not None:
        notes = dialect.notes
        if dialect.delimiter not in (",", BLANKS):  # of blanks the notes speak
            notes = [f"its columns are separated by {DELIMITERS[dialect.delimiter]}", *notes]
        columns = {name: _with_points(column, dialect) for name, column in columns.items()}
    has_names = dialect is None or dialect.has_header
    return RawTable(columns, file.table.num_rows, file.place, tuple(notes), has_names)


def _with_points(column: RawColumn, dialect: Dialect) -> RawColumn:
    """Text of a file with decimal commas, its numbers with points."""
    if dialect.decimal == "." or column.form != "words":
        return column
    words = [
        word.replace(",", ".", 1) if isinstance(word, str) and is_number(word, ",") else word
        for word in column.words
    ]
    return column if len(set(words)) < len(words) else replace(column, words=tuple(words))


def _of_array(table: Table, path: Path, source: FileSource) -> RawTable:
    if not isinstance(source, TableSource | ArchiveSource) or table.array_shape is not None:
        raise TableError("it holds arrays, images or sounds: expected rows of columns")
    names, has_names = table.columns, table.has_names
    if isinstance(source, ArchiveSource):
        with np.load(path, allow_pickle=False) as arrays:
            for name in NAMES:
                if name in arrays and arrays[name].dtype.kind == "U":
                    of_file = arrays[name].ravel().tolist()
                    if len(set(of_file)) == len(of_file) == len(names):
                        names, has_names = of_file, True
    columns = {name: from_array(table.rows[:, i]) for i, name in enumerate(names)}
    return RawTable(columns, len(table.rows), table.place, table.notes, has_names)
