"""Reading arrays from npy, npz and IDX files."""

import gzip
import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from training.config import ArchiveSource, TableSource
from training.data.readers.base import Table, array_table
from training.errors import DataError
from training.memory import check_fits

# A row of so many numbers takes 64 MiB in float32, and its columns' names a gigabyte.
MAX_COLUMNS = 2**24

# number types by the third byte of a file
IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_npy(path: Path, source: TableSource) -> Table:
    """The array of an `.npy` file."""
    with path.open("rb") as file:
        _check_npy(path, file, of_file=path.stat().st_size)
    # mapped, as it may be larger than memory
    return array_table(np.load(path, mmap_mode="r", allow_pickle=False), path, source)


def read_npz(path: Path, source: ArchiveSource) -> Table:
    """One array of an `.npz` file, and another one as labels if the source names it."""
    labels_by_name: dict[str, NDArray[np.generic]] = {}
    _check_npz(path, source)
    with np.load(path, allow_pickle=False) as arrays:
        names = [name for name in arrays if name != source.labels]
        if source.key is None and len(names) > 1:
            raise DataError(
                f'{path} holds several arrays: choose one with key = "…" in [data], or --key of '
                f"inspect: {names}"
            )
        name = source.key or (names or ["nothing"])[0]
        if name not in names:
            raise DataError(f"{path} holds no array {name!r}, only {names}")
        rows = arrays[name]
        if source.labels is not None and source.labels in arrays:
            labels_by_name[source.labels] = arrays[source.labels].ravel()
    return array_table(rows, path, source, labels_by_name)


def _check_npy(path: Path, file: IO[bytes], of_file: int | None = None) -> None:
    """Compare the header of an array with the columns that there may be, and with memory.

    Args:
        path: of the file, for people.
        file: an `.npy` file at its start; one that is none is left to the reader.
        of_file: its size, if it is mapped and need not fit into memory.
    """
    version = np.lib.format.read_magic(file)
    header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if header is None:
        return
    shape, _, kind = header(file)
    if len(shape) > 1 and math.prod(shape[1:]) > MAX_COLUMNS:
        raise DataError(
            f"{path} says that it holds rows of {math.prod(shape[1:])} numbers: at most "
            f"{MAX_COLUMNS} are read"
        )
    size = math.prod(shape) * kind.itemsize
    if of_file is None:
        check_fits(path, f"an array of shape {shape}", size)
    elif size > of_file:
        raise DataError(
            f"{path} says that it holds an array of shape {shape}, {size} bytes; it has {of_file}"
        )


def _check_npz(path: Path, source: ArchiveSource) -> None:
    """Compare the arrays that are read of an archive with memory, by its directory."""
    with zipfile.ZipFile(path) as archive:
        arrays = [name for name in archive.namelist() if name.endswith(".npy")]
        for name in arrays:
            array = name.removesuffix(".npy")
            if len(arrays) > 1 and array not in (source.key, source.labels):
                continue
            check_fits(path, f"an array {array!r}", archive.getinfo(name).file_size)
            with archive.open(name) as file:
                _check_npy(path, file)


def read_idx(path: Path, source: TableSource) -> Table:
    """The array of an IDX file, the format of MNIST, gzipped or not."""
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        start = file.read(4)
        if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in IDX_TYPES:
            raise ValueError("its first bytes are not those of an IDX file")
        shape = np.frombuffer(file.read(4 * start[3]), ">u4").tolist()
        kind = np.dtype(IDX_TYPES[start[2]])
        size = math.prod(shape) * kind.itemsize
        check_fits(path, f"an array of shape {shape}", size)
        content = file.read(size + 1)  # a compressed file may go on for ever
    if len(content) != size:
        held = "more" if len(content) > size else len(content) // kind.itemsize
        raise ValueError(f"its header promises shape {shape}, it holds {held} values")
    values = np.frombuffer(content, kind).reshape(shape).astype(kind.newbyteorder("="))
    return array_table(values, path, source)
