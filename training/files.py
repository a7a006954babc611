"""Reading tables of numbers from files."""

import csv
import gzip
from collections.abc import Callable, Collection
from dataclasses import dataclass
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
    """

    rows: NDArray[np.generic]
    columns: list[str]


def read(path: Path, key: str | None = None, drop: Collection[str] = ()) -> Table:
    """Read `.npy`, `.npz`, `.csv`, `.parquet` or IDX (`.idx`, `-ubyte`, either with `.gz`).

    Args:
        path: the file.
        key: name of the array in an `.npz` that holds several.
        drop: names of columns to leave out, of any type.

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
        return READERS[endings](path, key, drop)
    except DataError:
        raise
    except Exception as error:  # parsers of untrusted bytes fail in every way there is
        raise DataError(f"{path} is not a readable {endings[0]} file: {error}") from error


def _read_npy(path: Path, _key: str | None, drop: Collection[str]) -> Table:
    return _array_table(np.load(path, allow_pickle=False), path, drop)


def _read_npz(path: Path, key: str | None, drop: Collection[str]) -> Table:
    with np.load(path, allow_pickle=False) as arrays:
        names = list(arrays)
        if key is None and len(names) > 1:
            raise DataError(f'{path} holds several arrays: choose one with key = "…": {names}')
        name = key or names[0]
        if name not in names:
            raise DataError(f"{path} holds no array {name!r}, only {names}")
        return _array_table(arrays[name], path, drop)


def _array_table(rows: NDArray[np.generic], path: Path, drop: Collection[str]) -> Table:
    if rows.ndim < 2:
        raise DataError(
            f"{path}: expected an array of rows (two or more dimensions), got shape {rows.shape}"
        )
    names = [str(i) for i in range(int(np.prod(rows.shape[1:])))]
    kept = _kept(names, drop, path)
    return Table(rows.reshape(len(rows), -1)[:, kept], [names[i] for i in kept])


def _kept(names: list[str], drop: Collection[str], path: Path) -> list[int]:
    """Which columns stay."""
    if unknown := sorted(set(drop) - set(names)):
        raise DataError(f"{path}: cannot drop {unknown}: the columns are {names}")
    return [i for i, name in enumerate(names) if name not in drop]


def _read_idx(path: Path, _key: str | None, drop: Collection[str]) -> Table:
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
    return _array_table(values, path, drop)


def _read_csv(path: Path, _key: str | None, drop: Collection[str]) -> Table:
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
    return _arrow_table(table, path, drop)


def _read_parquet(path: Path, _key: str | None, drop: Collection[str]) -> Table:
    return _arrow_table(pyarrow.parquet.read_table(path), path, drop)


def _arrow_table(table: pa.Table, path: Path, drop: Collection[str]) -> Table:
    table = table.select(_kept(table.column_names, drop, path))
    for field in table.schema:
        if not (pa.types.is_integer(field.type) or pa.types.is_floating(field.type)):
            first = table[field.name].drop_null()[:1].to_pylist()
            raise DataError(
                f"{path}: column {field.name!r} holds {field.type}"
                f"{f' (such as {first[0]!r})' if first else ''}, and a flow models numbers: "
                f'leave it out with drop = ["{field.name}"] in [data]'
            )
    if table.num_columns == 0 or table.num_rows == 0:
        raise ValueError(f"it holds {table.num_rows} rows of {table.num_columns} columns")
    columns = [column.to_numpy() for column in table.columns]  # a null becomes NaN
    return Table(np.column_stack(columns), list(table.column_names))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


READERS: dict[tuple[str, ...], Callable[[Path, str | None, Collection[str]], Table]] = {
    (".npy",): _read_npy,
    (".npz",): _read_npz,
    (".csv", ".tsv"): _read_csv,
    (".parquet",): _read_parquet,
    (".idx", ".idx.gz", "-ubyte", "-ubyte.gz"): _read_idx,
}
