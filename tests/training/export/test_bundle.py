"""Bundles: verified, numbered, whole, and refused when they are not what they should be."""

import copy
import json
import math
import shutil
import subprocess
import sys
import time
import typing
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from models import zoo
from models.flow import Flow
from service import bundle
from service.bundle import BASES, Direction, Manifest, RunCost
from service.operations import noise
from service.runtime import Device, batch_rows
from service.runtime.run_cost import RunFigures
from tests.helpers.bundles import write_bundle
from tests.helpers.recipes import call_bijecta
from tests.laws.zoo_table import FLOWS, SMALL, Line
from training import evaluate
from training.data import load as data
from training.errors import ExportError
from training.export import bundle as export
from training.export import round_trip, served_graph, verify
from training.export.graphs import Draft, draft
from training.export.reference import Expected
from training.export.served_graph import ServedGraph
from training.export.verify import Errors
from training.runs.run import Run


def test_the_manifest_says_what_was_measured(store: Path, runs: Path) -> None:
    manifest = bundle.read_flow(store / "digits-maf" / "1")
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
    assert (nice.base, nice.base_density.spherical) == ("logistic", False)


def test_the_manifest_describes_the_context(store: Path, runs: Path) -> None:
    manifest = bundle.read_flow(store / "moons-context" / "1")
    assert manifest.context_shape == [2]
    assert manifest.context is not None
    lift, half = manifest.context
    assert (lift.name, lift.classes) == ("lift", None)
    assert lift.low is not None
    assert lift.high is not None
    assert -2 < lift.low < -1.9 < 1.9 < lift.high < 2
    assert (half.name, half.classes, half.labels) == ("half", [0, 1], ["lower", "upper"])
    images = bundle.read_flow(store / "digits-image" / "1")
    assert images.event_shape == images.latent_shape == [1, 8, 8]
    assert (images.base, images.base_parameters) == ("normal", {})
    dataset = data.load_dataset(Run.open(runs / "digits-image").file.recipe.data)
    session = onnxruntime.InferenceSession(store / "digits-image" / "1" / "encode.onnx")
    feed = {"x": dataset.test.rows, "context": dataset.test.context}
    scores = np.sort(session.run(None, feed)[1])
    np.testing.assert_allclose(
        np.quantile(scores, images.calibration.levels),
        np.array(images.calibration.log_prob, float),
        atol=1e-2,
    )


def test_the_service_has_every_base() -> None:
    assert BASES.keys() == zoo.BASES.keys()


@pytest.mark.parametrize("name", zoo.BASES)
def test_the_service_draws_from_the_base_that_the_manifest_describes(name: str) -> None:
    torch.manual_seed(0)
    base = zoo.BASES[name]((1, 3))
    parameters = json.loads(json.dumps(base.describe()))
    assert set(parameters) == BASES[name].parameters

    class Described:
        base_density, base_parameters, latent_shape = BASES[name], parameters, [1, 3]
        dtype = "float32"

    n, described = 40_000, typing.cast(Manifest, Described())
    drawn = torch.from_numpy(noise.Latents(described, seed=0, temperature=1.0).draw(n))
    with torch.no_grad():
        found = base.log_prob(drawn)
        expected = base.log_prob(base.sample(n, torch.Generator().manual_seed(0)))
    error = math.sqrt(2 * float(expected.var()) / n)
    assert abs(float(found.mean() - expected.mean())) <= 5 * error + 1e-6
    # and coordinate by coordinate, which a mixture's components laid out wrongly would miss
    sample = base.sample(n, torch.Generator().manual_seed(1))
    spread = sample.flatten(1).std(0) / math.sqrt(n)
    assert ((drawn - sample).flatten(1).mean(0).abs() <= 8 * spread).all()


def test_bundles_of_before_there_was_a_context_are_read(store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "moons-maf" / "1"
    shutil.copytree(store / "moons-maf" / "1", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["context"], manifest["base_parameters"], manifest["inverse"]
    manifest["checksum"] = bundle.checksum(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert bundle.read(folder).context is None


def test_calibration_is_of_rows_as_clients_send_them(store: Path, runs: Path) -> None:
    run = Run.open(runs / "digits-maf")
    rows = data.load_dataset(run.file.recipe.data).test.rows
    session = onnxruntime.InferenceSession(store / "digits-maf" / "1" / "encode.onnx")
    scores = session.run(None, {"x": rows})[1]
    calibration = bundle.read_flow(store / "digits-maf" / "1").calibration
    assert calibration.rows == len(rows)
    np.testing.assert_allclose(
        np.quantile(scores, calibration.levels), np.array(calibration.log_prob, float), atol=1e-2
    )


def test_each_export_is_a_new_version_and_an_old_one_stays(runs: Path, tmp_path: Path) -> None:
    command = ("export", runs / "moons-maf", "--store", tmp_path, "--name", "twice")
    for expected in (1, 2):
        done = call_bijecta(*command, "--next-version", cwd=runs)
        assert done.returncode == 0, done.stderr
        assert f"twice/{expected}: log_prob within" in done.stdout
    assert bundle.versions(tmp_path / "twice") == [1, 2]
    for version in (1, 2):
        assert bundle.read(tmp_path / "twice" / str(version)).version == version
    assert sorted(p.name for p in (tmp_path / "twice").iterdir()) == ["1", "2"]


@pytest.mark.long
def test_an_export_killed_at_any_moment_leaves_a_store_that_loads(
    runs: Path, tmp_path: Path
) -> None:
    parent = tmp_path / "moons-maf"
    command = [sys.executable, "-m", "service.cli", "export", str(runs / "moons-maf")]
    for milliseconds in (0, 1, 2, 4, 8, 16, 32, 64):
        with subprocess.Popen([*command, "--store", str(tmp_path)], cwd=runs) as process:
            while not list(parent.glob(".partial-*")) and process.poll() is None:
                time.sleep(0.0005)
            time.sleep(milliseconds / 1000)
            process.kill()
        for version in bundle.versions(parent):
            assert bundle.read(parent / str(version)).version == version
        for left in parent.glob(".partial-*"):
            shutil.rmtree(left)
    done = call_bijecta("export", runs / "moons-maf", "--store", tmp_path, cwd=runs)
    assert done.returncode == 0, done.stderr
    assert bundle.read(parent / str(max(bundle.versions(parent)))).name == "moons-maf"


def test_a_graph_that_misses_its_flow_is_not_written(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.open(runs / "moons-maf")
    dataset = data.load_dataset(run.file.recipe.data)
    figures = evaluate.evaluate(run, dataset)

    def slightly_wrong(flow: Flow, source: str, target: str) -> Draft:
        changed = copy.deepcopy(flow)
        with torch.no_grad():
            for parameter in changed.parameters():
                parameter.mul_(1.001)
        return draft(changed, source, target)

    monkeypatch.setattr("training.export.float64_fallback.draft", slightly_wrong)
    with pytest.raises(ExportError, match=r"log_prob_per_dim_p99 .* .bar 1e-05"):
        export.export(run, dataset, figures, tmp_path, "wrong")
    assert not list(tmp_path.rglob("*"))


def test_a_direction_too_steep_for_float32_arithmetic_is_exported_in_float64(
    line_bundle: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FLOWS, "steep", Line("maf", (2, 3), SMALL | {"transforms": 3}))
    write_bundle("steep", tmp_path, scale=0.3)
    kinds = []
    for path in (line_bundle("maf image"), tmp_path / "store" / "steep" / "1"):
        manifest = bundle.read(path)
        graph = onnx.load(path / "encode.onnx").graph
        assert {t.type.tensor_type.elem_type for t in (*graph.input, *graph.output)} == {
            onnx.TensorProto.FLOAT
        }
        # what is computed in, as the numbers of the matrices tell
        (weights,) = {w.data_type for w in graph.initializer if len(w.dims) == 2}
        kinds.append((manifest.arithmetic, onnx.TensorProto.DataType.Name(weights)))
        for name, bar in verify.BARS.items():
            assert getattr(manifest.tolerances, name) <= bar
    assert kinds == [("float32", "FLOAT"), ("mixed", "DOUBLE")]


def too_steep(monkeypatch: pytest.MonkeyPatch, *directions: str) -> None:
    """Let the first graph of each of these directions miss its bars."""
    measure, left = verify.verify, list(directions)

    def missed_at_first(direction: Direction, expected: Expected, graph: ServedGraph) -> Errors:
        if direction in left:
            left.remove(direction)
            raise ExportError("too steep")
        return measure(direction, expected, graph)

    monkeypatch.setattr("training.export.float64_fallback.verify", missed_at_first)


@pytest.mark.long
@pytest.mark.parametrize("name", ["glow images positional", "mintnet images context"])
def test_flows_of_images_have_graphs_in_float64_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    too_steep(monkeypatch, "encode", "decode")
    write_bundle(name, tmp_path)
    manifest = bundle.read_flow(next(tmp_path.glob("store/*/1")))
    assert manifest.arithmetic == "float64"
    # what rounding inputs and outputs to float32 leaves
    assert manifest.tolerances.log_prob_per_dim_max < 3e-7
    assert manifest.tolerances.z_relative < 3e-7
    assert manifest.tolerances.x_relative < 3e-7


@pytest.mark.parametrize("steep", ["encode", "decode"])
def test_a_direction_that_is_not_steep_stays_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steep: str
) -> None:
    too_steep(monkeypatch, steep)
    write_bundle("realnvp context", tmp_path)
    path = next(tmp_path.glob("store/*/1"))
    assert bundle.read(path).arithmetic == "mixed"
    for direction in ("encode", "decode"):
        graph = onnx.load(path / f"{direction}.onnx").graph
        numbers = {
            onnx.TensorProto.DataType.Name(weights.data_type)
            for weights in graph.initializer
            if len(weights.dims) == 2 and min(weights.dims) > 1
        }
        assert numbers == {"DOUBLE" if direction == steep else "FLOAT"}


def let_rows_be_heavy(monkeypatch: pytest.MonkeyPatch) -> RunFigures:
    """Have rows seem to take so much memory that batches are small; returns what they take."""
    figures = RunFigures(row_bytes=40_000_000, single_ms=5.0, batch_ms=6.0)
    monkeypatch.setattr(served_graph, "plans_memory", lambda _: False)
    monkeypatch.setattr(served_graph, "measured_run", lambda *_: figures)
    return figures


def test_what_runs_of_heavy_rows_take_is_measured_and_bounds_what_is_verified(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bundle.read_flow(store / "moons-maf" / "1").run_cost == {}
    figures = let_rows_be_heavy(monkeypatch)
    write_bundle("realnvp context", tmp_path)
    manifest = bundle.read_flow(tmp_path / "store" / "realnvp-context" / "1")
    expected = RunCost(rows=16, **figures._asdict())
    assert manifest.run_cost == {"encode": expected, "decode": expected}
    device = Device.choose("cpu")
    most = batch_rows(figures.row_bytes, device, device.threads)
    assert most < 17
    assert manifest.tolerances.batch_sizes == sorted({1, most})


@pytest.mark.parametrize("are_heavy", [False, True])
def test_what_the_search_has_verified_is_verified_again_only_in_other_batches(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, are_heavy: bool
) -> None:
    sizes: dict[str, list[list[int]]] = {"encode": [], "decode": []}
    measure = verify.verify

    def noted(direction: Direction, expected: Expected, graph: ServedGraph) -> Errors:
        sizes[direction].append(graph.batch_sizes)
        return measure(direction, expected, graph)

    monkeypatch.setattr("training.export.float64_fallback.verify", noted)
    if are_heavy:
        let_rows_be_heavy(monkeypatch)
    sweeps = ("--inverse", "jacobi", "--tolerance", "1e-6")
    done = call_bijecta("export", runs / "moons-maf", "--store", tmp_path, *sweeps, cwd=runs)
    assert done.returncode == 0, done.stderr
    assert [len(of_graph) for of_graph in sizes.values()] == [1, 1 + are_heavy]
    assert len({*map(tuple, sizes["decode"])}) == 1 + are_heavy
    measured = bundle.read_flow(tmp_path / "moons-maf" / "1").tolerances.batch_sizes
    assert measured == sorted({*sizes["encode"][0], *sizes["decode"][-1]})


def test_rows_that_do_not_come_back_refuse_an_export(
    runs: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = bundle.read_flow(store / "moons-maf" / "1").residual
    assert found is not None
    assert (found.within, found.tolerance) == (1.0, 1e-3)
    rows = data.load_dataset(Run.open(runs / "moons-maf").file.recipe.data).test.rows[: found.rows]
    graphs = (store / "moons-maf" / "1" / f"{name}.onnx" for name in ("encode", "decode"))
    encode, decode = map(onnxruntime.InferenceSession, graphs)
    back = decode.run(["x"], {"z": encode.run(["z"], {"x": rows})[0]})[0]
    errors = (np.abs(back - rows) / np.ptp(rows, axis=0)).max(1)
    assert found.p99 == pytest.approx(np.quantile(errors, 0.99), rel=0.3)
    # no tolerance is as small as that of float32
    monkeypatch.setattr(round_trip, "RESIDUAL_TOLERANCE", 1e-12)
    command = ("export", runs / "moons-maf", "--store", tmp_path)
    refused = call_bijecta(*command, cwd=runs)
    assert refused.returncode == 1
    assert "held-out rows come back from their latents within 1e-12" in refused.stderr
    assert "--accept-residual" in refused.stderr
    assert not list(tmp_path.rglob("*.onnx"))
    accepted = call_bijecta(*command, "--accept-residual", cwd=runs)
    assert accepted.returncode == 0, accepted.stderr
    said = bundle.read_flow(tmp_path / "moons-maf" / "1").residual
    assert said is not None
    assert said.within < 0.99


def test_names_and_moved_data_are_checked(runs: Path, tmp_path: Path) -> None:
    run = runs / "moons-maf"
    named = call_bijecta("export", run, "--store", tmp_path, "--name", "Up/../per", cwd=runs)
    assert named.returncode == 1
    assert "a bundle's name matches" in named.stderr
    np.save(tmp_path / "other.npy", np.random.default_rng(0).normal(size=(50, 2)))
    moved = call_bijecta(
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
        done = call_bijecta(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    manifest = bundle.read(tmp_path / "store" / "mine" / "1")
    assert manifest.data.name == "rows.csv"
    assert manifest.dequantization is None
    shutil.move(tmp_path / "rows.csv", tmp_path / "moved.csv")
    done = call_bijecta("evaluate", "runs/mine", cwd=tmp_path)
    assert done.returncode == 1
    assert "no data file at" in done.stderr
    done = call_bijecta("evaluate", "runs/mine", "--data", "moved.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
