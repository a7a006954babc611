"""Cells and lines of text files are what they are in requests and to `bijecta score`."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bulk.sources.opening import open_source
from service.codecs.csv import read_csv
from service.tables import (
    Column,
    DatetimeColumn,
    NumericColumn,
    Overrides,
    RawColumn,
    RawTable,
    decide,
    to_rows,
)
from tests.helpers.examples import examples
from tests.helpers.reading import unbounded
from training.config import data_source
from training.data.readers import read_raw
from training.errors import DataError

N = 40


def opened(path: Path, **keys: object) -> RawTable:
    return read_raw(path, data_source(source=str(path), **keys))  # type: ignore[arg-type]


TIMES = [f"{i // 20:02d}:{i % 60:02d}" for i in range(N)]


@pytest.mark.parametrize("form", ["", " %M:%S", " %H:%M"])
def test_durations_that_a_clock_can_show_are_read_as_they_are_written(
    tmp_path: Path, form: str
) -> None:
    content = "\n".join(["c", *TIMES])
    (tmp_path / "table.csv").write_text(content)
    pyarrow.parquet.write_table(pa.table({"c": TIMES}), tmp_path / "table.parquet")
    overrides = Overrides(kinds={"c": f"duration{form}"})
    of_form = 60 if form == " %H:%M" else 1
    for name in ("table.csv", "table.parquet"):
        table = opened(tmp_path / name)
        found = decide(table, overrides)
        assert not found.problems
        body = read_csv(content.encode(), unbounded(), N)
        for each in (table.columns, body):
            rows = to_rows(each, found.columns)
            assert not rows.faults
            assert rows.rows[21, 0] == (60 + 21) * of_form


# what one cell may be
CELLS = st.one_of(
    st.text("0123456789+-.eExXnaNifAF:TZ ", min_size=1, max_size=12),
    st.from_regex(
        r"2024-0[1-9]-[0-2][1-9]([T ] ?\d?\d(:?\d\d(:?\d\d(\.\d{1,3})?)?)?)?"
        r"( ?(Z|UTC|[+-]\d\d?(:?\d\d)?))?",
        fullmatch=True,
    ),
    st.from_regex(r"[+-]?0?[xX]?[0-9A-Fa-f]{1,20}", fullmatch=True),
    st.from_regex(r"\d?\d:\d\d(:\d\d(\.\d{1,9})?)?", fullmatch=True),
)


@examples(100)
@given(CELLS)
def test_a_cell_is_the_same_value_in_files_and_requests(cell: str) -> None:
    content = f"c,x\n{cell},a\n{cell},b\n"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.csv")
        path.write_text(content)
        raw = opened(path, header=True).columns["c"]
    asked = read_csv(content.encode(), unbounded(), 2)["c"]
    if raw.form == "words":
        assert raw.words in ((cell,), (False,), (True,)) or raw.missing.all()
        return
    column: Column = NumericColumn(name="c", low=0, high=1, missing=True)
    if raw.form == "times":
        column = DatetimeColumn(name="c", low=0, high=1, missing=True)
    rows, of_body = (to_rows({"c": each}, [column]) for each in (raw, asked))
    np.testing.assert_array_equal(rows.unreadable, of_body.unreadable)
    np.testing.assert_array_equal(rows.rows, of_body.rows)


ENDS = ["\n", "\r\n", "\r"]


@pytest.mark.parametrize("before", ["", "# \u2028a \x85 b\n\n", '# 5" of rain\n'])
@pytest.mark.parametrize("end", ENDS)
def test_rows_begin_where_their_lines_do(tmp_path: Path, before: str, end: str) -> None:
    rows = [f'"a{end}{end}b",1', "c,2", "", 'd"e,3', f'"f ""{end}"" g",4', 'h,"5"']
    content = before + end.join(["c,x", *rows]) + end
    path = tmp_path / "table.csv"
    path.write_bytes(content.encode())
    file = opened(path)
    first = before.count("\n") + 2
    expected = [first, first + 3, first + 5, first + 6, first + 8]
    assert [file.place(row) for row in range(file.rows)] == [f"line {line}" for line in expected]
    words = file.columns["c"].words
    assert words == (f"a{end}{end}b", "c", 'd"e', f'f "{end}" g', "h")
    assert file.columns["x"].values.tolist() == [1, 2, 3, 4, 5]
    path.write_bytes((content + f"i,6,7{end}").encode())
    with pytest.raises(DataError, match=f"line {first + 9}: .*Expected 2 columns, got 3"):
        opened(path)
    if end != "\r":  # which `bijecta score` takes for no end of a line
        path.write_bytes(content.encode())
        pieces = open_source(str(path), "csv", N).pieces(["c", "x"], pa.schema([]), {})
        assert [piece.lines.tolist() for piece in pieces if piece and piece.lines is not None] == [
            expected
        ]


def test_ends_of_lines_in_quotes_stand_where_blocks_end(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    cell = "a\n" * 60
    path.write_text("c,x\n" + f'"{cell}",1\n' * 20_000)  # of several blocks
    file = opened(path)
    assert (file.rows, file.columns["c"].words) == (20_000, (cell,))


def test_an_end_of_a_line_in_a_name_is_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text('"amount\n(EUR)","b, c"\n1,2\n3,4\n')
    file = opened(path)
    assert list(file.columns) == ["amount\n(EUR)", "b, c"]
    assert list(read_csv(path.read_bytes(), unbounded(), N)) == list(file.columns)
    assert (file.rows, file.place(1)) == (2, "line 4")


def test_a_quote_that_is_not_closed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text('c,x\na,1\n"b,2\n' + "c,3\n" * 400_000)
    with pytest.raises(DataError, match="line 3"):
        opened(path)


def test_times_of_spark_are_read_as_by_bijecta_score(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    times = [datetime(9999, 12, 31, 1), datetime(1500, 1, 1), datetime(2024, 2, 29, 1, 2, 3, 4)]
    column = pa.array(times, pa.timestamp("us"))
    pyarrow.parquet.write_table(pa.table({"c": column}), path, use_deprecated_int96_timestamps=True)
    raw = opened(path).columns["c"]
    (piece,) = open_source(str(path), "parquet", N).pieces(["c"], pa.schema([]), {})
    assert piece is not None
    scored = piece.columns()["c"]
    assert isinstance(scored, RawColumn)
    np.testing.assert_array_equal(raw.values, scored.values)
    seconds = [time.replace(tzinfo=UTC).timestamp() for time in times]
    np.testing.assert_allclose(raw.values, seconds, rtol=0, atol=1e-5)
