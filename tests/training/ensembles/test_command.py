"""`bijecta ensemble`: what it prints and writes, and what it refuses."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from service.bundle import BundleError, EnsembleManifest, read
from tests.helpers.http import MOONS
from tests.helpers.recipes import call_bijecta, recipe_text
from tests.helpers.stores import edit
from tests.stored.files import FORMAT_1
from training.runs import Run

RUNS = ["moons-maf", "moons-iaf"]


def manifest_of(folder: Path) -> EnsembleManifest:
    found = read(folder)
    assert isinstance(found, EnsembleManifest)
    return found


def answers(folder: Path, graph: str, **feeds: Any) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(folder / f"{graph}.onnx")
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


@pytest.mark.parametrize(
    ("name", "weights"),
    [("moons-mixture", [0.4, 0.6]), ("context-mixture", [0.75, 0.25]), ("digits-mixture", None)],
)
def test_a_bundle_is_the_mixture_of_its_flows_in_float64(
    ensembles: Path, name: str, weights: list[float] | None
) -> None:
    folder = ensembles / "store" / name / "1"
    manifest = manifest_of(folder)
    if weights is not None:
        np.testing.assert_allclose(manifest.weights, weights)
    flows = [Run.open(ensembles / m.run).best_flow().double() for m in manifest.members]
    rng = np.random.default_rng(0)
    x = MOONS if manifest.dimensions == 2 else rng.uniform(0, 16, (50, *manifest.event_shape))
    x = x.astype(np.float32)
    feeds = {"x": x}
    if manifest.context is not None:
        feeds["context"] = np.tile(np.array([[0.3, 1.0]], np.float32), (len(x), 1))
    with torch.no_grad():
        given = [torch.from_numpy(value).double() for value in feeds.values()]
        each = torch.stack([flow.log_prob(*given) for flow in flows], 1)
        expected = torch.logsumexp(each + torch.tensor(manifest.log_weights), 1).numpy()
    found = answers(folder, "encode", **feeds)
    bar = 1e-4 * manifest.dimensions
    np.testing.assert_allclose(found["log_prob"], expected, atol=bar)
    np.testing.assert_allclose(found["member_log_prob"], each.numpy(), atol=bar)
    responsible = (each.numpy() + manifest.log_weights).argmax(1)
    np.testing.assert_array_equal(found["member"], responsible)
    # each member decodes its own rows, wherever they stand in a batch
    member = rng.integers(0, len(flows), len(x))
    z = rng.normal(size=(len(x), *manifest.latent_shape)).astype(np.float32)
    rest = {k: v for k, v in feeds.items() if k == "context"}
    decoded = answers(folder, "decode", z=z, member=member, **rest)
    for k, flow in enumerate(flows):
        its = member == k
        with torch.no_grad():
            given = [torch.from_numpy(v[its]).double() for v in (z, *rest.values())]
            expected_x = flow.decode(*given)[0].numpy()
        scale = np.ptp(expected_x, axis=0).max()
        np.testing.assert_allclose(decoded["x"][its], expected_x, atol=1e-4 * scale)
    again = answers(folder, "encode", x=decoded["x"], **rest)
    np.testing.assert_allclose(decoded["log_prob"], again["log_prob"], atol=bar)
    only = np.full(len(z), 1)
    of_one = answers(folder, "decode", z=z, member=only, **rest)
    its = member == 1
    np.testing.assert_allclose(of_one["x"][its], decoded["x"][its], atol=1e-4 * scale)


def test_the_manifest_says_what_the_mixture_gains(ensembles: Path) -> None:
    manifest = manifest_of(ensembles / "store" / "digits-mixture" / "1")
    held_out, members = manifest.held_out, manifest.members
    best = max(members, key=lambda member: member.held_out.mean)
    assert members[held_out.best] == best
    assert held_out.gain.mean == pytest.approx(held_out.log_prob - best.held_out.mean, abs=1e-9)
    assert 0 < held_out.gain.se < held_out.se  # of the paired difference
    assert held_out.log_prob > min(member.held_out.mean for member in members)
    assert manifest.weighting == "fitted"
    assert manifest.tolerances.log_prob_per_dim_p99 <= 1e-5
    assert manifest.residual is not None
    assert manifest.residual.within >= 0.99


def test_a_list_of_the_store_has_the_gain_over_the_best_member(ensembles: Path) -> None:
    done = call_bijecta("store", "list", "--store", ensembles / "store", cwd=ensembles)
    heading, *lines = done.stdout.splitlines()
    (line,) = [line for line in lines if line.startswith("moons-mixture")]
    gain = manifest_of(ensembles / "store" / "moons-mixture" / "1").held_out.gain
    place = heading.index("gain (nats)")
    assert line[place : place + 15].strip() == f"{gain.mean:.3f} ± {gain.se:.3f}"


def test_what_is_printed(ensembles: Path, tmp_path: Path) -> None:
    done = call_bijecta("ensemble", *RUNS, "--store", tmp_path, cwd=ensembles)
    assert done.returncode == 0, done.stderr
    assert "moons-maf: weight 0.5000, " in done.stdout
    assert "moons-maf-ensemble: " in done.stdout
    assert " than its best member, moons-" in done.stdout
    assert (tmp_path / "moons-maf-ensemble" / "1" / "manifest.json").exists()
    again = call_bijecta("ensemble", *RUNS, "--store", tmp_path, cwd=ensembles)
    assert "holds this ensemble already" in again.stdout
    weighed = call_bijecta("ensemble", *RUNS, "--store", tmp_path, "--weights=2,1", cwd=ensembles)
    assert (weighed.returncode, weighed.stderr.count("\n")) == (1, 1)
    mixture = ("--name", "moons-mixture", "--store", "store", "--weights=4,6")
    same = call_bijecta("ensemble", *RUNS, *mixture, cwd=ensembles)
    assert "moons-mixture/1 holds this ensemble already: --next-version" in same.stdout
    assert "already, without --weights 0.6667,0.3333: --next-version" in weighed.stderr
    assert not (tmp_path / "moons-maf-ensemble" / "2").exists()
    named = ["--name", "moons-maf-ensemble", "--store", str(tmp_path)]
    turned = call_bijecta("ensemble", *reversed(RUNS), *named, cwd=ensembles)
    assert turned.returncode == 1
    assert "--next-version makes it the next version of 'moons-maf-ensemble'" in turned.stderr
    report = call_bijecta(
        "report", tmp_path / "moons-maf-ensemble", "--out", tmp_path / "page.html", cwd=tmp_path
    )
    assert report.returncode == 0, report.stderr
    page = (tmp_path / "page.html").read_text()
    assert "Members of the mixture, of equal weights" in page
    assert "Gain over its best member" in page
    plot = call_bijecta("plot", tmp_path / "moons-maf-ensemble", cwd=tmp_path)
    assert plot.returncode == 0, plot.stderr
    assert plot.stdout == "plots/moons-maf-ensemble-density.png\n"
    assert "no layers: its members have latents of their own: plot their runs" in plot.stderr


def test_what_was_done_with_weights_and_what_they_gain_is_said_by_its_sign(
    ensembles: Path, tmp_path: Path
) -> None:
    begun = changed(tmp_path, "begun", recipe_text("moons-maf", epochs=1))
    for weights, said in (("1,99", "are divided by their sum, 100"), ("0.25,0.75", "")):
        done = call_bijecta(
            *("ensemble", "moons-maf", begun, "--store", tmp_path / "store", "--name", "both"),
            *("--weights", weights, "--next-version"),
            cwd=ensembles,
        )
        assert done.returncode == 0, done.stderr
        assert ("divided by" in done.stdout) == bool(said)
        assert said in done.stdout
    gain = manifest_of(tmp_path / "store" / "both" / "1").held_out.gain
    assert gain.mean < 0, "a member that has hardly begun to learn has nearly all of the weight"
    command = ("ensemble", "moons-maf", begun, "--store", tmp_path / "store", "--name", "both")
    done = call_bijecta(*command, "--weights=1,99", "--next-version", cwd=ensembles)
    less = f"{-gain.mean:.3f} ± {gain.se:.3f} less than its best member, moons-maf"
    assert less in done.stdout
    assert "both: moons-maf scores better alone" in done.stderr


def changed(folder: Path, name: str, text: str) -> Path:
    """A run of a changed recipe, in folder/NAME."""
    (folder / f"{name}.toml").write_text(text)
    done = call_bijecta("train", f"{name}.toml", "--out", name, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / name


MOONS_TEXT = recipe_text("moons-maf", epochs=1)
CHANGES: dict[str, tuple[str, str]] = {
    "other rows": (MOONS_TEXT.replace("rows = 4000", "rows = 500"), "their data differ"),
    "another division": (
        MOONS_TEXT.replace("rows = 4000", "rows = 4000\ntest = 0.2"),
        "test, in [data], is 0.1 and 0.2",
    ),
    "noise": (MOONS_TEXT.replace("rows = 4000", "rows = 4000\nnoise = 0.1"), "noise, in [data]"),
    "preprocessing": (
        MOONS_TEXT.replace('family = "maf"', 'family = "maf"\npreprocessing = "none"'),
        "their preprocessing differs: standardize and none",
    ),
    "base": (
        MOONS_TEXT.replace('family = "maf"', 'family = "maf"\nbase = "logistic"'),
        "their bases are normal and logistic",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_runs_that_do_not_fit_are_refused_by_name(
    ensembles: Path, tmp_path: Path, change: str
) -> None:
    text, words = CHANGES[change]
    other = changed(tmp_path, "other", text)
    done = call_bijecta("ensemble", "moons-maf", other, "--store", tmp_path / "s", cwd=ensembles)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"moons-maf and {other} make no ensemble: " in done.stderr
    assert words in done.stderr
    assert not (tmp_path / "s").exists()


def without_weights(folder: Path) -> list[str]:
    shutil.copytree(folder / "moons-iaf", folder / "begun", dirs_exist_ok=True)
    (folder / "begun" / "weights.safetensors").unlink(missing_ok=True)
    return ["moons-maf", "begun"]


def copied(folder: Path) -> list[str]:
    shutil.copytree(folder / "moons-maf", folder / "copy", dirs_exist_ok=True)
    return ["moons-maf", "copy"]


REFUSALS: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "one run": (lambda _: ["moons-maf"], "an ensemble is of at least two runs"),
    "twice": (lambda _: ["moons-maf", "./moons-maf"], "are the same run"),
    "a copy": (copied, "have the same weights"),
    "no run": (lambda _: ["moons-maf", "nowhere"], "no run at nowhere"),
    "no weights": (without_weights, "begun has no weights yet"),
    "other data": (lambda _: ["moons-maf", "digits-maf"], "moons-maf and digits-maf make no"),
    "context": (lambda _: ["moons-context", "moons-maf"], "make no ensemble: their data differ"),
    "weights for three": (lambda _: [*RUNS, "--weights", "1,1,1"], "3 came for 2 runs"),
    "no name": (lambda _: [*RUNS, "--name", "A B"], "a bundle's name matches"),
    "a tolerance": (lambda _: [*RUNS, "--tolerance", "0.1"], "tolerance"),
    "typed columns": (
        lambda _: ["moons-maf", str(FORMAT_1.parent / "format_2" / "runs" / "mixed")],
        "is of family 'tabular': ensembles are of flows of numbers",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_are_one_line(ensembles: Path, tmp_path: Path, case: str) -> None:
    arguments, words = REFUSALS[case]
    for run in [*RUNS, "digits-maf", "moons-context"]:
        (tmp_path / run).symlink_to((ensembles / run).resolve())
    done = call_bijecta("ensemble", *arguments(tmp_path), "--store", "s", cwd=tmp_path)
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("weights", ["", "a,b", "-1,2", "0,0", "nan,1", "inf,1", "equal,fitted"])
def test_weights_that_are_none_are_refused(ensembles: Path, tmp_path: Path, weights: str) -> None:
    done = call_bijecta(
        "ensemble", *RUNS, "--store", tmp_path, f"--weights={weights}", cwd=ensembles
    )
    assert done.returncode == 2
    assert "expected equal, fitted, or numbers from 0" in done.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "choir"}, "is of kind 'choir'; of format_version 2 this program reads"),
        ({"weighting": "best"}, "weighting"),
        ({"members": []}, "members"),
        ({"graphs": {}}, "graphs"),
        ({"raw_values": []}, "raw_values"),
        ({"base": "uniform"}, "base uniform has parameters"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(
    ensembles: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    folder = tmp_path / "moons-mixture" / "1"
    shutil.copytree(ensembles / "store" / "moons-mixture" / "1", folder)
    edit(folder, **change)
    with pytest.raises(BundleError, match=words):
        read(folder)


def test_weights_of_a_manifest_are_one_together(ensembles: Path, tmp_path: Path) -> None:
    folder = tmp_path / "moons-mixture" / "1"
    shutil.copytree(ensembles / "store" / "moons-mixture" / "1", folder)
    members = json.loads((folder / "manifest.json").read_text())["members"]
    members[0]["weight"] /= 2
    edit(folder, members=members)
    with pytest.raises(BundleError, match="weights are not one together"):
        read(folder)


def test_rows_that_float32_rounds_onto_the_edge_have_a_density(ensembles: Path) -> None:
    folder = ensembles / "store" / "digits-mixture" / "1"
    support = manifest_of(folder).support
    assert support is not None
    low, high = (np.asarray(edge, np.float32) for edge in (support.low, support.high))
    z = np.random.default_rng(0).choice(np.array([-90, 90], np.float32), (8, 64))
    found = answers(folder, "decode", z=z, member=np.arange(8) % 2)
    assert (found["x"] > low).all()
    assert (found["x"] < high).all()
    least, most = np.nextafter(low, np.float32(np.inf)), np.nextafter(high, np.float32(-np.inf))
    assert (found["x"] == least).any(), "no row came near the edge"
    assert (found["x"] == most).any(), "no row came near the edge"
    assert np.isfinite(found["log_prob"]).all()
