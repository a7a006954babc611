"""Reading tables of numbers from files."""

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from training.errors import DataError
from training.images import read_cifar, read_pictures, read_svhn
from training.sounds import has_sounds, read_sounds
from training.table import Table, Wanted, array_table, few

Reader = Callable[[Path, Wanted], Table]

EVERYTHING = Wanted()

IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read(path: Path, wanted: Wanted = EVERYTHING) -> Table:
    """Read a table, images or sounds from a file or folder of a kind that `READERS` knows.

    Args:
        path: the file or folder.
        wanted: `key`, the array of an `.npz` that holds several; `drop`, columns to leave out;
            `labels`, what is kept apart to label rows: a column of any type, another array of an
            `.npz`, or what a reader of images or sounds knows of them; `window`, the samples of a
            row of sound.

    Raises:
        DataError: no such file or column, a format that is not read, or a file that is not of
            its format.
    """
    if not path.exists():
        raise DataError(f"no data file at {path}")
    if path.is_dir():
        ending = "folder of sounds or pictures"
        reader: Reader = read_sounds if has_sounds(path) else read_pictures
    else:
        ending, reader = _by_ending(path)
    try:
        table = reader(path, wanted)
    except DataError:
        raise
    except Exception as error:  # parsers of untrusted bytes fail in every way there is
        raise DataError(f"{path} is not a readable {ending}: {error}") from error
    if wanted.labels is not None and table.labels is None:
        raise DataError(
            f"{path}: no column {wanted.labels!r} of labels: the columns are {few(table.columns)}"
        )
    return table


def _by_ending(path: Path) -> tuple[str, Reader]:
    endings = next((endings for endings in READERS if path.name.endswith(endings)), None)
    if endings is None:
        known = ", ".join(ending for endings in READERS for ending in endings)
        raise DataError(f"{path}: cannot tell the format; file names end in {known}")
    return f"{endings[0]} file", READERS[endings]


def _read_npy(path: Path, wanted: Wanted) -> Table:
    # mapped, as it may be larger than memory
    return array_table(np.load(path, mmap_mode="r", allow_pickle=False), path, wanted)


def _read_npz(path: Path, wanted: Wanted) -> Table:
    apart: dict[str, NDArray[np.generic]] = {}
    with np.load(path, allow_pickle=False) as arrays:
        names = [name for name in arrays if name != wanted.labels]
        if wanted.key is None and len(names) > 1:
            raise DataError(f'{path} holds several arrays: choose one with key = "…": {names}')
        name = wanted.key or (names or ["nothing"])[0]
        if name not in names:
            raise DataError(f"{path} holds no array {name!r}, only {names}")
        rows = arrays[name]
        if wanted.labels is not None and wanted.labels in arrays:
            apart[wanted.labels] = arrays[wanted.labels].ravel()
    return array_table(rows, path, wanted, apart)


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
    return array_table(values, path, wanted)


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


READERS: dict[tuple[str, ...], Reader] = {
    (".npy",): _read_npy,
    (".npz",): _read_npz,
    (".csv", ".tsv"): _read_csv,
    (".parquet",): _read_parquet,
    (".idx", ".idx.gz", "-ubyte", "-ubyte.gz"): _read_idx,
    (".bin",): read_cifar,
    (".mat",): read_svhn,
    (".zip",): read_sounds,
}
