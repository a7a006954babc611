"""Bundles: verified, numbered, whole, and refused when they are not what they should be."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from models.flow import Flow
from service import bundle
from tests.conftest import run_bijecta
from training import data, evaluate, export, verify
from training.checkpoint import Run
from training.errors import ExportError


def test_the_manifest_says_what_was_measured(store: Path, runs: Path) -> None:
    manifest = bundle.read(store / "digits-maf" / "1")
    figures = json.loads((runs / "digits-maf" / "evaluation.json").read_text())
    assert manifest.held_out.model_dump() == figures
    assert manifest.held_out.noise_copies == 10
    assert manifest.support is None  # soft-logit has none
    assert manifest.dequantization is not None
    assert (manifest.dequantization.columns, manifest.dequantization.high) == (None, 16.0)
    for name, bar in verify.BARS.items():
        assert 0 <= getattr(manifest.tolerances, name) <= bar
    assert manifest.tolerances.batch_sizes == [1, 17, 256]
    quantiles = manifest.calibration.log_prob
    assert len(quantiles) == len(manifest.calibration.levels) == 201
    assert all(q is not None for q in quantiles)
    nice = bundle.read(store / "digits-nice" / "1")
    assert nice.support is not None
    assert nice.support.low == pytest.approx(-0.67)
    assert (nice.base, nice.spherical) == ("logistic", False)


def test_calibration_is_of_rows_as_clients_send_them(store: Path, runs: Path) -> None:
    run = Run.open(runs / "digits-maf")
    rows = data.load(run.file.recipe.data).test
    session = onnxruntime.InferenceSession(store / "digits-maf" / "1" / "encode.onnx")
    scores = session.run(None, {"x": rows})[1]
    calibration = bundle.read(store / "digits-maf" / "1").calibration
    assert calibration.rows == len(rows)
    np.testing.assert_allclose(
        np.quantile(scores, calibration.levels), np.array(calibration.log_prob, float), atol=1e-2
    )


def test_each_export_is_a_new_version_and_an_old_one_stays(runs: Path, tmp_path: Path) -> None:
    for expected in (1, 2):
        done = run_bijecta(
            "export", runs / "moons-maf", "--store", tmp_path, "--name", "twice", cwd=runs
        )
        assert done.returncode == 0, done.stderr
        assert f"twice/{expected}: log_prob within" in done.stdout
    assert bundle.versions(tmp_path / "twice") == [1, 2]
    for version in (1, 2):
        assert bundle.read(tmp_path / "twice" / str(version)).version == version
    assert sorted(p.name for p in (tmp_path / "twice").iterdir()) == ["1", "2"]


def test_a_graph_that_misses_its_flow_is_not_written(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.open(runs / "moons-maf")
    dataset = data.load(run.file.recipe.data)
    figures = evaluate.evaluate(run, dataset)
    sound = export.graph

    def slightly_wrong(flow: Flow, source: str, target: str) -> bytes:
        changed = copy.deepcopy(flow)
        with torch.no_grad():
            for parameter in changed.parameters():
                parameter.mul_(1.001)
        return sound(changed, source, target)

    monkeypatch.setattr(export, "graph", slightly_wrong)
    with pytest.raises(ExportError, match=r"log_prob_per_dim_p99 .* .bar 1e-05"):
        export.export(run, dataset, figures, tmp_path, "wrong")
    assert not list(tmp_path.rglob("*"))


def test_names_and_moved_data_are_checked(runs: Path, tmp_path: Path) -> None:
    run = runs / "moons-maf"
    named = run_bijecta("export", run, "--store", tmp_path, "--name", "Up/../per", cwd=runs)
    assert named.returncode == 1
    assert "a bundle's name matches" in named.stderr
    np.save(tmp_path / "other.npy", np.random.default_rng(0).normal(size=(50, 2)))
    moved = run_bijecta(
        "export", run, "--store", tmp_path, "--data", tmp_path / "other.npy", cwd=runs
    )
    assert moved.returncode == 1
    assert "is not the data of" in moved.stderr


def test_a_file_of_rows_goes_all_the_way(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(600, 3)) @ rng.normal(size=(3, 3)) + [10, 0, -5]
    lines = "\n".join(",".join(f"{v:.6f}" for v in row) for row in rows)
    (tmp_path / "rows.csv").write_text(f"a,b,c\n{lines}\n")
    (tmp_path / "mine.toml").write_text(
        '[flow]\nfamily = "realnvp"\ntransforms = 2\nhidden = [16]\n[fit]\nepochs = 2\n'
    )
    for command in (
        ["train", "mine.toml", "--data", "rows.csv"],
        ["evaluate", "runs/mine"],
        ["export", "runs/mine", "--store", "store"],
    ):
        done = run_bijecta(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    manifest = bundle.read(tmp_path / "store" / "mine" / "1")
    assert manifest.data.name == "rows.csv"
    assert manifest.dequantization is None
    shutil.move(tmp_path / "rows.csv", tmp_path / "moved.csv")
    done = run_bijecta("evaluate", "runs/mine", cwd=tmp_path)
    assert done.returncode == 1
    assert "no data file at" in done.stderr
    done = run_bijecta("evaluate", "runs/mine", "--data", "moved.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
