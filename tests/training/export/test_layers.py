"""The graph of layers: its states and densities are those of the flow, layer by layer."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from models.bijection import Compose
from service import bundle
from tests.helpers.bundles import line_flow
from tests.helpers.recipes import call_bijecta
from tests.laws.zoo_table import case
from tests.stored.files import FORMAT_1
from training.config import FlowSpec
from training.errors import ExportError
from training.export import Asked, check_layers, exported_already
from training.export.graphs import draft
from training.export.inverse_search import FASTEST, fastest
from training.runs import Run
from training.runs.run import RunFile

NAME = "moons-maf"


@pytest.mark.parametrize("name", ["maf", "iaf", "planar context", "nice logit"])
def test_each_state_is_what_torch_makes_of_the_one_before(name: str) -> None:
    flow, one = line_flow(name), case(name, torch.float32, rows=9)
    z = torch.randn(9, *flow.latent_shape, generator=torch.Generator().manual_seed(1))
    feed = {"z": z.numpy()} | ({} if one.context is None else {"context": one.context.numpy()})
    content = fastest(draft(flow, "z", "states"), feed, FASTEST).content
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    states, log_probs = session.run(["states", "log_probs"], feed)

    exact = copy.deepcopy(flow).double()
    assert isinstance(exact.bijection, Compose)
    layers: list[Any] = list(exact.bijection.layers)[::-1]
    context = exact.featurize(None if one.context is None else one.context.double())
    assert states.shape == (9, len(layers) + 1, z[0].numel())
    np.testing.assert_array_equal(states[:, 0], z)
    at = z.double()
    with torch.no_grad():
        log_prob = exact.base.log_prob(at)
        np.testing.assert_allclose(log_probs[:, 0], log_prob, atol=1e-4)
        for i, layer in enumerate(layers, 1):
            given = context if layer.context_shape else None
            at, log_det = layer.decode(at, given)
            log_prob = log_prob - log_det
            np.testing.assert_allclose(states[:, i], at, rtol=1e-4, atol=1e-4, err_msg=str(i))
            np.testing.assert_allclose(log_probs[:, i], log_prob, atol=5e-4, err_msg=str(i))
        raw = None if one.context is None else one.context.double()
        x, whole = exact.decode(z.double(), raw)
    np.testing.assert_allclose(states[:, -1], x, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(log_probs[:, -1], whole, atol=5e-4)


def test_the_bundle_says_what_it_has_of_layers(store: Path, runs: Path) -> None:
    manifest = bundle.read_flow(store / NAME / "1")
    layers = manifest.layers
    assert layers is not None
    assert bundle.LAYERS in manifest.files
    # in the order of decoding: the raw coordinates come last
    assert layers.names == ["masked autoregressive"] * 2 + ["standardize"]
    assert 0 < layers.log_prob_per_dim_max <= 1e-4
    assert 0 < layers.states_relative <= 1e-4
    assert layers.arithmetic == "float32"
    assert bundle.read_flow(store / "digits-maf" / "1").layers is None


def test_a_graph_of_layers_that_misses_its_flow_is_not_written(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(flow: torch.nn.Module, *names: str) -> object:
        changed = copy.deepcopy(flow)
        if names[1] == "states":
            with torch.no_grad():
                for parameter in changed.parameters():
                    parameter.mul_(1.001)
        return draft(changed, *names)  # type: ignore[arg-type]

    monkeypatch.setattr("training.export.float64_fallback.draft", wrong)
    done = call_bijecta("export", runs / NAME, "--store", tmp_path, "--layers", cwd=runs)
    assert done.returncode == 1
    assert "the exported graph of layers misses the float64 reference" in done.stderr
    assert not list(tmp_path.rglob("*"))


def test_flows_of_more_dimensions_and_tables_are_refused_in_a_line(
    runs: Path, tmp_path: Path
) -> None:
    done = call_bijecta("export", runs / "digits-maf", "--store", tmp_path, "--layers", cwd=runs)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "--layers is for flows of up to 3 dimensions: " in done.stderr
    assert "has 64" in done.stderr
    assert not list(tmp_path.rglob("*"))
    for sides in ((3,), (1, 1, 3)):
        check_layers(_run(FlowSpec(family="maf", event_shape=list(sides))))
    for sides in ((4,), (1, 2, 2)):
        with pytest.raises(ExportError, match="here has 4"):
            check_layers(_run(FlowSpec(family="maf", event_shape=list(sides))))
    with pytest.raises(ExportError, match="typed columns, which have no layers"):
        check_layers(Run.open(FORMAT_1.parent / "format_2" / "runs" / "mixed"))


def _run(flow: FlowSpec) -> Run:
    return Run(Path("here"), RunFile.model_construct(flow=flow))


def test_a_bundle_of_the_same_weights_without_layers_is_another_version(
    store: Path, runs: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(store / NAME / "1", tmp_path / NAME / "1")
    run = Run.open(runs / NAME)
    assert exported_already(run, tmp_path, NAME, Asked(layers=True)) == folder
    additions = json.loads((folder / bundle.ADDITIONS).read_text())
    del additions["layers"]
    (folder / bundle.ADDITIONS).write_text(json.dumps(additions))
    manifest = json.loads((folder / bundle.MANIFEST).read_text())
    manifest["files"][bundle.ADDITIONS] = bundle.sha256(folder / bundle.ADDITIONS)
    manifest["checksum"] = bundle.checksum(manifest)
    (folder / bundle.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ExportError, match="already, without --layers: --next-version"):
        exported_already(run, tmp_path, NAME, Asked(layers=True))
    assert exported_already(run, tmp_path, NAME) == folder
