"""Latents are taken through the layers one by one, of models whose bundles have them."""

import io
import json
import shutil
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pytest

from service.bundle import ADDITIONS, LAYERS, MANIFEST, BundleError, sha256
from service.metrics import Metrics
from service.runtime import Cancellation, Device
from service.settings import ModelSettings
from service.store import Loader
from tests.helpers.http import ARROW, MOONS, ask, ask_npy, metric
from tests.helpers.stores import edit

Z = [[0.0, 0.0], [1.5, -0.5], [-2.0, 0.3]]


def test_states_begin_at_the_latents_and_end_at_the_rows(client: httpx.Client) -> None:
    for model in ("moons-maf", "moons-iaf"):
        names = client.get(f"/models/{model}").json()["layers"]["names"]
        said = ask(client, "/layers", model=model, z=Z)
        assert said["states"].shape == (3, len(names) + 1, 2)
        np.testing.assert_array_equal(said["states"][:, 0], Z)
        normal = -0.5 * (np.square(Z).sum(1) + 2 * np.log(2 * np.pi))
        np.testing.assert_allclose(said["log_probs"][:, 0], normal, rtol=1e-5)
        decoded = ask(client, "/decode", model=model, z=Z)
        np.testing.assert_allclose(said["states"][:, -1], decoded["x"], atol=1e-5)
        np.testing.assert_allclose(said["log_probs"][:, -1], decoded["log_prob"], atol=1e-4)
        # no two states are the same: each layer does something
        assert (np.abs(np.diff(said["states"], axis=1)).max((0, 2)) > 1e-3).all()


def test_rows_come_back_along_the_layers(client: httpx.Client) -> None:
    x = MOONS[:50]
    encoded = ask(client, "/encode", model="moons-maf", x=x.tolist())
    said = ask(client, "/layers", model="moons-maf", z=encoded["z"].tolist())
    np.testing.assert_allclose(said["states"][:, -1], x, atol=1e-4)
    np.testing.assert_allclose(said["log_probs"][:, -1], encoded["log_prob"], atol=1e-3)


def test_a_context_is_that_of_every_layer(client: httpx.Client) -> None:
    body = {"model": "moons-context", "z": Z, "context": [[0.5, "upper"]]}
    said, decoded = ask(client, "/layers", **body), ask(client, "/decode", **body)
    np.testing.assert_allclose(said["states"][:, -1], decoded["x"], atol=1e-5)
    refused = client.post("/layers", json=body | {"context": [[0.5, "middle"]]})
    assert refused.status_code == 422


def test_states_come_in_every_format_of_arrays(client: httpx.Client) -> None:
    said = ask(client, "/layers", model="moons-maf", z=Z)
    states, _ = ask_npy(client, "/layers", np.array(Z, np.float32), model="moons-maf")
    np.testing.assert_allclose(states, said["states"], rtol=1e-6)
    url, body = "/layers?output=log_probs", {"model": "moons-maf", "z": Z}
    as_npy = client.post(url, json=body, headers={"accept": "application/x-npy"})
    np.testing.assert_allclose(np.load(io.BytesIO(as_npy.content)), said["log_probs"], rtol=1e-6)
    as_arrow = client.post("/layers", json=body, headers={"accept": ARROW})
    table = pa.ipc.open_stream(as_arrow.content).read_all()
    assert table.column_names == ["states", "log_probs"]
    as_csv = client.post("/layers", json=body, headers={"accept": "text/csv"}).text.splitlines()
    assert as_csv[0].split(",")[:3] == ["states.0", "states.1", "states.2"]
    assert len(as_csv) == 4
    assert client.post("/layers", json=body, headers={"accept": "audio/wav"}).status_code == 406


def test_what_has_no_answer_is_named(client: httpx.Client) -> None:
    far = [[0, 0], [1e30, -1e30]]
    refused = client.post("/layers", json={"model": "moons-maf", "z": far})
    assert refused.status_code == 422
    assert "row 1 has no finite answer" in refused.json()["detail"]
    said = client.post("/layers", json={"model": "moons-maf", "z": far, "partial": True}).json()
    assert [error["row"] for error in said["errors"]] == [1]
    assert said["states"][1][-1] == [None, None]
    assert said["states"][0][0] == [0, 0]
    assert ask(client, "/layers", model="moons-maf", z=[])["states"].tolist() == []


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        ({"model": "digits-maf", "z": [[0] * 64]}, 422, "`bijecta export RUN --layers` makes"),
        ({"model": "moons-maf", "z": [[0, 0, 0]]}, 422, "z: expected N × 2 numbers"),
        ({"model": "moons-maf", "z": [[0, None]]}, 422, "z: "),
        ({"model": "moons-maf", "z": [[0, "a"]]}, 422, "z: "),
        ({"model": "moons-maf"}, 422, "z is missing"),
        ({"model": "moons-maf", "x": [[0, 0]]}, 422, "z is missing"),
        ({"model": "moons-maf", "z": [[0, 0]], "context": [[1]]}, 422, "context"),
        ({"model": "nobody", "z": [[0, 0]]}, 404, "no model 'nobody'"),
    ],
)
def test_bad_questions_are_told_why(
    client: httpx.Client, body: dict[str, object], status: int, expected: str
) -> None:
    refused = client.post("/layers", json=body)
    assert refused.status_code == status, refused.text
    assert expected in refused.json()["detail"]


def test_more_rows_than_a_request_may_have_are_refused(limited: httpx.Client) -> None:
    refused = limited.post("/layers", json={"model": "moons-maf", "z": [[0, 0]] * 1001})
    assert refused.status_code == 413


def test_runs_are_counted_by_graph(client: httpx.Client) -> None:
    labels = {"model": "moons-iaf", "graph": "layers"}
    before = metric(client, "bijecta_batch_rows_sum", **labels)
    ask(client, "/layers", model="moons-iaf", z=Z)
    assert metric(client, "bijecta_batch_rows_sum", **labels) == before + 3


def _copied(store: Path, folder: Path) -> Path:
    """moons-maf in a folder that may be written to."""
    return shutil.copytree(store / "moons-maf" / "1", folder / "moons-maf" / "1")


def _listed(folder: Path, name: str) -> None:
    """Have the manifest say what a file is now."""
    manifest = json.loads((folder / MANIFEST).read_text())
    edit(folder, files=manifest["files"] | {name: sha256(folder / name)})


def _load(folder: Path) -> None:
    loader = Loader(Device.choose("cpu"), lambda _: ModelSettings.model_validate({}), Metrics())
    loader.load(folder, Cancellation()).engine.close()


def test_a_graph_of_other_layers_than_the_manifest_names_is_refused(
    store: Path, tmp_path: Path
) -> None:
    folder = _copied(store, tmp_path)
    _load(folder)
    additions = json.loads((folder / ADDITIONS).read_text())
    additions["layers"]["names"].append("one more")
    (folder / ADDITIONS).write_text(json.dumps(additions))
    _listed(folder, ADDITIONS)
    with pytest.raises(BundleError, match=r"layers\.onnx has states of float32"):
        _load(folder)


def test_layers_that_end_elsewhere_than_decoding_fail_the_self_test(
    store: Path, tmp_path: Path
) -> None:
    folder = _copied(store, tmp_path)
    shutil.copy(store / "moons-iaf" / "1" / LAYERS, folder / LAYERS)
    _listed(folder, LAYERS)
    with pytest.raises(BundleError, match="fails its self-test on this device: log_prob"):
        _load(folder)


def test_a_layer_graph_that_is_not_listed_is_not_loaded(store: Path, tmp_path: Path) -> None:
    folder = _copied(store, tmp_path)
    manifest = json.loads((folder / MANIFEST).read_text())
    files = {name: sum_ for name, sum_ in manifest["files"].items() if name != LAYERS}
    edit(folder, files=files)
    with pytest.raises(BundleError, match=r"the bundle has no layers\.onnx"):
        _load(folder)
