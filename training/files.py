"""Reading tables of numbers from files."""

import csv
import gzip
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from training.errors import DataError

IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


@dataclass(frozen=True)
class Table:
    """Rows of numbers as a file holds them.

    Args:
        rows: N × D, of the file's own number type; images are flat rows of pixels.
        columns: a name for each coordinate, in row-major order.
        labels: N, the column of labels, numbers or text, where one was asked for.
    """

    rows: NDArray[np.generic]
    columns: list[str]
    labels: NDArray[np.generic] | None = None


@dataclass(frozen=True)
class Wanted:
    """What of a file is wanted; see `read`."""

    key: str | None
    drop: Collection[str]
    labels: str | None

    def kept(self, names: list[str], path: Path) -> list[int]:
        """Which columns hold numbers of rows: neither dropped nor labels."""
        if unknown := sorted(set(self.drop) - set(names)):
            raise DataError(f"{path}: cannot drop {unknown}: the columns are {names}")
        return [i for i, n in enumerate(names) if n not in self.drop and n != self.labels]


def read(
    path: Path, key: str | None = None, drop: Collection[str] = (), labels: str | None = None
) -> Table:
    """Read `.npy`, `.npz`, `.csv`, `.parquet` or IDX (`.idx`, `-ubyte`, either with `.gz`).

    Args:
        path: the file.
        key: name of the array in an `.npz` that holds several.
        drop: names of columns to leave out, of any type.
        labels: name of a column to be kept apart, of any type; in an `.npz`, of a column or of
            another array.

    Raises:
        DataError: no such file or column, a format that is not read, or a file that is not of
            its format.
    """
    if not path.is_file():
        raise DataError(f"no data file at {path}")
    endings = next((endings for endings in READERS if path.name.endswith(endings)), None)
    if endings is None:
        known = ", ".join(ending for endings in READERS for ending in endings)
        raise DataError(f"{path}: cannot tell the format; file names end in {known}")
    try:
        table = READERS[endings](path, Wanted(key, drop, labels))
    except DataError:
        raise
    except Exception as error:  # parsers of untrusted bytes fail in every way there is
        raise DataError(f"{path} is not a readable {endings[0]} file: {error}") from error
    if labels is not None and table.labels is None:
        raise DataError(f"{path}: no column {labels!r} of labels: the columns are {table.columns}")
    return table


def joined(tables: Sequence[Table], paths: Sequence[Path]) -> Table:
    """The rows of several files of the same columns, one after the other.

    Args:
        tables: what the files hold.
        paths: where they lie, for people.

    Raises:
        DataError: they have not the same columns.
    """
    first = tables[0]
    for table, path in zip(tables, paths, strict=True):
        if table.columns != first.columns:
            raise DataError(
                f"{path} has the columns {_few(table.columns)}, {paths[0]} has "
                f"{_few(first.columns)}: rows that are held out have the same"
            )
    if len(tables) == 1:
        return first
    rows = np.concatenate([table.rows for table in tables])
    labels = [table.labels for table in tables if table.labels is not None]
    return Table(rows, first.columns, np.concatenate(labels) if labels else None)


def _few(names: list[str]) -> str:
    return ", ".join(names if len(names) <= 8 else [*names[:4], "…", names[-1]])


def _read_npy(path: Path, wanted: Wanted) -> Table:
    return _array_table(np.load(path, allow_pickle=False), path, wanted)


def _read_npz(path: Path, wanted: Wanted) -> Table:
    with np.load(path, allow_pickle=False) as arrays:
        names = [name for name in arrays if name != wanted.labels]
        if wanted.key is None and len(names) > 1:
            raise DataError(f'{path} holds several arrays: choose one with key = "…": {names}')
        name = wanted.key or (names or ["nothing"])[0]
        if name not in names:
            raise DataError(f"{path} holds no array {name!r}, only {names}")
        table = _array_table(arrays[name], path, wanted)
        if wanted.labels not in arrays:
            return table
        labels = arrays[wanted.labels]
        if labels.size != len(table.rows):
            raise DataError(
                f"{path}: {len(table.rows)} rows need a label each, array {wanted.labels!r} has "
                f"shape {labels.shape}"
            )
        return replace(table, labels=labels.ravel())


def _array_table(rows: NDArray[np.generic], path: Path, wanted: Wanted) -> Table:
    if rows.ndim < 2:
        raise DataError(
            f"{path}: expected an array of rows (two or more dimensions), got shape {rows.shape}"
        )
    names = [str(i) for i in range(int(np.prod(rows.shape[1:])))]
    kept, flat = wanted.kept(names, path), rows.reshape(len(rows), -1)
    labels = flat[:, names.index(wanted.labels)] if wanted.labels in names else None
    return Table(flat[:, kept], [names[i] for i in kept], labels)


def _read_idx(path: Path, wanted: Wanted) -> Table:
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_TYPES:
        raise ValueError("its first bytes are not those of an IDX file")
    ndim = content[3]
    shape = np.frombuffer(content, ">u4", ndim, offset=4).astype(int)
    values = np.frombuffer(content, IDX_TYPES[content[2]], offset=4 + 4 * ndim)
    if values.size != np.prod(shape):
        raise ValueError(f"its header promises shape {shape.tolist()}, it holds {values.size}")
    values = values.reshape(shape).astype(values.dtype.newbyteorder("="))
    return _array_table(values, path, wanted)


def _read_csv(path: Path, wanted: Wanted) -> Table:
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
    return _arrow_table(table, path, wanted)


def _read_parquet(path: Path, wanted: Wanted) -> Table:
    return _arrow_table(pyarrow.parquet.read_table(path), path, wanted)


def _arrow_table(table: pa.Table, path: Path, wanted: Wanted) -> Table:
    labels = None
    if wanted.labels in table.column_names:
        labels = np.array(table[wanted.labels].to_pylist())  # a null stays None
    table = table.select(wanted.kept(table.column_names, path))
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


READERS: dict[tuple[str, ...], Callable[[Path, Wanted], Table]] = {
    (".npy",): _read_npy,
    (".npz",): _read_npz,
    (".csv", ".tsv"): _read_csv,
    (".parquet",): _read_parquet,
    (".idx", ".idx.gz", "-ubyte", "-ubyte.gz"): _read_idx,
}
