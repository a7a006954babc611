"""Bundles of detectors: their graphs are the detectors, and the service loads them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from service.bundle import read_columns, read_detector
from service.metrics import Metrics
from service.runtime import Cancellation, Device
from service.settings import ModelSettings
from service.store import Loader
from tests.helpers.fitted_detectors import small_parts, small_run
from training.detectors import CONFIGURATIONS, Detector, DetectorRun
from training.errors import ExportError, RunError
from training.export import export_detector
from training.export.detector import graphs, verify


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    small_parts(monkeypatch)


@pytest.mark.parametrize("context", [False, True])
def test_the_service_answers_as_the_detector(tmp_path: Path, context: bool) -> None:
    run, held_out = small_run(tmp_path / "run", context)
    detector = DetectorRun.open(run.folder).fitted().detector
    folder, manifest = export_detector(run, detector, held_out, tmp_path / "store", "small")
    loader = Loader(Device.choose("cpu"), lambda _: ModelSettings.model_validate({}), Metrics())
    model = loader.load(folder, Cancellation())
    x = held_out.rows[:5]
    known = None if held_out.context is None else held_out.context.values[:5].astype(np.float64)
    said = model.engine.try_run(
        "score", {"x": x} | ({} if known is None else {"context": known}), ("score", "log_prob")
    )
    model.engine.close()
    inputs = [torch.from_numpy(v) for v in (x, known) if v is not None]
    for name, expected in zip(("score", "log_prob"), detector(*inputs), strict=True):
        np.testing.assert_allclose(said[name], expected.numpy(), atol=1e-8)
    assert model.calibration is not None
    assert model.calibration.rows == len(held_out.score)
    classes = np.zeros(5) if context else None
    assert (model.calibration.p_values(said["score"], classes=classes) > 1 / 61).any()
    assert model.calibration.class_codes == ([0.0, 1.0] if context else [])
    assert manifest == read_detector(folder)
    assert len(read_columns(folder, manifest) or ()) == x.shape[1]
    assert manifest.calibration is not None
    assert manifest.calibration.by == ("branch" if context else None)


def test_a_graph_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, held_out = small_run(tmp_path / "run")
    detector, other = (run.fitted().detector for _ in range(2))
    assert isinstance(other, Detector)
    other.references[:, 0] += 1.0
    other.parts[0].rows[:] += 1.0  # type: ignore[operator, index]
    monkeypatch.setattr(verify, "score_graph", lambda _: graphs.score_graph(other))
    monkeypatch.setattr(verify, "neighbours_graph", lambda _: graphs.neighbours_graph(other))
    with pytest.raises(ExportError, match=r"score .* \(bar 1e-04\).*neighbours farther by inf"):
        export_detector(run, detector, held_out, tmp_path / "store", "small")
    assert not (tmp_path / "store").exists()


def test_without_values_a_detector_that_holds_rows_is_refused(tmp_path: Path) -> None:
    run, held_out = small_run(tmp_path / "run")
    detector = run.fitted().detector
    with pytest.raises(ExportError, match="40 rows of the data, in its parts nearest;"):
        export_detector(run, detector, held_out, tmp_path, "small", values=False)


def test_without_values_a_bundle_has_no_reasons_and_no_self_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CONFIGURATIONS, "clean", CONFIGURATIONS["clean"][1:])
    run, held_out = small_run(tmp_path / "run")
    detector = run.fitted().detector
    _, manifest = export_detector(run, detector, held_out, tmp_path, "small", values=False)
    assert manifest.neighbours == 0
    assert manifest.self_test is None
    assert manifest.raw_values == ["classes", "ranges"]


def test_damaged_runs_are_refused(tmp_path: Path) -> None:
    run, _ = small_run(tmp_path / "run")
    save_file({"score": load_file(run.scores)["score"]}, run.scores)
    with pytest.raises(RunError, match=r"scores\.safetensors is damaged: it holds \['score'\]"):
        run.fitted()
    run.weights.write_bytes(b"no tensors")
    with pytest.raises(RunError, match=r"weights\.safetensors is damaged"):
        run.fitted()
    (run.folder / "run.json").write_text('{"kind": "flow"}')
    with pytest.raises(RunError, match="is of no detector: kind"):
        DetectorRun.open(run.folder)
    with pytest.raises(RunError, match="no detector at"):
        DetectorRun.open(tmp_path)
