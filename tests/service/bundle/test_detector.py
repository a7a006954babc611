"""Bundles of detectors: read as they were written, loaded, and refused where they are damaged."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service import bundle
from service.bundle import BundleError, DetectorManifest
from service.conformal import Calibration
from service.metrics import Metrics
from service.runtime import Cancellation, Device
from service.settings import ModelSettings
from service.store import Loader, Model
from tests.helpers.detectors import SCORES, write_detector_bundle
from tests.helpers.stores import edit

Content = dict[str, Any]


def load(path: Path) -> Model:
    loader = Loader(Device.choose("cpu"), lambda _: ModelSettings.model_validate({}), Metrics())
    model = loader.load(path, Cancellation())
    model.engine.close()
    return model


@pytest.mark.parametrize("options", [{}, {"context": True}, {"arrays": True}])
def test_a_detector_is_read_as_it_was_written(tmp_path: Path, options: dict[str, bool]) -> None:
    path = write_detector_bundle(tmp_path, **options)  # type: ignore[arg-type]
    manifest = bundle.read_detector(path)
    written = json.loads(manifest.model_dump_json())
    assert DetectorManifest.model_validate(written) == manifest
    model = load(path)
    assert model.calibration is not None
    assert model.calibration.scores.tolist() == SCORES
    with pytest.raises(BundleError, match="kind detector; expected a flow"):
        bundle.read_flow(path)


def test_a_detector_loads_without_reasons_and_without_a_calibration(tmp_path: Path) -> None:
    model = load(write_detector_bundle(tmp_path, neighbours=False, scores=None))
    assert model.calibration is None
    assert model.detector is not None
    assert model.detector.neighbours == 0


@pytest.mark.parametrize("classes", [None, [0.0] * 150 + [1.0] * 150, [0.0] * 300])
def test_a_sketch_of_many_scores_is_read_as_it_was_written(
    tmp_path: Path, classes: list[float] | None
) -> None:
    scores = [float(i) for i in range(300)]
    has_classes = classes is not None
    options = {"context": has_classes, "scores": scores, "classes": classes, "most": 100}
    calibration = load(write_detector_bundle(tmp_path, **options)).calibration  # type: ignore[arg-type]
    assert calibration is not None
    assert (calibration.rows, calibration.has_classes) == (300, has_classes)
    assert calibration.counts is not None
    assert calibration.counts.sum() == 300


def test_classes_of_a_calibration_are_those_of_the_context(tmp_path: Path) -> None:
    path = write_detector_bundle(tmp_path, context=True, scores=[1.0, 2.0, 3.0], classes=[1, 0, 1])
    calibration = load(path).calibration
    assert calibration is not None
    assert calibration.class_codes == [0.0, 1.0]
    classes = np.array([0.0, 0.0, 2.0])
    other = Calibration.of(np.array([1.0, 2.0, 3.0]), classes)
    with pytest.raises(BundleError, match="class 2"):
        load(put(path, other.to_array()))
    with pytest.raises(BundleError, match="it has classes, or none"):
        load(put(path, np.array([1.0, 2.0, 3.0])))


def put(path: Path, array: Any) -> Path:
    """Put another array in the place of the calibration."""
    np.save(path / "calibration.npy", array)
    sealed(path)
    return path


def sealed(path: Path) -> None:
    """The checksums of the files as they are."""
    files = json.loads((path / "manifest.json").read_text())["files"]
    edit(path, files={name: bundle.sha256(path / name) for name in files})


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array(SCORES, np.float32), "of float64 numbers"),
        (np.array(SCORES, ">f8"), "of float64 numbers"),
        (np.array(SCORES[::-1]), "ascending order"),
        (np.array([*SCORES, np.nan]), "ascending order"),
        (np.array([SCORES]), r"expected m scores, or 2 or 3 × m values"),
        (np.array(SCORES[1:]), "it is of 18 rows, the manifest says 19"),
        (np.array([*SCORES], object), "of float64 numbers"),
        (np.asfortranarray(np.array([SCORES, SCORES])), "row by row"),
    ],
)
def test_damaged_calibrations_are_refused(tmp_path: Path, array: Any, words: str) -> None:
    path = write_detector_bundle(tmp_path)
    with pytest.raises(BundleError, match=f"detector/1/calibration.npy is damaged: .*{words}"):
        load(put(path, array))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "damaged"),
        (b"\x93NUMPY\x01\x00", "damaged"),
        (b"\x93NUMPY\x02\x00\x10\x00\x00\x00" + b" " * 16, "damaged"),
        (b"\x93NUMPY\x01\x00\xff\xff{" + b"(" * 65533, "damaged"),
    ],
)
def test_files_that_are_no_arrays_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = write_detector_bundle(tmp_path)
    (path / "calibration.npy").write_bytes(content)
    sealed(path)
    with pytest.raises(BundleError, match=words):
        load(path)


def test_a_shape_of_more_numbers_than_there_are_takes_no_memory(tmp_path: Path) -> None:
    path = write_detector_bundle(tmp_path)
    file = path / "calibration.npy"
    content = file.read_bytes()
    assert b"(19,), }        " in content
    file.write_bytes(content.replace(b"(19,), }        ", b"(9999999999,), }"))
    sealed(path)
    with pytest.raises(BundleError, match="not the 152 bytes"):
        load(path)


def test_altered_and_missing_calibrations_are_refused(tmp_path: Path) -> None:
    path = write_detector_bundle(tmp_path)
    before = bundle.fingerprint(path)
    np.save(path / "calibration.npy", np.array(SCORES) + 1)
    assert bundle.fingerprint(path) != before
    with pytest.raises(BundleError, match=r"calibration\.npy is altered"):
        load(path)
    (path / "calibration.npy").unlink()
    with pytest.raises(BundleError, match=r"calibration\.npy is missing"):
        load(path)


def unlisted(manifest: Content) -> None:
    del manifest["files"]["calibration.npy"]


def encode(manifest: Content) -> None:
    manifest["graphs"]["encode"] = manifest["graphs"]["score"]


def no_score(manifest: Content) -> None:
    del manifest["graphs"]["score"]


def many_neighbours(manifest: Content) -> None:
    manifest["graphs"]["neighbours"]["outputs"]["values"]["row_shape"][-1] = 65


def flat_neighbours(manifest: Content) -> None:
    manifest["graphs"]["neighbours"]["outputs"]["values"]["row_shape"] = [4]


def other_shape(manifest: Content) -> None:
    manifest["event_shape"] = [5]


def no_context(manifest: Content) -> None:
    manifest["calibration"]["by"] = "group"


def levels(manifest: Content) -> None:
    manifest["calibration"]["levels"] = [0.0, 0.5, 0.5, 0.75, 1.0]


def quantiles(manifest: Content) -> None:
    manifest["calibration"]["score"].pop()


def unsaid_rows(manifest: Content) -> None:
    manifest["raw_values"].remove("indexed_rows")


def other_score(manifest: Content) -> None:
    manifest["self_test"]["score"] += 0.1


def other_log_prob(manifest: Content) -> None:
    manifest["self_test"]["log_prob"] += 0.1


def other_k(manifest: Content) -> None:
    manifest["graphs"]["neighbours"]["outputs"]["values"]["row_shape"] = [4, 3]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (unlisted, "lists no checksum for calibration.npy"),
        (encode, "graphs are score and, if any, neighbours"),
        (no_score, "graphs are score and, if any, neighbours"),
        (many_neighbours, "neighbours are 1 to 64"),
        (flat_neighbours, "neighbours is to take x and to give values"),
        (other_shape, r"event shape \[5\]"),
        (no_context, "'group' is no label of context"),
        (levels, "levels: expected numbers from 0 to 1, ascending"),
        (quantiles, "score has 4 quantiles for 5 levels"),
        (unsaid_rows, "raw_values: the bundle carries"),
        (other_score, "fails its self-test on this device: score"),
        (other_log_prob, "fails its self-test on this device: log_prob"),
        (other_k, "neighbours.onnx has values of"),
    ],
)
def test_manifests_that_contradict_their_files_are_refused(
    tmp_path: Path, change: Callable[[Content], None], words: str
) -> None:
    path = write_detector_bundle(tmp_path)
    manifest: Content = json.loads((path / "manifest.json").read_text())
    change(manifest)
    edit(path, **manifest)
    with pytest.raises(BundleError, match=words):
        load(path)


def test_rows_of_arrays_are_tested_by_numbers_alone(tmp_path: Path) -> None:
    path = write_detector_bundle(tmp_path, arrays=True)
    test = json.loads((path / "manifest.json").read_text())["self_test"]
    for row in ([None] * 6, ["a"] * 6, [0.5] * 5):
        edit(path, self_test=test | {"row": row})
        with pytest.raises(BundleError, match="self_test holds no row"):
            load(path)
