"""`bijecta fit-detector` on images, sounds and plain arrays: what it reads, keeps and refuses."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.io import wavfile
from sklearn.datasets import load_digits

from bijecta_client import Client
from service.bundle import DetectorManifest, read_detector
from service.cli import main
from tests.helpers.servers import Serve
from training.detectors import DetectorRun
from training.detectors.arrays import fit as fitting
from training.detectors.arrays.configurations import FLOW

SMALL = FLOW.model_copy(update={"options": {"transforms": 1, "hidden": (4,)}, "steps": 1})


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "FLOW", SMALL)


def digits(n: int) -> np.ndarray:
    order = np.random.default_rng(0).permutation(1797)
    images: np.ndarray = load_digits().images[order[:n]].astype(np.uint8)
    return images


def fit(path: Path, *options: str, code: int = 0) -> DetectorManifest | None:
    folder = path.parent
    arguments = ["fit-detector", str(path), "--name", "odd", "--store", str(folder / "store")]
    assert main([*arguments, "--out", str(folder / "run"), *options]) == code
    return read_detector(folder / "store" / "odd" / "1") if code == 0 else None


def test_labels_measure_a_detector_of_images_and_never_train_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "images.npz"
    images = digits(80)
    images[70:] = 16 - images[70:]
    np.savez(path, images=images, odd=np.repeat([0, 1], [70, 10]))
    manifest = fit(path, "--labels", "odd")
    assert manifest is not None
    assert (manifest.columns, manifest.event_shape, manifest.neighbours) == (None, [8, 8], 0)
    assert [part.indexed_rows for part in manifest.parts] == [70, 70]
    assert manifest.calibration is not None
    assert manifest.calibration.rows == manifest.held_out.rows == 70
    labelled = manifest.held_out.labelled
    assert labelled is not None
    assert (labelled.rows, labelled.anomalies) == (80, 10)
    assert labelled.auroc.mean > 0.99
    assert manifest.raw_values == ["indexed_rows", "self_test"]
    assert sorted(manifest.files) == ["calibration.npy", "score.onnx"]
    said = capsys.readouterr().out
    assert "images.npz: 80 arrays of shape [8, 8]" in said
    assert "10 of 80 rows are anomalies by column 'odd', and are left out of training" in said
    # the run holds the same detector
    found = DetectorRun.open(tmp_path / "run").fitted()
    assert manifest.self_test is not None
    row = np.array(manifest.self_test.row, np.float64).reshape(1, 8, 8)
    assert found.detector.scores(row)[0] == manifest.self_test.score
    fit(path, "--labels", "odd")
    assert "holds this detector already" in capsys.readouterr().out


def write_wav(path: Path) -> Path:
    path.mkdir()
    sound = np.random.default_rng(0).integers(-999, 999, 400).astype(np.int16)
    wavfile.write(path / "a.wav", 8000, sound)
    return path


def write_csv(path: Path) -> Path:
    rows = np.random.default_rng(0).normal(size=(20, 4))
    path.write_text("a,b,c,d\n" + "\n".join(",".join(map(str, row)) for row in rows))
    return path


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("sounds", ["--window", "16"], [16]),
        ("rows.csv", ["--shape", "2,2", "--contaminated"], [2, 2]),
    ],
)
def test_sounds_and_numbers_of_a_shape_are_arrays(
    tmp_path: Path, name: str, options: list[str], shape: list[int]
) -> None:
    path = tmp_path / name
    manifest = fit(write_wav(path) if name == "sounds" else write_csv(path), *options)
    assert manifest is not None
    assert (manifest.columns, manifest.event_shape) == (None, shape)
    assert manifest.configuration == ("clean" if name == "sounds" else "contaminated")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--keep", "0"], "--keep is of tables, whose columns have names"),
        (["--kind", "0=numeric"], "--kind is of tables"),
        (["--within", "0"], "--within is of tables"),
        (["--context", "0"], "--context is of tables"),
        (["--header", "true"], "--header is of tables"),
        (["--drop", "99"], "cannot drop ['99']"),
        (["--shape", "1,4"], "a row holds 9 numbers, shape [1, 4] has 4"),
        (["--labels", "y"], "no column 'y' of labels"),
        (["--window", "4"], "window is a key of sources of kind sounds"),
        (["--no-values"], "compares rows with"),
    ],
)
def test_what_is_not_of_arrays_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    path = tmp_path / "images.npy"
    np.save(path, np.random.default_rng(0).normal(size=(12, 3, 3)))
    fit(path, *options, code=1)
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("bijecta: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_sounds_need_a_window(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(write_wav(tmp_path / "sounds"), code=1)
    assert "holds sounds: --window SAMPLES says the length" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (np.full((12, 3, 3), 7), "the rows are all alike"),
        (np.arange(27.0).reshape(3, 3, 3), "at least 10 rows, got 3"),
        (np.where(np.arange(108).reshape(12, 3, 3) == 13, np.nan, 1.0), "row 1: value [1, 1] is"),
        (np.full((12, 3, 3), "black"), "expected numbers, the data holds"),
        (np.zeros((0, 3, 3)), "at least 10 rows, got 0"),
    ],
)
def test_arrays_that_no_detector_fits_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: np.ndarray, said: str
) -> None:
    path = tmp_path / "images.npy"
    np.save(path, rows)
    fit(path, code=1)
    assert said in capsys.readouterr().err


@pytest.mark.long
def test_images_are_scored_over_http_and_in_files(tmp_path: Path, serve: Serve) -> None:
    """From an array to p-values: in JSON, npy and Arrow, by files, and calibrated anew."""
    path = tmp_path / "digits.npy"
    images = digits(1400).astype(np.float64)
    np.save(path, images[:800])
    assert fit(path) is not None
    normal, odd = images[800:1000], 16 - images[800:810]
    server = serve("--store", tmp_path / "store")
    http = server.client
    with Client(str(http.base_url), "odd") as client:
        scored = client.score(np.concatenate([normal, odd]), alpha=0.02)
        assert scored.anomaly[200:].all()
        assert scored.anomaly[:200].sum() <= 12
        found = client.score(np.concatenate([normal, odd]), fdr=0.1)
        assert found.anomaly[200:].all()
        assert client.log_prob(normal).shape == (200,)
    said = http.post("/score", json={"model": "odd", "x": normal[:3].tolist()}).json()
    np.testing.assert_allclose(said["score"], scored.score[:3])
    buffer = io.BytesIO()
    np.save(buffer, normal[:3])
    headers = {"content-type": "application/x-npy", "accept": "application/json"}
    answer = http.post("/score?model=odd", content=buffer.getvalue(), headers=headers)
    np.testing.assert_allclose(answer.json()["p_value"], scored.p_value[:3])
    flat = pa.FixedSizeListArray.from_arrays(pa.array(normal[:3].ravel()), 64)
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, pa.schema([("x", flat.type)])) as writer:
        writer.write_table(pa.table({"x": flat}))
    headers["content-type"] = "application/vnd.apache.arrow.stream"
    answer = http.post("/score?model=odd", content=stream.getvalue(), headers=headers)
    np.testing.assert_allclose(answer.json()["score"], scored.score[:3])
    for content, detail in [
        ({"x": normal[0].tolist()}, "expected N × 8 × 8 numbers, got shape (8, 8)"),
        ({"x": normal[:2].tolist(), "reasons": 1}, "is of arrays of shape [8, 8], of which"),
        ({"rows": [{"a": 1}]}, "is no model of typed columns"),
    ]:
        refused = http.post("/score", json={"model": "odd", **content})
        assert refused.status_code == 422
        assert detail in refused.json()["detail"]
    watch = http.get("/models/odd/watch").json()
    assert watch["rows"] > 400
    lists = pa.FixedSizeListArray.from_arrays(pa.array(images[1000:].ravel()), 64)
    pq.write_table(pa.table({"id": range(400), "x": lists}), tmp_path / "new.parquet")
    bundle, out = str(tmp_path / "store" / "odd"), tmp_path / "out.ndjson"
    options = [str(tmp_path / "new.parquet"), "--keep", "id", "--out", str(out)]
    assert main(["score", bundle, *options]) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["id"] for line in lines] == [*range(400)]
    assert np.mean([line["anomaly"] for line in lines]) < 0.1
    assert main(["calibrate", bundle, str(tmp_path / "new.parquet")]) == 0
    manifest = read_detector(tmp_path / "store" / "odd" / "2")
    assert manifest.calibration is not None
    assert manifest.calibration.rows == 400
    assert "columns.npy" not in manifest.files
