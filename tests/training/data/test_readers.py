"""Reading data files, good and bad."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.helpers.sources import read
from training.errors import DataError

ROWS = np.random.default_rng(0).normal(size=(30, 3)).round(3)


def idx(array: np.ndarray, kind: int) -> bytes:
    head = bytes([0, 0, kind, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return head + array.tobytes()


def write_all(folder: Path) -> list[Path]:
    """The same rows in every format."""
    np.save(folder / "a.npy", ROWS)
    np.savez(folder / "b.npz", rows=ROWS)
    np.savetxt(folder / "c.csv", ROWS, delimiter=",", header="u,v,w", comments="")
    np.savetxt(folder / "d.csv", ROWS, delimiter=";")
    table = pa.table({name: ROWS[:, i] for i, name in enumerate("uvw")})
    pyarrow.parquet.write_table(table, folder / "e.parquet")
    (folder / "f-ubyte.gz").write_bytes(gzip.compress(idx(ROWS.astype(">f8"), 14)))
    (folder / "g.idx").write_bytes(idx(ROWS.astype(">f8"), 14))
    return sorted(folder.iterdir())


def test_every_format_holds_the_same_rows(tmp_path: Path) -> None:
    for path in write_all(tmp_path):
        table = read(path)
        assert np.allclose(table.rows.astype(float), ROWS), path.name
        assert len(table.columns) == 3
    assert read(tmp_path / "c.csv").columns == ["u", "v", "w"]
    assert read(tmp_path / "e.parquet").columns == ["u", "v", "w"]


def test_idx_images_become_rows_of_pixels(tmp_path: Path) -> None:
    images = np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3)
    (tmp_path / "images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images, 8)))
    table = read(tmp_path / "images-idx3-ubyte.gz")
    assert np.array_equal(table.rows, images.reshape(5, 6))


def test_an_npz_of_several_arrays_wants_a_key(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", X=ROWS, y=np.zeros(30))
    assert np.array_equal(read(tmp_path / "two.npz", key="X").rows, ROWS)
    for key, words in ((None, "choose one with key"), ("z", "no array 'z', only")):
        with pytest.raises(DataError, match=words):
            read(tmp_path / "two.npz", key=key)


NOT_DATA: dict[str, tuple[str, bytes, str]] = {
    "no such format": ("rows.xlsx", b"PK", "is of a format that is not read: save it as CSV"),
    "npy that is text": ("rows.npy", b"hello", "not a readable .npy file"),
    "npy cut off": ("rows.npy", b"\x93NUMPY\x01\x00v\x00{'descr'", "not a readable .npy file"),
    "npz that is not a zip": ("rows.npz", b"hello", "not a readable .npz file"),
    "npz of a broken zip": ("rows.npz", b"PK\x03\x04garbage", "not a readable .npz file"),
    "npy with a broken header": (
        "rows.npy",
        b"\x93NUMPY\x01\x00\x10\x00{'descr': ()    \n",
        "not a readable .npy file",
    ),
    "gz that breaks off": (
        "rows-ubyte.gz",
        gzip.compress(idx(np.zeros((4, 4), ">f4"), 13))[:-12],
        "not a readable .idx file",
    ),
    "parquet that is text": ("rows.parquet", b"hello there", "not a readable .parquet file"),
    "idx that is text": ("rows.idx", b"hello there", "not those of an IDX file"),
    "idx cut off": ("r.idx", idx(np.zeros((4, 4), ">f4"), 13)[:-1], "not a readable .idx file"),
    "gz that is not": ("rows-ubyte.gz", b"hello there", "not a readable .idx file"),
    "empty csv": ("rows.csv", b"", "it is empty"),
    "header alone": ("rows.csv", b"a,b\n", "0 rows"),
    "UTF-16": ("rows.csv", b"\xff\xfea\x00", "is UTF-16: save it as UTF-8"),
    "Latin-1": ("rows.csv", b"a,b\n1,2\n\xe9,2\n", "line 3: byte 0xe9 is not UTF-8"),
    "ragged csv": ("rows.csv", b"1,2\n\n3\n", "rows.csv, line 3: .* Expected 2 columns, got 1"),
}


@pytest.mark.parametrize("case", NOT_DATA)
def test_what_is_not_data_is_refused_by_name(tmp_path: Path, case: str) -> None:
    name, content, words = NOT_DATA[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words) as refusal:
        read(tmp_path / name)
    assert name in str(refusal.value)


def test_text_columns_can_be_dropped(tmp_path: Path) -> None:
    (tmp_path / "mixed.csv").write_text("a,kind,b\n1.5,x,2\n2.5,y,3\n")
    table = read(tmp_path / "mixed.csv", drop=["kind"])
    assert table.columns == ["a", "b"]
    assert np.array_equal(table.rows, [[1.5, 2], [2.5, 3]])


def test_no_file_and_no_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data file at"):
        read(tmp_path / "absent.npy")
    np.save(tmp_path / "flat.npy", np.zeros(5))
    with pytest.raises(DataError, match=r"two or more dimensions\), got shape \(5,\)"):
        read(tmp_path / "flat.npy")
    np.save(tmp_path / "pickle.npy", np.array([[None]], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"not a readable .npy file"):
        read(tmp_path / "pickle.npy")
