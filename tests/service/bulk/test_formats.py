"""The same rows have the same scores in every format, beside the same identifiers."""

import csv
import datetime
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bulk.output import open_writer
from service.bulk.sources import CsvSource
from tests.helpers.examples import examples
from tests.helpers.typed import DAY, FIRST_DAY, log_prob
from tests.service.bulk.conftest import Score, read, write

ENDINGS = (".parquet", ".csv", ".ndjson", ".arrow", ".arrows")

ROWS = 25

# Of typed columns, with a gap and a class that is none of the two; `id` is left out by the model.
TABLE = pa.table(
    {
        "when": [f"2024-01-01T00:00:{i:02}" for i in range(ROWS)],
        "count": [0.1 * (i % 11) for i in range(ROWS)],
        "amount": [i / 8 for i in range(ROWS)],
        "id": [f"a{i}" for i in range(ROWS)],
        "country": [("DE", "FR", None, "IT")[i % 4] for i in range(ROWS)],
        "seen": [datetime.date(2024, 2, 1 + i) for i in range(ROWS)],
    }
)
SCORES = [log_prob(i / 8) for i in range(ROWS)]


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_is_read_and_written(ending: str, score: Score, tmp_path: Path) -> None:
    source, out = write(tmp_path / f"in{ending}", TABLE), tmp_path / f"out{ending}"
    assert score("typed", source, "--keep", "id,when", "--out", out) == 0
    rows = read(out)
    assert [list(row) for row in rows] == [["row", "id", "when", "log_prob"]] * ROWS
    assert [(row["row"], row["id"]) for row in rows] == [(i, f"a{i}") for i in range(ROWS)]
    assert [row["log_prob"] for row in rows] == pytest.approx(SCORES, abs=1e-12)
    assert [p.name for p in tmp_path.iterdir() if p not in (source, out)] == []


def test_columns_of_a_flow_go_by_their_place(score: Score, tmp_path: Path) -> None:
    table = pa.table({"id": [7, 8], "b": [1.0, 2.0], "a": np.array([4, 5], np.int8)})
    out = tmp_path / "out.ndjson"
    source = write(tmp_path / "in.parquet", table)
    assert score("tiny", source, "--keep", "id", "--out", out) == 0
    assert read(out) == [
        {"row": 0, "id": 7, "log_prob": 5.0},
        {"row": 1, "id": 8, "log_prob": 7.0},
    ]
    # x1 before x0, whatever is kept; the sum does not tell, the number of columns does
    table = pa.table({"x1": [1.0], "x0": [2.0], "more": [0.0]})
    assert score("tiny", write(tmp_path / "in.parquet", table), "--out", tmp_path / "o.csv") == 1


@pytest.mark.parametrize("ending", [".parquet", ".ndjson", ".arrow"])
def test_rows_may_be_lists(ending: str, score: Score, tmp_path: Path) -> None:
    kind = pa.list_(pa.float32(), 2)
    table = pa.table({"label": ["a", "b"], "x": pa.array([[1, 2], [3, -4]], kind)})
    source, out = write(tmp_path / f"in{ending}", table), tmp_path / "out.ndjson"
    assert score("tiny", source, "--out", out) == 0
    assert [row["log_prob"] for row in read(out)] == [3.0, -1.0]


def test_a_coordinate_that_only_later_records_have_is_not_lost(
    score: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in.ndjson"
    source.write_text('{"a": 1, "b": 2, "id": 1}\n{"a": 1, "b": 2, "id": 1, "c": 3}\n')
    assert score("tiny", source, "--keep", "id", "--out", tmp_path / "out.csv") == 1
    said = "row 1, line 2: it has the column c, which the first record lacks: null is for no value"
    assert said in capsys.readouterr().err


def test_lists_of_typed_columns_are_of_float64(score: Score, tmp_path: Path) -> None:
    # 0.1 is a value of large weight, and float32 has this second 64 s off
    source, out = tmp_path / "in.ndjson", tmp_path / "out.ndjson"
    source.write_text(json.dumps({"x": [0.1, 0.3, 1, FIRST_DAY + 59 * DAY]}) + "\n")
    assert score("typed", source, "--out", out) == 0
    by_name = TABLE.slice(0, 1).select(["count", "amount", "country", "seen"])
    by_name = by_name.set_column(1, "amount", pa.array([0.1]))
    named = write(tmp_path / "named.csv", by_name)
    assert score("typed", named, "--out", tmp_path / "named.ndjson") == 0
    assert read(out) == read(tmp_path / "named.ndjson")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_context_stands_beside_the_rows(ending: str, score: Score, tmp_path: Path) -> None:
    means = pa.array([float(i) for i in range(ROWS)])
    source = write(tmp_path / f"in{ending}", TABLE.append_column("mean", means))
    assert score("conditional", source, "--out", tmp_path / "out.ndjson") == 0
    found = [row["log_prob"] for row in read(tmp_path / "out.ndjson")]
    assert found == pytest.approx([log_prob(i / 8 - i) for i in range(ROWS)], abs=1e-12)


def test_outside_the_support_is_minus_infinity(score: Score, tmp_path: Path) -> None:
    codes = pa.FixedSizeListArray.from_arrays(pa.array([0.0, 0.3, 9, 1704067200]), 4)
    source = write(tmp_path / "in.parquet", pa.table({"x": codes}))
    for ending, expected in ((".parquet", -np.inf), (".ndjson", None), (".csv", -np.inf)):
        assert score("typed", source, "--out", tmp_path / f"out{ending}") == 0
        assert read(tmp_path / f"out{ending}") == [{"row": 0, "log_prob": expected}]


def test_several_files_are_one_after_another(score: Score, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for i in range(3):
        write(tmp_path / "in" / f"{i}.parquet", TABLE.slice(i * 5, 5))
    (tmp_path / "in" / "_SUCCESS").touch()
    assert score("typed", tmp_path / "in", "--out", tmp_path / "out.parquet") == 0
    rows = read(tmp_path / "out.parquet")
    assert [row["row"] for row in rows] == [0, 1, 2, 3, 4] * 3
    assert [Path(row["file"]).name for row in rows[::5]] == [f"{i}.parquet" for i in range(3)]
    assert [row["log_prob"] for row in rows] == pytest.approx(SCORES[:15], abs=1e-12)


@pytest.mark.parametrize(
    ("source", "given", "wanted"),
    [("in.csv", "csv", "ndjson"), ("in.arrow", "arrow", "arrow-stream")],
)
def test_it_stands_in_a_stream(
    source: str, given: str, wanted: str, bundles: Path, tmp_path: Path
) -> None:
    content = write(tmp_path / source, TABLE).read_bytes()
    score = [sys.executable, "-m", "service.cli", "score", str(bundles / "typed")]
    options = ["--format", given, "--out-format", wanted, "--keep", "id", "--device", "cpu"]
    done = subprocess.run(
        [*score, "-", "--out", "-", *options], input=content, capture_output=True, check=True
    )
    out = tmp_path / ("out.ndjson" if wanted == "ndjson" else "out.arrows")
    out.write_bytes(done.stdout)
    rows = read(out)
    assert [row["id"] for row in rows] == [f"a{i}" for i in range(ROWS)]
    assert [row["log_prob"] for row in rows] == pytest.approx(SCORES, abs=1e-12)


def test_a_row_group_of_any_size_is_read_a_little_at_a_time(
    score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    whole = pq.ParquetFile.iter_batches

    def seen(self: pq.ParquetFile, size: int, **options: object) -> object:
        for batch in whole(self, size, **options):
            sizes.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", seen)
    rng = np.random.default_rng(0)
    table = pa.table({"a": rng.normal(size=200_000), "b": np.zeros(200_000)})
    source = write(tmp_path / "in.parquet", table, row_group_size=200_000)
    assert score("tiny", source, "--out", tmp_path / "out.parquet", "--quiet") == 0
    assert max(sizes) <= 2**16 < sum(sizes)
    found = pq.read_table(tmp_path / "out.parquet")["log_prob"].to_numpy()
    np.testing.assert_allclose(found, table["a"].to_numpy(), rtol=1e-6)


cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=5)


@examples(30)
@given(
    rows=st.lists(st.lists(cells, min_size=2, max_size=2), max_size=12),
    size=st.integers(1, 4),
    ending=st.sampled_from(["\r\n", "\n"]),
)
def test_cells_of_csv_come_back_whatever_is_in_them(
    rows: list[list[str]], size: int, ending: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Also from the place behind each piece on."""
    path = tmp_path_factory.mktemp("csv") / "in.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator=ending)
        writer.writerow(["a", "b"])
        writer.writerows(rows)

    def read_from(place: dict[str, int]) -> list[tuple[list[dict[str, str]], dict[str, int]]]:
        source = CsvSource("in", open(path, "rb", buffering=0), path.stat().st_size, size)  # noqa: PTH123, SIM115
        kept = source.kept_schema(["a", "b"])
        pieces = [piece for piece in source.pieces([], kept, place) if piece is not None]
        source.close()
        assert not [skipped for piece in pieces for skipped in piece.skipped]
        return [(piece.kept.to_pylist(), piece.after) for piece in pieces]

    pieces = read_from({})
    found = [row for piece, _ in pieces for row in piece]
    assert found == [{"a": a or None, "b": b or None} for a, b in rows]
    for i, (_, place) in enumerate(pieces):
        assert read_from(place) == pieces[i + 1 :]


def test_numbers_of_float32_are_written_in_their_own_digits(score: Score, tmp_path: Path) -> None:
    source = write(tmp_path / "in.parquet", pa.table({"a": [0.1], "b": [0.2]}))
    for ending in (".csv", ".ndjson"):
        assert score("tiny", source, "--out", tmp_path / f"out{ending}") == 0
    assert (tmp_path / "out.csv").read_bytes() == b"row,log_prob\r\n0,0.3\r\n"
    assert json.loads((tmp_path / "out.ndjson").read_text()) == {"row": 0, "log_prob": 0.3}


KEPT = {
    "large": pa.large_string(),
    "view": pa.string_view(),
    "coded": pa.dictionary(pa.int32(), pa.string()),
    "ordered": pa.dictionary(pa.int32(), pa.string(), ordered=True),
}


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("ending", [".parquet", ".arrow", ".arrows"])
def test_texts_stay_of_their_types(ending: str, score: Score, tmp_path: Path) -> None:
    words = [None if i == 3 else f"t{i % 6}" for i in range(ROWS)]
    kept = {name: pa.array(words, kind) for name, kind in KEPT.items()}
    # a dictionary of its own in each row group, and narrower codes than all of them may need
    halves = [pa.array(words[:20]), pa.array(words[20:])]
    narrow = pa.dictionary(pa.int8(), pa.string())
    kept["narrow"] = pa.chunked_array([half.dictionary_encode().cast(narrow) for half in halves])
    table = pa.table({"a": [0.5] * ROWS, "b": [0.0] * ROWS} | kept)
    sources, out = [tmp_path / f"{i}{ending}" for i in range(2)], tmp_path / f"out{ending}"
    write(sources[0], table.unify_dictionaries())
    # plain text in the second file is taken as the first has it
    write(sources[1], table.set_column(6, "narrow", pa.array([f"u{i}" for i in range(ROWS)])))
    names = ",".join(kept)
    assert score("tiny", *sources, "--keep", names, "--out", out) == 0
    rows = read(out)
    assert [row["ordered"] for row in rows] == words * 2
    assert [row["narrow"] for row in rows] == [*words, *(f"u{i}" for i in range(ROWS))]
    if ending == ".parquet":
        types = pq.read_schema(out)
    else:
        types = (pa.ipc.open_file if ending == ".arrow" else pa.ipc.open_stream)(out).schema
    expected = KEPT | {"narrow": KEPT["coded"]}
    assert {name: types.field(name).type for name in expected} == expected
    assert score("tiny", *sources, "--keep", names, "--out", tmp_path / "out.csv") == 0
    assert [row["coded"] or None for row in read(tmp_path / "out.csv")] == words * 2


def test_a_dictionary_of_an_arrow_file_grows(tmp_path: Path) -> None:
    schema = pa.schema([("k", pa.dictionary(pa.int32(), pa.string()))])
    parts: list[list[str | None]] = [["a", "b", None], ["b", "a"], ["c", "a", None], ["d", "c"]]
    for kind, read_back in (("arrow", pa.ipc.open_file), ("arrow-stream", pa.ipc.open_stream)):
        with (tmp_path / kind).open("wb") as sink:
            writer = open_writer(kind, sink, schema)
            for part in parts:
                writer.write(pa.table({"k": pa.array(part).dictionary_encode()}, schema=schema))
            writer.close()
        with (tmp_path / kind).open("rb") as file:
            found = read_back(file).read_all()["k"].to_pylist()
        assert found == [word for part in parts for word in part]
