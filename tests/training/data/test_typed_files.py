"""Text files of columns of any kind: what is found in them, and the same in a request's body."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from service.bulk.pieces import FileError
from service.bulk.sources.opening import open_source
from service.codecs.csv import read_csv
from service.errors import ServiceError
from service.tables import Decision, RawColumn, decide, to_rows, unfamiliar_values
from tests.helpers.reading import unbounded
from training.config import data_source
from training.data.readers import raw, read_raw
from training.errors import DataError

RNG = np.random.default_rng(0)
N = 40
NUMBERS = [f"{value:.2f}" for value in RNG.normal(10, 3, N)]
LETTERS = RNG.choice(["a", "b", "c"], N).tolist()


def decided(path: Path) -> Decision:
    return decide(read_raw(path, data_source(source=str(path))))  # type: ignore[arg-type]


def text(cells: list[str], name: str = "c", end: str = "\n") -> str:
    lines = [f"{name},x", *(f"{a},{b}" for a, b in zip(cells, NUMBERS, strict=True))]
    return end.join(lines) + end


# the cells of a column, its kind (or why it is left out), and words of a note
COLUMNS: dict[str, tuple[list[str], str, str]] = {
    "codes that begin with 0": ([f"{i % 12:05d}" for i in range(N)], "categorical", "are codes"),
    "such codes and gaps": (
        [f"{i % 12:05d}" if i % 5 else "" for i in range(N)],
        "categorical",
        "",
    ),
    "such codes in quotes": ([f'"{i % 4:03d}"' for i in range(N)], "categorical", "are codes"),
    "zeros": ([str(i % 3) for i in range(N)], "lattice", ""),
    "negative zeros": ([["-0", "0", "1", "2"][i % 4] for i in range(N)], "lattice", ""),
    "one code that begins with 0": (["007", *map(str, range(1, N))], "identifier", ""),
    "decimals that begin with 0": ([f"0{i % 7}.5" for i in range(N)], "lattice", ""),
    "dates that begin with 0": ([f"0{i % 9 + 1}.02.2024" for i in range(N)], "datetime", ""),
    "whole numbers beyond 2^53": ([str(2**53 + i % 6) for i in range(N)], "categorical", "float64"),
    "as many of them as rows": ([str(2**62 + i) for i in range(N)], "identifier", "float64"),
    "whole numbers beyond 2^63": (
        [str(2**63 + i % 5) for i in range(N)],
        "categorical",
        "float64",
    ),
    "as many beyond 2^63 as rows": ([str(2**64 + i) for i in range(N)], "identifier", "float64"),
    "long numbers that floats tell apart": (
        [str(10**20 * (i * i % 37 + 1)) for i in range(N)],
        "lattice",
        "",
    ),
    "hexadecimal": ([f"0x{i % 5 + 26:X}" for i in range(N)], "categorical", ""),
    "hexadecimal of 64 bits": ([hex(2**64 - 1 - i % 5) for i in range(N)], "categorical", ""),
    "truths": (["yes" if i % 3 else "no" for i in range(N)], "categorical", ""),
    "what stands for nothing": (
        [["N/A", "NULL", "-", NUMBERS[i]][i % 4] for i in range(N)],
        "lattice",
        "",
    ),
    "zones": (
        [f"2024-03-01T12:{i:02d}:00{['Z', '+02:00'][i % 2]}" for i in range(N)],
        "datetime",
        "",
    ),
    "zones of hours": ([f"2024-03-01 12:{i:02d}:00+00" for i in range(N)], "datetime", ""),
    "hours": ([f"2024-03-{i % 28 + 1:02d} {i % 24:02d}" for i in range(N)], "datetime", ""),
    "durations": ([f"00:{i % 9:02d}:{i:02d}" for i in range(N)], "lattice", "for durations"),
    "durations beyond a day": ([f"{i + 10}:00:{i:02d}" for i in range(N)], "lattice", ""),
    "durations with units": ([f'"{i} h, {i % 9} min"' for i in range(N)], "lattice", ""),
    "seconds with units": ([f"{i}.5s" for i in range(N)], "lattice", "for seconds"),
    "codes that end in units": (
        [["5m", "3d", "12h"][i % 3] for i in range(N)],
        "categorical",
        "",
    ),
    "times of day": ([f"{i % 24:02d}:{i:02d}" for i in range(N)], "datetime", ""),
    "quotes and ends of lines": (
        ['"p, ""q"""' if i % 2 else '"r\ns"' for i in range(N)],
        "categorical",
        "",
    ),
    "emoji": ([letter + "😀" for letter in LETTERS], "categorical", ""),
    "nothing": ([""] * N, "constant", ""),
}


@pytest.mark.parametrize("case", COLUMNS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_column_is_read_in_files_and_requests_alike(tmp_path: Path, case: str, end: str) -> None:
    cells, kind, words = COLUMNS[case]
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xef\xbb\xbf" + text(cells, end=end).encode())
    found = decided(path)
    assert not found.problems
    kinds = {c.name: c.kind for c in found.columns} | {c.name: c.reason for c in found.left_out}
    assert kinds == {"c": kind, "x": "lattice"}
    assert any(words in note for note in found.notes) or not words
    left_out = [column.name for column in found.left_out]
    file = read_raw(path, data_source(source=str(path)))  # type: ignore[arg-type]
    body = read_csv(path.read_bytes(), unbounded(), N)
    rows, asked = (to_rows(t, found.columns, left_out) for t in (file.columns, body))
    assert not rows.faults
    assert not asked.faults
    np.testing.assert_array_equal(rows.rows, asked.rows)
    assert unfamiliar_values(body, asked, found.columns, []) == []


PROBLEMS: dict[str, tuple[list[str], str]] = {
    "forms of dates": (
        [f"2024-01-{i % 28 + 1:02d}" if i % 2 else f"{i % 28 + 1:02d}/01/2024" for i in range(N)],
        "line 2: '01/01/2024' is no time of the form %Y-%m-%d, nor are 19 more of 40 values",
    ),
    "1e400": (["1e400" if i == 3 else NUMBERS[i] for i in range(N)], "line 5: expected finite"),
    "a word": (["oops" if i == 3 else NUMBERS[i] for i in range(N)], "line 5: 'oops' is no number"),
    "per cent": ([f"{i}.5%" for i in range(N)], "line 2: '0.5%', which ends in a per cent sign"),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_a_column_of_several_kinds_is_a_problem_with_its_line(tmp_path: Path, case: str) -> None:
    cells, words = PROBLEMS[case]
    path = tmp_path / "table.csv"
    path.write_text(text(cells))
    (problem,) = decided(path).problems
    assert words in problem


def test_codes_beyond_the_first_lines_keep_their_zeros(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    codes = [*(str(i % 7 + 10) for i in range(3000)), *["00007"] * 30]
    path.write_text("code\n" + "\n".join(codes) + "\n")
    (column,) = decided(path).columns
    assert column.kind == "categorical"
    assert "00007" in column.classes


def test_what_excel_is_told_of_the_delimiter_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("sep=;\n" + text(LETTERS).replace(",", ";"))
    assert [column.name for column in decided(path).columns] == ["c", "x"]
    assert "for Excel" in str(read_raw(path, data_source(source=str(path))).notes)  # type: ignore[arg-type]


def test_several_parquet_columns_of_one_name_are_named(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    column = pa.array([1.0, 2.0])
    pyarrow.parquet.write_table(pa.Table.from_arrays([column, column], names=["x", "x"]), path)
    with pytest.raises(DataError, match="has several columns of one name: 'x'"):
        decided(path)


def test_whole_numbers_of_parquet_are_told_apart_beyond_floats(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    ids = pa.array([2**63 + i % 5 for i in range(N)], pa.uint64())
    pyarrow.parquet.write_table(pa.table({"id": ids, "x": np.arange(N) % 7}), path)
    found = decided(path)
    table = read_raw(path, data_source(source=str(path))).columns  # type: ignore[arg-type]
    assert found.columns[0].kind == "categorical"
    rows = to_rows(table, found.columns)
    assert len(np.unique(rows.rows[:, 0])) == 5
    assert not rows.faults


PREAMBLES = {
    "nothing": ("", ",", "c,x"),
    "a comment": ("# by me\n", ",", "c,x"),
    "comments of as many cells": ("# of c, of x\n\n", ",", "c,x"),
    "the names in a comment": ("# by me\n# c,x\n", ",", None),
    "Excel": ("sep=;\n", ";", "c;x"),
    "Excel, tabs and a comment": ('"sep=\t"\r\n# by me\n', "\t", "c\tx"),
}


@pytest.mark.parametrize("case", PREAMBLES)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_what_stands_before_the_header_is_the_same_everywhere(
    tmp_path: Path, case: str, mark: bytes
) -> None:
    before, delimiter, header = PREAMBLES[case]
    rows = [delimiter.join(row) for row in zip(LETTERS, NUMBERS, strict=True)]
    body = mark + (before + "\n".join([header, *rows] if header else rows)).encode()
    (tmp_path / "table.csv").write_bytes(body)
    file = read_raw(tmp_path / "table.csv", data_source(source=str(tmp_path / "table.csv")))  # type: ignore[arg-type]
    place = body[: body.index(rows[3].encode())].count(b"\n") + 1
    assert file.place(3) == f"line {place}"
    scored = open_source(str(tmp_path / "table.csv"), "csv", N)
    (piece,) = [each for each in scored.pieces(["c", "x"], pa.schema([]), {}) if each]
    assert piece.lines is not None
    assert piece.lines[3] == place
    for columns in (file.columns, read_csv(body, unbounded(), N), piece.columns()):
        assert list(columns) == ["c", "x"]
        letters = columns["c"]
        assert isinstance(letters, RawColumn)
        assert [letters.words[code] for code in letters.values] == LETTERS


def test_a_name_with_the_sign_of_comments_is_one(tmp_path: Path) -> None:
    for header in ("#,x", '"#c",x'):
        columns = read_csv(f"{header}\na,1\n".encode(), unbounded(), 1)
        assert list(columns) == [header.split(",")[0].strip('"'), "x"]


@pytest.mark.parametrize("where", ["header", "row"])
def test_nul_bytes_are_named(tmp_path: Path, where: str) -> None:
    cells = [*LETTERS]
    if where == "row":
        cells[3] = "a\0"
    body = text(cells, name="c\0" if where == "header" else "c").encode()
    path = tmp_path / "table.csv"
    path.write_bytes(body)
    of_file = {"header": "its header is no text: expected", "row": "line 5, column 'c': expected"}
    with pytest.raises(DataError, match=of_file[where]):
        read_raw(path, data_source(source=str(path)))  # type: ignore[arg-type]
    of_body = {"header": "the header is no text: expected", "row": "row 3, column 'c': expected"}
    with pytest.raises(ServiceError, match=of_body[where]):
        read_csv(body, unbounded(), N)
    if where == "header":
        with pytest.raises(FileError, match="the header is no text"):
            open_source(str(path), "csv", N)
        return
    pieces = open_source(str(path), "csv", N).pieces(["c", "x"], pa.schema([]), {})
    (skipped,) = [each for piece in pieces if piece for each in piece.skipped]
    assert (skipped.row, skipped.line) == (3, 5)
    assert "column 'c': expected text in UTF-8, got a NUL byte" in skipped.detail


def test_too_many_columns_are_refused_by_the_header(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(4098)]
    path = tmp_path / "table.csv"
    path.write_text(",".join(names) + "\n1,2\n")  # a row that cannot be read
    source = data_source(source=str(path))
    for dropped in ([], names[:1]):
        with pytest.raises(DataError, match=f"has 4098 columns, {4098 - len(dropped)} without"):
            read_raw(path, source, dropped)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="Expected 4098 columns"):
        read_raw(path, source, names[:2])  # type: ignore[arg-type]


def write_wide(path: Path) -> None:
    table = pa.table({f"c{i}": [1.0] for i in range(4098)})
    match path.suffix:
        case ".parquet":
            pyarrow.parquet.write_table(table, path)
        case ".arrow":
            pyarrow.feather.write_feather(table, path)
        case ".npy":
            np.save(path, np.ones((1, 4098)))
        case _:
            path.mkdir()
            write_wide(path / "part.parquet")


@pytest.mark.parametrize("name", ["table.parquet", "folder", "table.arrow", "table.npy"])
def test_too_many_columns_are_refused_before_they_are_read(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    write_wide(path)

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("the columns are read")

    for module, function in (
        (pyarrow.parquet, "read_table"),
        (pyarrow.feather, "read_table"),
        (raw, "from_array"),
    ):
        monkeypatch.setattr(module, function, fail)
    for dropped in (0, 1):
        with pytest.raises(DataError, match=f"has 4098 columns, {4098 - dropped} without"):
            read_raw(path, data_source(source=str(path)), [f"c{i}" for i in range(dropped)])  # type: ignore[arg-type]
    with pytest.raises((DataError, AssertionError), match="the columns are read"):
        read_raw(path, data_source(source=str(path)), ["c0", "c1"])  # type: ignore[arg-type]
