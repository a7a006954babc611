"""Text files of tables: what their first lines are taken for; nothing is lost or silent."""

import bz2
import gzip
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.helpers.examples import examples
from training.config.data import data_source
from training.data.load import load_dataset
from training.data.readers.base import Table
from training.data.readers.csv_dialect import dialect_of
from training.data.readers.registry import read
from training.errors import DataError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2)) * [1, 3] + [5, 100]
ROWS = [f"{a:.5f},{b:.5f}" for a, b in X]
GERMAN = [row.replace(",", ";").replace(".", ",") for row in ROWS]


def table(path: Path, **keys: object) -> Table:
    return read(path, data_source(source=str(path), **keys))  # type: ignore[arg-type]


def numbers(table: Table) -> NDArray[np.float64]:
    return table.rows.astype(np.float64)


# lines above the rows, the rows, the names, and what is said
WRITTEN: dict[str, tuple[list[str], list[str], list[str], str]] = {
    "names": (["a,b"], ROWS, ["a", "b"], ""),
    "the numbers of pandas": (["0,1"], ROWS, ["0", "1"], "taken for names.* header = false"),
    "years": (["1999,2000"], ROWS, ["1999", "2000"], "taken for names"),
    "quoted years": (['"1999.5","2000.5"'], ROWS, ["1999.5", "2000.5"], "alone stands in quotes"),
    "a name and years": (["k,1999"], ROWS, ["k", "1999"], "taken for names"),
    "no names": ([], ROWS, ["f0", "f1"], "taken for a row.* header = true"),
    "a byte order mark": ([], ["\ufeff" + ROWS[0], *ROWS[1:]], ["f0", "f1"], "for a row"),
    "a delimiter in quoted names": (['"a,1","b"'], ROWS, ["a,1", "b"], ""),
    "decimal commas": (["a;b"], GERMAN, ["a", "b"], "decimal sign is the comma"),
    "decimal commas alone": ([], GERMAN, ["f0", "f1"], "decimal sign is the comma"),
    "bars": (["a|b"], [row.replace(",", "|") for row in ROWS], ["a", "b"], ""),
    "tabs": (["a\tb"], [row.replace(",", "\t") for row in ROWS], ["a", "b"], ""),
    "blanks": (["a b"], [row.replace(",", "   ") for row in ROWS], ["a", "b"], "by blanks"),
    "leading blanks": ([], ["  " + r.replace(",", " ") for r in ROWS], ["f0", "f1"], "by blanks"),
    "names of numpy": (["# a,b"], ROWS, ["a", "b"], "behind #"),
    "comments": (["# of today", "# by me", "a,b"], ROWS, ["a", "b"], "2 lines of comments"),
    "many comments": (["# by me"] * 1500 + ["a,b"], ROWS, ["a", "b"], "1500 lines of comments"),
    "empty lines": (["a,b"], [line for row in ROWS for line in (row, "")], ["a", "b"], ""),
    "one column": (["a"], [row.split(",")[0] for row in ROWS], ["a"], ""),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_a_table_is_read_as_it_is_written(tmp_path: Path, case: str) -> None:
    head, rows, names, said = WRITTEN[case]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([*head, *rows]) + "\n", encoding="utf-8")
    found = table(path)
    assert found.columns == names
    np.testing.assert_allclose(numbers(found), X[:, : len(names)], atol=1e-5)
    notes = " ".join(found.notes)
    assert re.search(said, notes) if said else not notes


def test_who_knows_better_says_so(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(["0,1", *ROWS]) + "\n")
    assert len(table(path, header=False).rows) == len(ROWS) + 1
    path.write_text("\n".join(ROWS) + "\n")
    named = table(path, header=True)
    assert (len(named.rows), named.notes) == (len(ROWS) - 1, ())


@pytest.mark.parametrize("gap", ["", "NA", "nan"])
def test_a_gap_in_the_first_row_is_a_gap(tmp_path: Path, gap: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([f"{gap},1.5", *ROWS]) + "\n")
    found = table(path)
    assert len(found.rows) == len(ROWS) + 1
    assert np.isnan(numbers(found)[0, 0])
    with pytest.raises(DataError, match="no finite float32 number in line 1"):
        load_dataset(data_source(source=str(path)))


@pytest.mark.parametrize("ending", [".CSV", ".txt", ".csv.gz", ".tsv.bz2", ".Csv.GZ"])
def test_endings_tell_the_format_whatever_their_case(tmp_path: Path, ending: str) -> None:
    text = "\n".join(["a,b", *ROWS]).encode()
    if ending.lower().endswith(".gz"):
        text = gzip.compress(text)
    elif ending.endswith(".bz2"):
        text = bz2.compress(text)
    (tmp_path / f"rows{ending}").write_bytes(text)
    np.testing.assert_allclose(numbers(table(tmp_path / f"rows{ending}")), X, atol=1e-5)


def test_a_folder_of_parquet_files_is_one_table(tmp_path: Path) -> None:
    folder = tmp_path / "rows.parquet"
    folder.mkdir()
    with pytest.raises(DataError, match=r"neither pictures nor sounds"):
        load_dataset(data_source(source=str(folder)))
    for i, part in enumerate(np.split(X, 2)):
        pa.parquet.write_table(
            pa.table({"a": part[:, 0], "b": part[:, 1]}), folder / f"{i}.parquet"
        )
    np.testing.assert_array_equal(table(folder).rows, X)


def test_decimals_and_lists_are_columns_of_numbers(tmp_path: Path) -> None:
    decimals = pa.array([Decimal(f"{value:.3f}") for value in X[:, 0]])
    lists = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 2)
    pa.parquet.write_table(pa.table({"d": decimals, "v": lists}), tmp_path / "rows.parquet")
    found = table(tmp_path / "rows.parquet")
    assert found.columns == ["d", "v.0", "v.1"]
    np.testing.assert_allclose(numbers(found)[:, 0], X[:, 0], atol=1e-3)
    np.testing.assert_array_equal(found.rows[:, 1:], X)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("\n".join(["a,a", *ROWS]))
    with pytest.raises(DataError, match="several columns of one name: 'a'"):
        table(tmp_path / "rows.csv")


@examples(50)
@given(st.integers(1, 5), st.integers(2, 30), st.sampled_from(",;|\t"))
def test_numbers_are_read_with_any_delimiter_and_names(
    columns: int, rows: int, delimiter: str
) -> None:
    names = [f"x{i}" for i in range(columns)]
    cells = [[f"{RNG.normal():.4f}" for _ in names] for _ in range(rows)]
    lines = [delimiter.join(line) for line in (names, *cells)]
    found = dialect_of(lines, None)
    assert (found.has_header, found.names, found.decimal) == (True, names, ".")
    assert columns == 1 or found.delimiter == delimiter
    assert not dialect_of(lines[1:], None).has_header
