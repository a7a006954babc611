"""Reading arrays from npy, npz and IDX files."""

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.config import ArchiveSource, TableSource
from training.data.readers.base import Table, array_table
from training.errors import DataError

# number types by the third byte of a file
IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_npy(path: Path, source: TableSource) -> Table:
    """The array of an `.npy` file."""
    # mapped, as it may be larger than memory
    return array_table(np.load(path, mmap_mode="r", allow_pickle=False), path, source)


def read_npz(path: Path, source: ArchiveSource) -> Table:
    """One array of an `.npz` file, and another one as labels if the source names it."""
    labels_by_name: dict[str, NDArray[np.generic]] = {}
    with np.load(path, allow_pickle=False) as arrays:
        names = [name for name in arrays if name != source.labels]
        if source.key is None and len(names) > 1:
            raise DataError(f'{path} holds several arrays: choose one with key = "…": {names}')
        name = source.key or (names or ["nothing"])[0]
        if name not in names:
            raise DataError(f"{path} holds no array {name!r}, only {names}")
        rows = arrays[name]
        if source.labels is not None and source.labels in arrays:
            labels_by_name[source.labels] = arrays[source.labels].ravel()
    return array_table(rows, path, source, labels_by_name)


def read_idx(path: Path, source: TableSource) -> Table:
    """The array of an IDX file, the format of MNIST, gzipped or not."""
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
    return array_table(values, path, source)
