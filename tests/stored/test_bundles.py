"""Bundles as they were exported once load and answer as they did."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.servers import Serve
from tests.stored.files import BUNDLES, FORMAT_1, app
from tests.stored.replies import check_replies

STORE = FORMAT_1 / "store"

# what manifests of format 1 had only after a while
LATER = {
    "arithmetic",
    "base_parameters",
    "context",
    "distilled",
    "inverse",
    "self_test",
    "sound",
    "weights_sha256",
}


def manifest(model: str) -> dict[str, Any]:
    return json.loads((STORE / model / "1" / "manifest.json").read_text())  # type: ignore[no-any-return]


def rewrite(folder: Path, content: dict[str, Any]) -> None:
    """A manifest with its checksum, as the format has it."""
    rest = {key: value for key, value in content.items() if key != "checksum"}
    checksum = hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(rest | {"checksum": checksum}))


@pytest.mark.parametrize("model", BUNDLES)
def test_bundles_answer_as_they_did(tmp_path: Path, model: str) -> None:
    (tmp_path / model).symlink_to(STORE / model)
    with app(tmp_path) as client:
        check_replies(client, model)
        said = client.get(f"/models/{model}").json()
    for key, value in manifest(model).items():
        assert said[key] == value, key


def test_all_load_beside_each_other(serve: Serve) -> None:
    served = serve("--store", STORE, "--device", "cpu")
    try:
        models = served.client.get("/models").json()
    finally:
        served.end()
    assert [model["name"] for model in models["models"]] == BUNDLES
    assert models["refused"] == []


@pytest.mark.parametrize("model", ["maf-one", "nsf-ar"])
def test_the_first_bundles_of_this_format_said_less(tmp_path: Path, model: str) -> None:
    shutil.copytree(STORE / model, tmp_path / model)
    content = manifest(model)
    rewrite(tmp_path / model / "1", {k: v for k, v in content.items() if k not in LATER})
    with app(tmp_path) as client:
        check_replies(client, model)
        assert client.get(f"/models/{model}").json()["self_test"] is None


def test_a_format_that_is_not_known_is_refused_by_its_number(tmp_path: Path) -> None:
    for model in ("maf", "radial"):
        shutil.copytree(STORE / model, tmp_path / model)
    rewrite(tmp_path / "maf" / "1", manifest("maf") | {"format_version": 999, "columns": []})
    with app(tmp_path) as client:
        check_replies(client, "radial")
        (refused,) = client.get("/models").json()["refused"]
        assert (refused["name"], refused["version"]) == ("maf", 1)
        assert "format_version 999" in refused["reason"]
        answer = client.post("/sample", json={"model": "maf", "n": 1})
        assert answer.status_code == 503
        assert "format_version 999" in answer.text
