"""What cannot be scored is named, with file, row and column, and the rest is not lost."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.typed import log_prob
from tests.service.bulk.conftest import Score, read, write

Capsys = pytest.CaptureFixture[str]


def refusal(capsys: Capsys) -> str:
    """The one line that a run ended with."""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("bijecta: ")
    return line.removeprefix("bijecta: ")


def report(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(f"{out}.skipped.ndjson").read_text().splitlines()]


HEADER = "amount,count,country,seen\r\n"
GOOD = "0.5,0.3,DE,2024-02-29\r\n"

BAD = {
    "much,0.3,DE,2024-02-29\r\n": ("amount", "expected a finite number, got 'much'"),
    "0.5,0.37,DE,2024-02-29\r\n": ("count", "multiple of 0.1"),
    "0.5,0.3,DE,yesterday\r\n": ("seen", "got 'yesterday'"),
    ",0.3,DE,2024-02-29\r\n": ("amount", "got missing"),
    "0.5,0.3,DE\r\n": (None, "expected 4 cells as in the header, got 3"),
    "0.5,0.3,DE,2024-02-29,more\r\n": (None, "expected 4 cells as in the header, got 5"),
    '0.5,0.3,"DE,2024-02-29\r\n': (None, "it is not CSV"),
    '0.5,0.3,"DE"x,2024-02-29\r\n': (None, "it is not CSV"),
    "0.5,0.3,\udcff,2024-02-29\r\n": (None, "byte 0xff is not UTF-8"),
    f"0.5,0.3,{'D' * 2**20},2024-02-29\r\n": (None, "field larger than field limit (131072)"),
}


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("line", BAD, ids=[words for _, words in BAD.values()])
def test_a_bad_line_of_csv_is_the_only_one_that_is_lost(
    line: str, score: Score, tmp_path: Path, capsys: Capsys
) -> None:
    column, words = BAD[line]
    content = HEADER + 12 * GOOD + line + 12 * GOOD
    source, out = tmp_path / "in.csv", tmp_path / "out.parquet"
    source.write_bytes(content.encode(errors="surrogateescape"))
    assert score("typed", source, "--out", out, "--quiet") == 1
    said = refusal(capsys)
    assert said.startswith(f"{source}, row 12, line 14")
    assert words in said
    assert not out.exists()
    assert score("typed", source, "--out", out, "--on-error", "skip", "--quiet") == 3
    rows = read(out)
    assert [row["row"] for row in rows] == [*range(12), *range(13, 25)]
    assert {row["log_prob"] for row in rows} == {log_prob(0.5)}
    (skipped,) = report(out)
    assert words in skipped.pop("detail")
    expected = {"file": str(source), "row": 12, "rows": 1, "line": 14}
    assert skipped == expected | ({} if column is None else {"column": column})


RECORD = {"amount": 0.5, "count": 0.3, "country": "DE", "seen": "2024-02-29", "id": 1}

BAD_RECORDS: dict[str, tuple[str | None, str]] = {
    "[1]": (None, "expected a JSON object, got list"),
    '{"amount"': (None, "it is not JSON"),
    '{"amount": 1}': ("count", "there is no value"),
    json.dumps(RECORD | {"amount": [1]}): ("amount", "expected a number, text, true, false"),
    json.dumps(RECORD | {"amount": True}): ("amount", "expected a finite number, got True"),
    json.dumps(RECORD | {"id": "one"}): ("id", "one"),
}


@pytest.mark.parametrize("line", BAD_RECORDS)
def test_a_bad_record_is_the_only_one_that_is_lost(
    line: str, score: Score, tmp_path: Path, capsys: Capsys
) -> None:
    column, words = BAD_RECORDS[line]
    good = json.dumps(RECORD)
    source, out = tmp_path / "in.ndjson", tmp_path / "out.csv"
    source.write_text("\n".join([good, good, "", line, good]))
    arguments = ("typed", source, "--keep", "id", "--out", out)
    assert score(*arguments) == 1
    said = refusal(capsys)
    assert said.startswith(f"{source}, row 2, line 4")
    assert words in said
    assert score(*arguments, "--on-error", "skip") == 3
    assert [row["row"] for row in read(out)] == [0, 1, 3]
    assert "3 rows scored; 1 skipped, listed in" in capsys.readouterr().err
    (skipped,) = report(out)
    assert (skipped["row"], skipped["line"], skipped.get("column")) == (2, 4, column)


@pytest.mark.parametrize("wrong", [[1], [True, 2], [1, "2"], [[1], [2]], [1, None], 1])
def test_a_bad_list_is_the_only_one_that_is_lost(wrong: Any, score: Score, tmp_path: Path) -> None:
    source, out = tmp_path / "in.ndjson", tmp_path / "out.csv"
    rows = [[1, 2], wrong, [3, 4]]
    source.write_text("\n".join(json.dumps({"x": row}) for row in rows))
    assert score("tiny", source, "--out", out, "--on-error", "skip", "--quiet") == 3
    assert [row["row"] for row in read(out)] == [0, 2]
    (skipped,) = report(out)
    assert "expected a list of numbers" in skipped["detail"]


@pytest.mark.usefixtures("small_pieces")
def test_every_row_of_a_flow_is_looked_at(score: Score, tmp_path: Path, capsys: Capsys) -> None:
    values = [None if i in (3, 17) else 1e39 if i == 20 else i for i in range(25)]
    source = write(tmp_path / "in.parquet", pa.table({"a": values, "b": [0.0] * 25}))
    out = tmp_path / "out.parquet"
    assert score("tiny", source, "--out", out, "--quiet") == 1
    expected = "expected a finite float32 number"
    assert refusal(capsys) == f"{source}, row 3, column 'a': {expected}, got missing"
    assert score("tiny", source, "--out", out, "--on-error", "skip", "--quiet") == 3
    assert [row["log_prob"] for row in read(out)] == [i for i in range(25) if i not in (3, 17, 20)]
    assert [(each["row"], each["detail"].partition(", ")[2]) for each in report(out)] == [
        (3, "got missing"),
        (17, "got missing"),
        (20, "got 1e+39"),
    ]


@pytest.mark.usefixtures("small_pieces")
def test_thousands_of_bad_rows_are_all_listed(
    score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.bulk.inputs.PIECE_ROWS", 4096)
    n = 5000
    table = pa.table(
        {
            "amount": [0.5] * n,
            "count": [0.37 if i % 2 else 0.3 for i in range(n)],
            "country": ["DE"] * n,
            "seen": ["2024-02-29"] * n,
        }
    )
    source, out = write(tmp_path / "in.parquet", table), tmp_path / "out.parquet"
    assert score("typed", source, "--out", out, "--on-error", "skip", "--quiet") == 3
    skipped = report(out)
    assert [each["row"] for each in skipped] == list(range(1, n, 2))
    assert {each["column"] for each in skipped} == {"count"}
    wrong = "expected a number that is a multiple of 0.1"
    assert all(each["detail"].startswith(wrong) for each in skipped)
    assert [row["row"] for row in read(out)] == list(range(0, n, 2))


@pytest.mark.usefixtures("small_pieces")
def test_a_damaged_row_group_is_named_and_the_others_are_read(
    score: Score, tmp_path: Path, capsys: Capsys
) -> None:
    table = pa.table({"a": [float(i) for i in range(60)], "b": [0.0] * 60})
    options: dict[str, Any] = {"row_group_size": 20, "write_page_checksum": True}
    source, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    write(source, table, use_dictionary=False, compression="none", **options)
    column = pq.ParquetFile(source).metadata.row_group(1).column(0)
    content = bytearray(source.read_bytes())
    content[column.data_page_offset + column.total_compressed_size - 5] ^= 255
    source.write_bytes(content)
    assert score("tiny", source, "--out", out) == 1
    assert refusal(capsys).startswith(f"{source}, rows 20 to 39: row group 1 cannot be read: ")
    assert score("tiny", source, "--out", out, "--on-error", "skip", "--quiet") == 3
    assert [row["log_prob"] for row in read(out)] == [*range(20), *range(40, 60)]
    (skipped,) = report(out)
    assert (skipped["row"], skipped["rows"]) == (20, 20)


FILES: dict[str, tuple[dict[str, list[Any]], str]] = {
    "another type of what is kept": (
        {"id": ["a"], "a": [1.0], "b": [2.0]},
        "column 'id' is of string, and of int64 in the files before",
    ),
    "nothing to keep": (
        {"a": [1.0], "b": [2.0]},
        "there is no column 'id' to keep; the columns are 'a', 'b'",
    ),
    "a column fewer": ({"id": [1], "a": [1.0]}, "expected 2 numbers a row, got 1"),
    "text": ({"id": [1], "a": ["x"], "b": [2.0]}, "column 'a' holds text, expected numbers"),
    "no Parquet": ({}, "it is no Parquet file"),
    "no file": ({}, "No such file or directory"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_unlike_the_others_is_passed_over(
    name: str, score: Score, tmp_path: Path, capsys: Capsys
) -> None:
    content, words = FILES[name]
    good = pa.table({"id": [1, 2], "a": [1.0, 2.0], "b": [0.0, 0.0]})
    files = [write(tmp_path / f"{i}.parquet", good) for i in range(3)]
    if content:
        write(files[1], pa.table(content))
    elif name == "no file":
        files[1].unlink()
    else:
        files[1].write_text("id,a,b\n")
    out = tmp_path / "out.ndjson"
    arguments = ("tiny", *files, "--keep", "id", "--out", out)
    assert score(*arguments, "--quiet") == 1
    said = refusal(capsys)
    assert said.startswith(f"{files[1]}: ")
    assert words in said
    assert score(*arguments, "--on-error", "skip", "--quiet") == 3
    assert [(row["file"], row["id"]) for row in read(out)] == [
        (str(files[i]), k) for i in (0, 2) for k in (1, 2)
    ]
    (skipped,) = report(out)
    assert skipped["file"] == str(files[1])
    assert words in skipped["detail"]


def test_what_follows_damage_in_a_stream_is_lost_and_nothing_before(
    score: Score, tmp_path: Path
) -> None:
    source = write(tmp_path / "in.arrows", pa.table({"a": [1.0] * 21, "b": [0.0] * 21}))
    source.write_bytes(source.read_bytes()[:-200])
    out = tmp_path / "out.ndjson"
    assert score("tiny", source, "--out", out, "--on-error", "skip", "--quiet") == 3
    assert [row["row"] for row in read(out)] == list(range(14))
    assert report(out)[0]["row"] == 14


REFUSED: dict[str, tuple[list[str], str]] = {
    "no ending": (["in", "--out", "out.csv"], "in has no ending that says the format"),
    "no format": (["in.csv", "--out", "o.csv", "--format", "tsv"], "a format is one of parquet"),
    "kept twice": (["in.csv", "--out", "o.csv", "--keep", "a,a"], "--keep names a column twice"),
    "two of a name": (["in.csv", "--out", "o.csv", "--keep", "row"], "a column of that name"),
    "out exists": (["in.csv", "--out", "in.csv"], "in.csv exists: --overwrite replaces it"),
    "no folder": (["in.csv", "--out", "no/o.csv"], "no: there is no such folder"),
    "no device": (["in.csv", "--out", "o.csv", "--device", "gpu"], "device: expected auto"),
    "no detector": (
        ["in.csv", "--out", "o.csv", "--alpha", "0.1"],
        "tiny version 1 is no detector",
    ),
    "pipe beside": (["-", "in.csv", "--out", "o.csv"], "standard input is one of several inputs"),
    "no names": (["empty.csv", "--out", "o.csv"], "empty.csv: expected a header of names"),
    "empty folder": ([".", "--out", "o.csv"], "there is no file in it that ends in .parquet"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_one_line(
    name: str, bundles: Path, tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    from service.cli import main

    monkeypatch.chdir(tmp_path)
    if name != "empty folder":
        (tmp_path / "in.csv").write_text("a,b\n1,2\n")
        (tmp_path / "empty.csv").touch()
    before = sorted(tmp_path.iterdir())
    arguments, words = REFUSED[name]
    assert main(["score", str(bundles / "tiny"), *arguments]) == 1
    assert words in refusal(capsys)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("none", "expected a bundle"),
        ("tiny/2", "expected a bundle"),
        ("tiny@best", "there is no alias 'best'"),
    ],
)
def test_a_bundle_that_is_none_is_refused(
    model: str, words: str, score: Score, tmp_path: Path, capsys: Capsys
) -> None:
    assert score(model, "in.csv", "--out", tmp_path / "out.csv") == 1
    assert words in refusal(capsys)
