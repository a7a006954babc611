"""`bijecta calibrate` and `bijecta compare`, on bundles with simple formulas."""

from pathlib import Path

import numpy as np
import pytest

from service.bundle import (
    calibration_bytes,
    calibration_file,
    calibration_of,
    read_calibration,
    read_columns,
    read_detector,
    read_hours,
)
from service.cli import main
from tests.helpers.detectors import WEIGHTS, write_detector_bundle
from tests.helpers.stores import edit

LINE = "{amount},0.3,FR,2024-01-11"


def write_rows(
    folder: Path, amounts: list[str], more: str = "", values: list[str] | None = None
) -> Path:
    """Rows that differ in their amount, which is the score but for a constant."""
    lines = ["amount,count,country,seen" + more]
    for i, amount in enumerate(amounts):
        lines.append(LINE.format(amount=amount) + ("" if values is None else f",{values[i]}"))
    path = folder / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def score_of(amount: float) -> float:
    return WEIGHTS[0] * abs(amount) + 1.5 + 2.0 + 0.1


def test_a_new_version_is_calibrated_with_the_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_detector_bundle(tmp_path / "store", scores=None)
    amounts = np.random.default_rng(0).normal(size=120).round(3)
    rows = write_rows(tmp_path, [str(a) for a in amounts])
    assert main(["calibrate", str(bundle.parent), str(rows)]) == 0
    said = capsys.readouterr().out
    assert "calibrated with 120 rows of rows.csv" in said
    assert "the smallest p-value is 0.0083: no alarm at 0.1 %" in said
    folder = bundle.parent / "2"
    manifest, before = read_detector(folder), read_detector(bundle)
    calibration = read_calibration(folder, manifest)
    assert calibration is not None
    np.testing.assert_allclose(calibration.scores, sorted(score_of(a) for a in amounts))
    assert manifest.calibration is not None
    assert manifest.calibration.method == "rows"
    assert manifest.files["score.onnx"] == before.files["score.onnx"]
    assert len(read_columns(folder, manifest) or ()) == 4
    # of the new version there is a next one, in another store too
    other = tmp_path / "other"
    assert main(["calibrate", str(bundle.parent), str(rows), "--store", str(other)]) == 0
    assert read_detector(other / "detector" / "1").made_with["calibrated"] == "detector version 2"


def test_columns_are_compared_with_rows_that_cannot_occur_too(tmp_path: Path) -> None:
    """A server watches them, with the smallest value in place of what cannot be.

    Without them in the reference a stream like it, a tenth of which cannot occur, came to an alarm
    after 250 to 2,500 rows.
    """
    bundle = write_detector_bundle(tmp_path / "store", scores=None)
    amounts = [f"{i / 100}" for i in range(180)] + [""] * 20
    rows = write_rows(tmp_path, amounts)
    assert main(["calibrate", str(bundle.parent), str(rows), "--allow-few"]) == 0
    folder = bundle.parent / "2"
    columns = read_columns(folder, read_detector(folder))
    assert columns is not None
    assert columns[0].edges.real.tolist() == [-3.0] * 20 + [float(a) for a in amounts[:180]]


def test_rows_are_compared_by_the_hour_of_their_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_detector_bundle(tmp_path / "store", scores=None)
    manifest = read_detector(bundle)
    columns = [column.model_dump(mode="json") for column in manifest.named_columns]
    columns[3]["features"] = ["weekday"]
    edit(bundle, columns=columns)
    days = [f"2024-01-{1 + i % 28:02}" for i in range(300)]
    lines = [f"{i / 1000},0.3,FR,{day}" for i, day in enumerate(days)]
    rows = tmp_path / "rows.csv"
    rows.write_text("\n".join(["amount,count,country,seen", *lines]) + "\n")
    assert main(["calibrate", str(bundle.parent), str(rows)]) == 0
    said = "drift is tested by the hour of the week, by column 'seen'"
    assert said in capsys.readouterr().out
    folder = bundle.parent / "2"
    hours = read_hours(folder, read_detector(folder))
    assert hours is not None
    assert (hours.column, hours.cycle, len(hours.hours)) == (3, 168, 7)
    # rows that are too few for hours leave none of the version before
    rows.write_text("\n".join(["amount,count,country,seen", *lines[:120]]) + "\n")
    assert main(["calibrate", str(bundle.parent), str(rows)]) == 0
    folder = bundle.parent / "3"
    assert read_hours(folder, read_detector(folder)) is None


def test_rows_are_compared_within_the_classes_of_the_context(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_detector_bundle(tmp_path / "store", context=True, scores=None)
    groups = ["a"] * 30 + ["b"] * 10
    rows = write_rows(tmp_path, ["0.5"] * 40, ",group", groups)
    assert main(["calibrate", str(bundle.parent), str(rows)]) == 0
    manifest = read_detector(bundle.parent / "2")
    assert manifest.calibration is not None
    assert manifest.calibration.by == "group"
    calibration = read_calibration(bundle.parent / "2", manifest)
    assert calibration is not None
    assert calibration.class_codes == [0.0, 1.0]
    assert "group 'b': 10 rows, the smallest p-value is 0.091" in capsys.readouterr().out


def test_of_classes_that_are_too_large_for_the_file_a_sketch_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 10
    monkeypatch.setattr(calibration_file, "MAX_CALIBRATION_BYTES", 128 + 2 * 24 * most)
    bundle = write_detector_bundle(tmp_path / "store", context=True, scores=None)
    amounts = [str(i / 8) for i in range(80)]
    rows = write_rows(tmp_path, amounts, ",group", ["a", "b"] * 40)
    assert main(["calibrate", str(bundle.parent), str(rows)]) == 0
    calibration = read_calibration(bundle.parent / "2", read_detector(bundle.parent / "2"))
    assert calibration is not None
    assert calibration.rows == 80
    assert len(calibration.scores) == 2 * most


@pytest.mark.parametrize("classes", [None, 1, 3, 40])
@pytest.mark.parametrize("rows", [1, 30, 1000])
def test_no_calibration_is_larger_than_what_a_server_reads(
    classes: int | None, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    most_bytes = 128 + 24 * 200
    monkeypatch.setattr(calibration_file, "MAX_CALIBRATION_BYTES", most_bytes)
    random = np.random.default_rng(0)
    of = None if classes is None else random.integers(0, classes, rows).astype(float)
    calibration = calibration_of(random.normal(size=rows), of)
    assert calibration.rows == rows
    assert len(calibration_bytes(calibration)) <= most_bytes
    assert len(calibration.scores) >= min(rows, 200) / 2


@pytest.mark.parametrize(
    ("rows", "odd", "code"),
    [(2, 0, 1), (18, 0, 1), (19, 0, 0), (98, 0, 0), (99, 0, 0), (40, 2, 1), (99, 1, 0)],
)
def test_rows_that_are_too_few_for_an_alarm_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: int, odd: int, code: int
) -> None:
    bundle = write_detector_bundle(tmp_path / "store", scores=None)
    amounts = [str(i / 8) for i in range(rows - odd)] + [""] * odd  # of which the latter cannot be
    file = write_rows(tmp_path, amounts)
    assert main(["calibrate", str(bundle), str(file)]) == code
    said, least = capsys.readouterr(), (1 + odd) / (rows + 1)
    assert (bundle.parent / "2").exists() == (code == 0) == (least <= 0.05)
    if code:
        assert f"by these {rows} rows no p-value is below {least:.2g}" in said.err
        assert "expected 19 rows that can occur, better 99 or more; --allow-few" in said.err
        assert main(["calibrate", str(bundle), str(file), "--allow-few"]) == 0
        said = capsys.readouterr()
    is_warned = f"warning: {rows} rows: an alpha from {least:.2g} on can be reached" in said.err
    assert is_warned == (least > 0.01)
    assert ("which cannot occur" in said.out) == (odd > 0)


@pytest.mark.parametrize(
    ("amounts", "columns", "said"),
    [
        (["0.5", "much"], "", "row 1"),
        ([], "", "there are no rows"),
        (["0.5"], ",more", "line 2"),
    ],
)
def test_rows_that_calibrate_nothing_are_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    amounts: list[str],
    columns: str,
    said: str,
) -> None:
    bundle = write_detector_bundle(tmp_path / "store", scores=None)
    rows = write_rows(tmp_path, amounts, columns)
    assert main(["calibrate", str(bundle), str(rows)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("bijecta: ")
    assert said in error
    assert len(error.splitlines()) == 1
    assert [path.name for path in bundle.parent.iterdir()] == ["1"]


def test_differences_are_paired(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write_detector_bundle(tmp_path / "store", "one")
    b = write_detector_bundle(tmp_path / "store", "two")
    amounts = [str(i / 10) for i in range(20)]
    labels = ["yes" if i > 15 else "no" for i in range(20)]
    rows = write_rows(tmp_path, amounts, ",odd", labels)
    assert main(["compare", str(a), str(b), "--data", str(rows), "--labels", "odd"]) == 0
    said = capsys.readouterr().out
    assert "one/1 less two/1, on the 20 rows of rows.csv" in said
    assert "nats per row: +0.0000 ± 0.0000" in said
    assert "AUROC 1.0000 ± 0.0000 and 1.0000 ± 0.0000, of 4 anomalies: +0.0000 ± 0.0000" in said
    c = write_detector_bundle(tmp_path / "store", "three", arrays=True)
    assert main(["compare", str(a), str(c), "--data", str(rows)]) == 1
    assert main(["compare", str(a), str(b), "--data", str(rows), "--labels", "none"]) == 1
    assert "there is no column 'none'" in capsys.readouterr().err
