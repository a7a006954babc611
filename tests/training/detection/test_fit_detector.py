"""`bijecta fit-detector`: what it trains on, what it keeps, and what it refuses."""

import re
from pathlib import Path

import numpy as np
import pytest

from service.bundle import DetectorManifest, read_calibration, read_detector
from service.cli import main
from service.operations import no_neighbours
from tests.helpers.fitted_detectors import small_parts
from training.detectors import CONFIGURATIONS

NAMES = {k: [part.name for part in parts] for k, parts in CONFIGURATIONS.items()}
"""Of the parts of a configuration, before they are made small."""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    small_parts(monkeypatch)


def write_table(folder: Path, labels: tuple[str, str] | None = ("no", "yes"), n: int = 80) -> Path:
    """A table of normal rows, and eight anomalies of a class and currency of their own.

    Normal rows have one currency, which is left out where they alone train.
    """
    random = np.random.default_rng(0)
    lines = ["size,colour,branch,currency" + ",odd" * (labels is not None)]
    for i in range(n):
        odd = i >= n - 8
        cells = [f"{random.normal():.6f}", "purple" if odd else ["red", "blue"][i % 2]]
        cells += ["ab"[i // 2 % 2], "USD" if odd else "EUR"]
        lines.append(",".join([*cells, *([labels[odd]] if labels else [])]))
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def fit(table: Path, *options: str, code: int = 0) -> DetectorManifest | None:
    folder = table.parent
    arguments = ["fit-detector", str(table), "--name", "odd", "--store", str(folder / "store")]
    assert main([*arguments, "--out", str(folder / "run"), *options]) == code
    versions = sorted((folder / "store" / "odd").glob("*/")) if code == 0 else []
    return read_detector(versions[-1]) if versions else None


def test_parts_have_names_of_their_own() -> None:
    assert NAMES["clean"][:2] == ["nearest in standard units", "nearest in robust units"]
    assert all(len(set(names)) == len(names) > 1 for names in NAMES.values())


def test_anomalies_never_train_a_clean_detector(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = fit(write_table(tmp_path), "--labels", "odd")
    assert manifest is not None
    assert manifest.column_names == ["size", "colour", "branch"]
    assert manifest.calibration is not None
    assert manifest.calibration.rows == manifest.held_out.rows == 72
    # the class that anomalies alone have is none of the column's
    assert "purple" not in manifest.model_dump_json()
    labelled = manifest.held_out.labelled
    assert labelled is not None
    assert (labelled.rows, labelled.anomalies) == (80, 8)
    assert labelled.auroc.mean == 1  # by their currency, which no normal row has
    assert set(labelled.recall) == {"0.01", "0.05"}
    said = capsys.readouterr()
    assert "score: the log of the weighted mean of 1 / p over the parts" in said.out
    assert "72 rows by members that did not see them: p-values from 0.014" in said.out
    assert "odd/1: 72 rows: an alpha from 0.014 on can be reached" in said.err


def test_anomalies_are_among_the_rows_of_a_contaminated_detector(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--labels", "odd", "--contaminated", "--within", "branch")
    manifest = fit(write_table(tmp_path, ("0", "1")), *options)
    assert manifest is not None
    assert manifest.configuration == "contaminated"
    assert manifest.calibration is not None
    assert manifest.calibration.rows == 80
    assert manifest.calibration.by == "branch"
    folder = tmp_path / "store" / "odd" / "1"
    calibration = read_calibration(folder, manifest)
    assert calibration is not None
    assert calibration.class_codes == [0.0, 1.0]
    said = capsys.readouterr()
    assert "8 of 80 rows are anomalies by column 'odd', and train too" in said.out
    assert "score: the weighted sum of the parts" in said.out
    # the smallest p-values are those within the classes, not 1 / 81
    assert "members that did not see them, within the classes of 'branch'\n" in said.out
    assert "branch 'a': 40 rows, the smallest p-value is 0.024: no alarm at 1 %, 0.1 %" in said.out
    assert "branch 'b': 40 rows: an alpha from 0.024 on can be reached; 0.01 needs 99" in said.err
    # the same command finds what is there, and another one does not overwrite it
    fit(tmp_path / "table.csv", *options)
    assert "holds this detector already" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "store" / "odd").iterdir()] == ["1"]
    fit(tmp_path / "table.csv", *options, "--seed", "1", code=1)
    assert "of other options: choose another --name or --out" in capsys.readouterr().err


def test_the_command_that_reasons_name_gives_a_bundle_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    density = [part for part in CONFIGURATIONS["clean"] if not part.indexed_rows]
    monkeypatch.setitem(CONFIGURATIONS, "clean", density)
    table = write_table(tmp_path, None)
    silent = fit(table, "--no-values")
    assert silent is not None
    assert not silent.neighbours
    (command,) = re.findall("`bijecta (.*)`", no_neighbours(silent))
    given = {"TABLE": str(table), "STORE": str(tmp_path / "store")}
    words = [given.get(word, word) for word in command.split()]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    assert read_detector(tmp_path / "store" / "odd" / "2").neighbours


@pytest.mark.parametrize(
    ("labels", "options", "said"),
    [
        (("good", "bad"), ["--labels", "odd"], "'odd' of labels holds 'good', 'bad': expected one"),
        (("", "1"), ["--labels", "odd"], "line 2: no label in column 'odd'"),
        (("1", "1"), ["--labels", "odd"], "labels every row as an anomaly"),
        (("0", "1"), ["--labels", "label"], "has no column 'label': the columns are size, colour"),
        (("0", "1"), ["--within", "size"], "column 'size' of labels holds"),
        (("0", "1"), ["--context", "colour"], "context column 'colour' holds words"),
        (("0", "1"), ["--no-values"], "compares rows with"),
        (("0", "1"), ["--name", "A B"], "a bundle's name matches"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    labels: tuple[str, str],
    options: list[str],
    said: str,
) -> None:
    fit(write_table(tmp_path, labels), *options, code=1)
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("bijecta: ")
    assert not (tmp_path / "store").exists()
