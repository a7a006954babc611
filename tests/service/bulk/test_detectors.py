"""Detectors give scores, p-values and decisions, as requests get them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from service.bulk.journal import Journal
from service.bulk.scorers.rows import ModelRows
from service.cli import main
from service.conformal import Calibration, benjamini_hochberg, tie_breakers
from service.engine import Engine
from service.operations import RowFaults
from service.tables import from_values
from service.types import Arrays
from tests.helpers.detectors import ROW, SCORE, SCORES, write_detector_bundle
from tests.helpers.servers import Serve
from tests.service.bulk.conftest import Score, read, write

pytestmark = pytest.mark.usefixtures("small_pieces")

CALIBRATION = Calibration(np.array(SCORES))
GROUPS = Calibration.of(np.array(SCORES), np.array([0.0, 1.0] * 9 + [0.0]))


@pytest.fixture(scope="session")
def bundles(made_once: Callable[..., Path]) -> Path:
    def make(folder: Path) -> None:
        write_detector_bundle(folder)
        groups = [0.0, 1.0] * 9 + [0.0]
        write_detector_bundle(folder, "conditional", context=True, classes=groups)
        write_detector_bundle(folder, "uncalibrated", scores=None)
        write_detector_bundle(folder, "unreasoned", neighbours=False)
        write_detector_bundle(folder, "arrays", arrays=True)

    return made_once("bulk-detectors", make)


@pytest.fixture(scope="module")
def url(bundles: Path, serve: Serve) -> str:
    """Of a server of these."""
    return str(serve("--store", bundles, "--device", "cpu").client.base_url)


def table(amounts: list[float], **more: Any) -> Any:
    n = len(amounts)
    columns = {"amount": amounts, "count": [0.1] * n, "country": ["DE"] * n}
    return pa.table(columns | {"seen": ["2024-01-01"] * n} | more)


AMOUNTS = [0.0, 1.0, *np.linspace(0, 6, 30).tolist()]
FOUND = np.array(AMOUNTS) + 0.5
"""Their scores."""


def test_a_row_has_its_score_and_p_value(score: Score, tmp_path: Path) -> None:
    source, out = write(tmp_path / "in.parquet", table(AMOUNTS)), tmp_path / "out.parquet"
    assert score("detector", source, "--out", out) == 0
    rows = read(out)
    assert list(rows[0]) == ["row", "score", "p_value", "anomaly", "log_prob"]
    np.testing.assert_allclose([row["score"] for row in rows], FOUND)
    p = CALIBRATION.p_values(np.array([row["score"] for row in rows]))
    assert [row["p_value"] for row in rows] == p.tolist()
    assert [row["anomaly"] for row in rows] == (p <= 0.05).tolist()
    np.testing.assert_allclose([row["log_prob"] for row in rows], -FOUND)
    assert score("detector", source, "--out", out, "--overwrite", "--alpha", "0.2") == 0
    assert [row["anomaly"] for row in read(out)] == (p <= 0.2).tolist()
    (tmp_path / "in.csv").write_text(f"amount,count,country,seen\n{','.join(map(str, ROW))}\n")
    assert score("detector", tmp_path / "in.csv", "--out", tmp_path / "out.ndjson") == 0
    assert read(tmp_path / "out.ndjson")[0]["score"] == pytest.approx(SCORE)


def test_ties_are_drawn_by_file_and_row(score: Score, tmp_path: Path) -> None:
    amounts = [1.0] * 25
    files = [write(tmp_path / f"{i}.ndjson", table(amounts)) for i in range(2)]
    lines = files[1].read_text().splitlines()
    files[1].write_text("\n".join([*lines[:7], "broken", *lines[8:]]))
    out = tmp_path / "out.parquet"
    assert score("detector", *files, "--out", out, "--seed", "5", "--on-error", "skip") == 3
    found = {(Path(row["file"]).stem, row["row"]): row["p_value"] for row in read(out)}
    for i in range(2):
        p = CALIBRATION.p_values(np.full(25, 1.5), tie_breakers(5 + i, 25))
        expected = {(str(i), k): p[k] for k in range(25) if (i, k) != (1, 7)}
        assert {key: v for key, v in found.items() if key[0] == str(i)} == expected


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.9])
def test_discoveries_are_decided_on_over_all_rows(
    rate: float, score: Score, tmp_path: Path
) -> None:
    files = [write(tmp_path / f"{i}.parquet", table(AMOUNTS[i::2])) for i in range(2)]
    out = tmp_path / "out.csv"
    assert score("detector", *files, "--out", out, "--fdr", str(rate)) == 0
    rows = read(out)
    assert list(rows[0]) == ["file", "row", "score", "p_value", "anomaly", "log_prob"]
    p = np.array([row["p_value"] for row in rows])
    assert [row["anomaly"] for row in rows] == benjamini_hochberg(p, rate).tolist()


def test_rows_are_compared_within_their_class(score: Score, tmp_path: Path) -> None:
    groups = ["a", "b"] * 16
    source = write(tmp_path / "in.parquet", table(AMOUNTS, group=groups))
    assert score("conditional", source, "--out", tmp_path / "out.parquet") == 0
    rows = read(tmp_path / "out.parquet")
    scores = np.array([row["score"] for row in rows])
    classes = np.array([float(group == "b") for group in groups])
    expected = GROUPS.p_values(scores, None, classes)
    assert [row["p_value"] for row in rows] == expected.tolist()


def test_outside_the_support_is_the_most_anomalous(score: Score, tmp_path: Path) -> None:
    codes = pa.FixedSizeListArray.from_arrays(pa.array([0.0, 0.3, 9, 1704067200]), 4)
    source = write(tmp_path / "in.parquet", pa.table({"x": codes}))
    assert score("detector", source, "--out", tmp_path / "out.parquet") == 0
    (row,) = read(tmp_path / "out.parquet")
    assert (row["score"], row["p_value"], row["log_prob"]) == (np.inf, 0.05, -np.inf)


def test_rows_may_be_arrays(score: Score, tmp_path: Path) -> None:
    kind = pa.list_(pa.list_(pa.float64(), 3), 2)
    table = pa.table({"x": pa.array([[[0, 0, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 0]]], kind)})
    out = tmp_path / "out.parquet"
    assert score("arrays", write(tmp_path / "in.parquet", table), "--out", out) == 0
    first, second = [row["score"] for row in read(out)]
    assert second != first


ARRAYS = np.arange(60.0).reshape(10, 2, 3) % 7


@pytest.mark.parametrize(
    "stored",
    [
        ARRAYS,
        ARRAYS.astype(np.uint8),
        ARRAYS.astype(np.float16),
        ARRAYS.astype(">i4"),
        np.asfortranarray(ARRAYS.astype(np.float32)),
        ARRAYS.reshape(10, 6),
    ],
    ids=["float64", "uint8", "float16", "big-endian", "column by column", "flat"],
)
def test_arrays_of_numpy_are_read(stored: NDArray[Any], score: Score, tmp_path: Path) -> None:
    lists = pa.FixedSizeListArray.from_arrays(pa.array(ARRAYS.ravel()), 6)
    source = write(tmp_path / "in.parquet", pa.table({"x": lists}))
    assert score("arrays", source, "--out", tmp_path / "expected.ndjson") == 0
    np.save(tmp_path / "in.npy", stored)
    assert score("arrays", tmp_path / "in.npy", "--out", tmp_path / "out.ndjson") == 0
    assert read(tmp_path / "out.ndjson") == read(tmp_path / "expected.ndjson")
    assert len({row["score"] for row in read(tmp_path / "out.ndjson")}) > 3


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (np.zeros(6), "expected rows of numbers, N × the shape of a row; it is of shape [6]"),
        (np.zeros((3, 0)), "it is of shape [3, 0]"),
        (np.zeros((3, 6), complex), "of complex128"),
        (np.full((3, 6), "a"), "of str32"),
        (np.full((3, 6), None), "it is no .npy file"),
        (b"PK", "it is no .npy file"),
        (b"", "it is no .npy file"),
        (np.zeros((3, 5)), "5"),
    ],
)
def test_other_files_of_numpy_are_named(
    stored: Any, words: str, score: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "in.npy"
    if isinstance(stored, bytes):
        path.write_bytes(stored)
    else:
        np.save(path, stored, allow_pickle=True)
    assert score("arrays", path, "--out", tmp_path / "out.ndjson") != 0
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert "in.npy" in line


def test_arrays_of_numpy_that_end_early_or_are_a_pipe_are_named(
    score: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "in.npy", ARRAYS)
    (tmp_path / "in.npy").write_bytes((tmp_path / "in.npy").read_bytes()[:-8])
    assert score("arrays", tmp_path / "in.npy", "--out", tmp_path / "out.ndjson") != 0
    assert "in.npy: it is no .npy file" in capsys.readouterr().err
    assert score("arrays", "-", "--format", "npy", "--out", tmp_path / "out.ndjson") != 0
    assert "standard input: a .npy file is read from a path" in capsys.readouterr().err
    assert score("arrays", tmp_path / "in.npy", "--out", tmp_path / "out.npy") != 0
    assert "out.npy has no ending that says the format: --out-format" in capsys.readouterr().err


@pytest.mark.parametrize("options", ["--alpha=0.2", "--fdr=0.3"])
def test_possible_anomalies_have_reasons(options: str, score: Score, tmp_path: Path) -> None:
    amounts = [*AMOUNTS, float("inf")]
    source = write(tmp_path / "in.parquet", table(amounts))
    command = (source, "--reasons", "2", options, "--on-error", "skip", "--out")
    outs = [tmp_path / f"out{ending}" for ending in (".ndjson", ".parquet", ".csv")]
    for out in outs:
        assert score("detector", *command, out) == 3
    limit = float(options.partition("=")[2])
    rows = read(outs[0])
    assert 0 < sum(row["reasons"] is None for row in rows) < len(rows)
    for row in rows:
        assert (row["reasons"] is not None) == (row["p_value"] <= limit)
        if row["reasons"] is not None:
            first, second = row["reasons"]
            assert (first["column"], second["column"]) == ("amount", "count")
            assert first["share"] + second["share"] == pytest.approx(1)
            assert first["expected"] == [0.0, 1.0]
    for out in outs[1:]:
        found = [json.loads(row["reasons"] or "null") for row in read(out)]
        assert found == [row["reasons"] for row in rows]


def test_each_graph_runs_in_batches_of_its_own_size(
    score: Score, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row of `neighbours` may take a hundred times the memory of a row of `score`."""
    batch_rows = {"score": 7, "neighbours": 3}
    largest = dict.fromkeys(batch_rows, 0)
    jobs: list[dict[str, Any]] = []
    try_run, begin = Engine.try_run, Journal.__init__

    def run(engine: Engine, graph: str, feeds: Arrays, outputs: tuple[str, ...]) -> Arrays:
        largest[graph] = max(largest[graph], len(feeds["x"]))
        return try_run(engine, graph, feeds, outputs)

    def noted(journal: Journal, folder: Path, job: dict[str, Any], restart: bool) -> None:
        jobs.append(job)
        begin(journal, folder, job, restart)

    monkeypatch.setattr(Engine, "batch_rows", lambda _, graph: batch_rows[graph])
    monkeypatch.setattr(Engine, "try_run", run)
    monkeypatch.setattr(Journal, "__init__", noted)
    source, out = write(tmp_path / "in.parquet", table([6.0] * 10)), tmp_path / "out.csv"
    assert score("detector", source, "--out", out, "--reasons", "1") == 0
    assert largest == batch_rows
    assert jobs[0]["batch_rows"] == batch_rows  # a run that goes on has the same batches


@pytest.mark.parametrize("model", ["detector", "conditional", "arrays"])
@pytest.mark.parametrize("options", ["", "--fdr 0.3 --reasons 1"])
def test_a_server_answers_as_the_bundle_does(
    model: str, options: str, score: Score, url: str, tmp_path: Path
) -> None:
    source = write(tmp_path / "in.ndjson", table(AMOUNTS, group=["a", "b"] * 16))
    if model == "arrays":
        values = np.random.default_rng(0).normal(size=(25, 6))
        lines = [json.dumps({"x": row.reshape(2, 3).tolist()}) for row in values]
        source.write_text("\n".join(lines))
    outs = [tmp_path / "bundle.csv", tmp_path / "server.csv"]
    assert score(model, source, "--out", outs[0], *options.split()) == 0
    arguments = [str(source), "--out", str(outs[1]), "--model", model, *options.split()]
    assert main(["score", url, *arguments]) == 0
    assert outs[1].read_bytes() == outs[0].read_bytes()


def test_a_server_knows_what_is_outside_the_support(score: Score, url: str, tmp_path: Path) -> None:
    codes = pa.FixedSizeListArray.from_arrays(pa.array([0.0, 0.3, 9, 1704067200]), 4)
    source = write(tmp_path / "in.parquet", pa.table({"x": codes}))
    outs = [tmp_path / "bundle.csv", tmp_path / "server.csv"]
    assert score("detector", source, "--out", outs[0], "--reasons", "2") == 0
    arguments = [str(source), "--out", str(outs[1]), "--model", "detector", "--reasons", "2"]
    assert main(["score", url, *arguments]) == 0
    assert outs[1].read_bytes() == outs[0].read_bytes()
    assert read(outs[0])[0]["score"] == np.inf


def test_a_server_is_sent_what_a_file_holds(score: Score, url: str, tmp_path: Path) -> None:
    amounts = pa.array([0.1, 0.1, 0.3, 0.1], pa.float32())
    seconds = pa.array([1704067200000, 1704067200500, 1704067200000, 1704067200000])
    content = table([0.0] * 4).set_column(0, "amount", amounts)
    content = content.set_column(2, "country", pa.array(["XX", "DE", "XX", "DE"]))
    content = content.set_column(3, "seen", seconds.cast(pa.timestamp("ms")))
    outs = [tmp_path / "bundle.ndjson", tmp_path / "server.ndjson"]
    source = write(tmp_path / "in.parquet", content)
    assert score("detector", source, "--out", outs[0], "--reasons", "4", "--alpha", "0.9") == 0
    arguments = [str(source), "--out", str(outs[1]), "--model", "detector"]
    assert main(["score", url, *arguments, "--reasons", "4", "--alpha", "0.9"]) == 0
    assert outs[1].read_text() == outs[0].read_text()
    rows = read(outs[0])
    assert [row["score"] for row in rows[::3]] == pytest.approx([4.6, 0.6])
    assert rows[1]["score"] is None
    (reason,) = rows[1]["reasons"]
    assert (reason["column"], reason["value"]) == ("seen", "2024-01-01T00:00:00.500000")


def test_lists_go_by_the_names_of_their_values() -> None:
    lists: dict[str, Any] = {"v": np.array([[1.0, 2.0], [3.0, 4.0]]), "c": from_values(["a", "b"])}
    x, none = np.zeros((2, 3)), np.zeros((2, 3), bool)
    rows = ModelRows(x, x, None, none, np.arange(2), [], lists, RowFaults(2))
    assert rows.records(np.array([1])) == [{"v.0": 3.0, "v.1": 4.0, "c": "b"}]


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        ("uncalibrated", "", "no calibration, which p-values need: `bijecta calibrate STORE/unc"),
        ("detector", "--alpha 0.1 --fdr 0.1", "expected one of --alpha and --fdr"),
        (
            "unreasoned",
            "--reasons 1",
            "holds no rows of its data to compare with: `bijecta fit-detector",
        ),
        ("detector", "--keep anomaly", "the output has a column of that name"),
    ],
)
def test_what_a_detector_cannot_answer_is_said(
    model: str,
    options: str,
    words: str,
    score: Score,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = write(tmp_path / "in.parquet", table(AMOUNTS))
    assert score(model, source, "--out", tmp_path / "out.csv", *options.split()) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--alpha=1", "--fdr=0", "--fdr=no", "--seed=-1"])
def test_rates_and_seeds_are_checked(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["score", "bundle", "in.csv", "--out", "out.csv", option])
    assert "expected a" in capsys.readouterr().err


def odd_table() -> Any:
    """Rows of which some cannot occur, or hold a class that is unknown."""
    return pa.table(
        {
            "amount": [0.0, None, 1.0, 1.0, 1.0, 0.0],
            "count": [0.1, 0.1, 0.34, 0.1, 0.1, 0.1],
            "country": ["DE", "DE", "DE", "IT", "DE", "DE"],
            "seen": ["2024-01-01"] * 6,
            "currency": ["EUR", "EUR", "EUR", "EUR", "USD", "EUR"],
        }
    )


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".ndjson", ".arrow"])
def test_rows_that_cannot_occur_are_the_anomalies(
    ending: str, score: Score, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / f"in{ending}", odd_table())
    outs = [tmp_path / "bundle.ndjson", tmp_path / "server.ndjson"]
    assert score("detector", source, "--out", outs[0], "--reasons", "1", "--alpha", "0.4") == 0
    rows = read(outs[0])
    assert [row["score"] is None for row in rows] == [False, True, True, False, True, False]
    assert [row["p_value"] for row in rows if row["score"] is None] == [0.05] * 3
    reasons = [row["reasons"][0] for row in rows[1:5]]
    assert [(each["column"], each["value"]) for each in reasons] == [
        ("amount", None),
        ("count", 0.34),
        ("country", "IT"),
        ("currency", "USD"),
    ]
    assert [reason["expected"] for reason in reasons[::3]] == [[0.0, 1.0], ["EUR"]]
    capsys.readouterr()
    options = ["--model", "detector", "--reasons", "1", "--alpha", "0.4"]
    assert main(["score", url, str(source), "--out", str(outs[1]), *options]) == 0
    assert outs[1].read_bytes() == outs[0].read_bytes()
    assert "Warning" not in capsys.readouterr().err


def test_a_constant_that_only_later_records_have_is_not_lost(
    score: Score, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = write(tmp_path / "in.ndjson", table([0.0, 0.0, 0.0])), tmp_path / "out.ndjson"
    first, *lines = source.read_text().splitlines()
    more = [{"currency": "USD", "code": 840}, {"comment": "is not read"}]
    lines = [json.dumps(json.loads(line) | new) for line, new in zip(lines, more, strict=True)]
    source.write_text("\n".join([first, *lines]))
    assert score("detector", source, "--out", out, "--on-error", "skip") == 3
    assert [row["row"] for row in read(out)] == [0, 2]
    (skipped,) = Path(f"{out}.skipped.ndjson").read_text().splitlines()
    said = "it has the columns currency, code, which the first record lacks: null is for no value"
    assert json.loads(skipped)["detail"] == said
    assert score("detector", source, "--out", tmp_path / "all.csv") == 1
    assert f"row 1, line 2: {said}" in capsys.readouterr().err


def test_what_the_data_had_not_is_said_once_at_the_end(
    score: Score,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    n = 45  # five pieces
    columns = {
        "amount": [0.5] * n,
        "count": [0.34 if i % 20 == 0 else 0.1 for i in range(n)],
        "country": [f"X{i}" if i % 3 == 0 else "DE" for i in range(n)],
        "seen": ["2024-01-01"] * n,
        "note": ["late" if i > 42 else None for i in range(n)],
        "currency": [None if i == 7 else "EUR" for i in range(n)],
    }
    source, out = write(tmp_path / "in.parquet", pa.table(columns)), tmp_path / "out.csv"
    expected = [
        "column 'count': 3 rows hold values that it cannot have, such as 0.34: their score is "
        "infinite",
        "column 'country': 15 rows hold classes that the data had not, such as 'X0', 'X3', 'X6', "
        "'X9', 'X12': they count as one of all others",
        "column 'currency': 1 rows hold another value than 'EUR', which every row of the data has, "
        "such as nothing: their score is infinite",
        "column 'note': 2 rows hold another value than nothing, which every row of the data has, "
        "such as 'late': their score is infinite",
    ]

    def warnings() -> list[str]:
        *said, last = capsys.readouterr().err.splitlines()
        assert last == f"{n} rows scored"
        return [line.removeprefix("bijecta: warning: ") for line in said]

    assert score("detector", source, "--out", out) == 0
    assert sorted(warnings()) == expected
    # after an end in the midst too
    kept = Journal.add
    added: list[int] = []

    def add(journal: Journal, *arguments: Any) -> None:
        added.append(1)
        if len(added) == 3:
            raise KeyboardInterrupt
        kept(journal, *arguments)

    monkeypatch.setattr(Journal, "add", add)
    assert score("detector", source, "--out", out, "--overwrite") == 130
    capsys.readouterr()
    assert score("detector", source, "--out", out, "--overwrite") == 0
    assert len(added) == 3 + 3
    assert sorted(warnings()) == expected
    assert score("detector", source, "--out", out, "--overwrite", "--quiet") == 0
    assert capsys.readouterr().err == ""
