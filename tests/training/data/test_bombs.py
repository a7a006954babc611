"""Files that are small on disk and large in memory are refused before they are read."""

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from training import memory
from training.config.data import data_source
from training.data.load import load_dataset
from training.errors import DataError

MEMORY = 2**22
"""What the machine has in these tests."""


def npy_header(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": kind, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


def npy_of_columns(path: Path) -> None:
    path.write_bytes(npy_header((0, 10**15)))


def npy_cut_off(path: Path) -> None:
    path.write_bytes(npy_header((10**12, 2)))


def npz(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy_header((2**19, 2)) + bytes(2**23))


def npz_of_lies(path: Path) -> None:
    """The directory says little, the header of the array much."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy_header((2**40, 2)))


def parquet(path: Path) -> None:
    """One value, 2^20 times."""
    indices = pa.array(np.zeros(2**20, np.int8))
    column = pa.DictionaryArray.from_arrays(indices, pa.array([1.5]))
    pyarrow.parquet.write_table(pa.table({"x": column}), path)


def idx(path: Path) -> None:
    header = b"\0\0\x0e\x02" + struct.pack(">II", 2**20, 2**10)
    path.write_bytes(gzip.compress(header + bytes(1000)))


def idx_without_end(path: Path) -> None:
    """A header of 20 numbers, and megabytes of zeros behind it."""
    packed = zlib.compressobj(wbits=31)
    content = packed.compress(b"\0\0\x0e\x02" + struct.pack(">II", 10, 2))
    for _ in range(4):
        content += packed.compress(bytes(2**20))
    path.write_bytes(content + packed.flush())


def sounds(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.wav", bytes(2**23))


BOMBS: dict[str, tuple[Callable[[Path], None], str]] = {
    "columns.npy": (npy_of_columns, "rows of 1000000000000000 numbers: at most 16777216"),
    "cut.npy": (npy_cut_off, r"shape \(1000000000000, 2\), 16000000000000 bytes; it has 128"),
    "rows.npz": (npz, "an array 'x': 0.00839 GB in memory, and this machine has 0.00419 GB"),
    "lies.npz": (npz_of_lies, "GB in memory, and this machine has"),
    "rows.parquet": (parquet, "1048576 rows of 1 columns: 0.00839 GB in memory"),
    "rows.idx.gz": (idx, r"an array of shape \[1048576, 1024\]: 8.59 GB in memory"),
    "more.idx.gz": (idx_without_end, r"its header promises shape \[10, 2\], it holds more values"),
    "spoken.zip": (sounds, "1 sounds: 0.00839 GB in memory"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_file_larger_than_memory_is_refused_by_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write, words = BOMBS[name]
    write(tmp_path / name)
    assert (tmp_path / name).stat().st_size < 2**16
    monkeypatch.setattr(memory, "machine_memory", lambda: MEMORY)
    window = {"window": 8} if name.endswith(".zip") else {}
    with pytest.raises(DataError, match=words) as refusal:
        load_dataset(data_source(source=str(tmp_path / name), **window))
    assert name in str(refusal.value)


def test_what_memory_is_refused_for_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*_: object) -> None:
        raise MemoryError("Unable to allocate 7 TiB\nfor an array")

    np.save(tmp_path / "rows.npy", np.zeros((20, 2)))
    monkeypatch.setattr("training.data.readers.arrays.array_table", too_large)
    with pytest.raises(
        DataError, match=r"takes more memory than this machine has, .* Unable"
    ) as said:
        load_dataset(data_source(source=str(tmp_path / "rows.npy")))
    assert "\n" not in str(said.value)
