"""Files as people have them: what a newcomer tried, and what was silent or a riddle then."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pytest

from training.config.data import data_source
from training.data.dataset import Dataset
from training.data.load import load_dataset
from training.errors import DataError

ROWS = np.random.default_rng(0).normal(size=(300, 3)) @ [[1, 0.5, 0], [0, 1, 0.3], [0, 0, 1]]


def text(rows: np.ndarray = ROWS, cell: Callable[[float], str] = "{:.5f}".format) -> str:
    return "\n".join(["a,b,c", *(",".join(map(cell, row)) for row in rows)]) + "\n"


def load(path: Path, content: bytes | str, **keys: object) -> Dataset:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_dataset(data_source(source=str(path), **keys))


@pytest.mark.parametrize("marker", [-999.0, 9999.0])
def test_a_marker_of_missing_values_is_no_value(tmp_path: Path, marker: float) -> None:
    rows = ROWS.copy()
    rows[7::20, 0] = marker
    with pytest.raises(DataError, match=f"'a' is {marker:g} in 15 of 300 rows, far from all other"):
        load(tmp_path / "rows.csv", text(rows))
    followed = load(tmp_path / "rows.csv", text(rows[rows[:, 0] != marker]))  # rows left out
    assert not followed.notes


def test_a_marker_among_counts_is_no_count(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).poisson(30, (300, 2)).astype(float)
    counts[::50, 1] = -999
    lines = "\n".join(["a,b", *(f"{a:.0f},{b:.0f}" for a, b in counts)])
    with pytest.raises(DataError, match="'b' is -999 in 6 of 300 rows"):
        load(tmp_path / "rows.csv", lines, integers="dequantize")


@pytest.mark.parametrize("first", ["% made by matlab", "// c++", "My experiment 2024"])
def test_a_line_before_the_names_is_said_to_be_one(tmp_path: Path, first: str) -> None:
    with pytest.raises(DataError, match=re.escape(f"the first line, '{first}', is one cell: ")):
        load(tmp_path / "rows.csv", f"{first}\n{text()}")
    assert len(load(tmp_path / "rows.csv", f"# {first}\n{text()}").train)  # advice that works


def test_values_that_repeat_among_others_are_no_markers(tmp_path: Path) -> None:
    rows = np.round(ROWS, 2)
    rows[:4, 0] = rows[:, 0].max() + 0.5
    assert not load(tmp_path / "rows.csv", text(rows)).notes


@pytest.mark.parametrize("digits", [2, 3])
def test_a_copy_in_other_units_is_said_however_it_is_rounded(tmp_path: Path, digits: int) -> None:
    celsius = 10 * ROWS[:, 0]
    rows = np.column_stack([celsius * 1.8 + 32, ROWS[:, 1], celsius])
    (note,) = load(tmp_path / "rows.csv", text(rows, f"{{:.{digits}f}}".format)).notes
    assert "column 'c' is column 'a' in other units, up to rounding" in note
    followed = load(tmp_path / "rows.csv", text(rows, f"{{:.{digits}f}}".format), drop=["c"])
    assert not followed.notes


def test_columns_that_are_merely_correlated_are_no_copies(tmp_path: Path) -> None:
    rows = ROWS.copy()
    rows[:, 2] = rows[:, 0] + 0.05 * rows[:, 1]
    rows[:, 1] = np.random.default_rng(1).normal(size=300)
    assert not load(tmp_path / "rows.csv", text(rows, "{:.2f}".format)).notes


def test_feather_and_arrow_files_are_read(tmp_path: Path) -> None:
    table = pa.table({name: ROWS[:, i] for i, name in enumerate("abc")})
    for name in ("rows.feather", "rows.arrow"):
        pyarrow.feather.write_feather(table, tmp_path / name)
        rows = load_dataset(data_source(source=str(tmp_path / name))).train.rows
        np.testing.assert_array_equal(
            rows, load(tmp_path / "r.csv", text(cell="{:.17g}".format)).train.rows
        )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rows.json", "read_json"),
        ("rows.xlsx", "save it as CSV"),
        ("rows.h5", "h5py"),
        ("rows.pkl", "read_pickle"),
        ("rows.csv.xz", "xz -d"),
        ("rows.tar.gz", "unpack it"),
        ("rows.arff", "loadarff"),
        ("rows.pt", "torch.load"),
    ],
)
def test_a_format_that_is_not_read_is_said_with_what_to_do(
    tmp_path: Path, name: str, words: str
) -> None:
    with pytest.raises(DataError, match=f"{name} is of a format that is not read: .*{words}"):
        load(tmp_path / name, b"bytes")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (text().replace("-", "\u2212"), "a minus sign of print"),
        (text(cell="{:.4E}".format).replace("E", "D"), "an exponent written D"),
        (text(np.abs(ROWS), "({:.4f})".format), "in parentheses, as accounts write negative"),
        (text(cell="'{:.4f}'".format), "stands in single quotes"),
        (gzip.compress(text().encode()), "is compressed with gzip: name it rows.csv.gz"),
        (text().encode("utf-16-be"), "is UTF-16 without a mark, or no text"),
    ],
)
def test_why_a_cell_is_no_number_is_said(tmp_path: Path, content: bytes | str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(tmp_path / "rows.csv", content)


def test_arrays_of_another_shape_are_said_with_what_to_do(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", ROWS[:, 0])
    with pytest.raises(DataError, match=r"rows.reshape\(-1, 1\) makes one number a row"):
        load_dataset(data_source(source=str(tmp_path / "rows.npy")))
    np.save(tmp_path / "rows.npy", ROWS.T)
    with pytest.raises(DataError, match="one row: transpose it"):
        load_dataset(data_source(source=str(tmp_path / "rows.npy")))
