"""Versions of one name are one model: no run becomes the next version of another's by accident."""

import json
import shutil
from pathlib import Path

import pytest

from service import bundle
from tests.helpers.recipes import call_bijecta


@pytest.fixture
def store(runs: Path, tmp_path: Path) -> Path:
    """A store with version 1 of `model`, of the run moons-maf."""
    command = ("export", "moons-maf", "--store", tmp_path / "store", "--name", "model")
    done = call_bijecta(*command, cwd=runs)
    assert done.returncode == 0, done.stderr
    return tmp_path / "store"


def test_weights_that_are_there_already_are_not_exported_again(runs: Path, store: Path) -> None:
    command = ("export", "moons-maf", "--store", store, "--name", "model")
    again = call_bijecta(*command, cwd=runs)
    assert again.returncode == 0, again.stderr
    assert f"{store / 'model' / '1'} holds these weights already: --next-version" in again.stdout
    assert bundle.versions(store / "model") == [1]
    manifest = bundle.read(store / "model" / "1")
    assert manifest.made_with["run"] == "moons-maf"
    assert manifest.made_with["run_sha256"] == bundle.sha256(runs / "moons-maf" / "run.json")


def test_another_run_is_no_next_version_unless_it_is_said_to_be(runs: Path, store: Path) -> None:
    command = ("export", "moons-iaf", "--store", store, "--name", "model")
    refused = call_bijecta(*command, cwd=runs)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    for words in ("is of moons-maf, on moons", "--next-version", "--name NAME"):
        assert words in refused.stderr
    assert bundle.versions(store / "model") == [1]
    assert call_bijecta(*command, "--next-version", cwd=runs).returncode == 0
    assert bundle.versions(store / "model") == [1, 2]


def test_a_bundle_of_before_runs_had_checksums_is_known_by_its_weights(
    runs: Path, store: Path
) -> None:
    path = store / "model" / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["made_with"]["run"], manifest["made_with"]["run_sha256"]
    manifest["checksum"] = bundle.checksum(manifest)
    path.write_text(json.dumps(manifest))
    command = ("--store", store, "--name", "model")
    same = call_bijecta("export", "moons-maf", *command, cwd=runs)
    assert "holds these weights already" in same.stdout
    other = call_bijecta("export", "moons-iaf", *command, cwd=runs)
    assert "is of another run, on moons" in other.stderr


def test_a_run_that_has_trained_on_is_the_next_version(
    runs: Path, store: Path, tmp_path: Path
) -> None:
    shutil.copytree(runs / "moons-maf", tmp_path / "moons-maf")
    other = (runs / "moons-maf" / "weights.safetensors").read_bytes()
    # the same tensors in a file of another checksum: its header may end in blanks
    length = int.from_bytes(other[:8], "little")
    header = other[8 : 8 + length] + b" " * 8
    longer = (length + 8).to_bytes(8, "little") + header + other[8 + length :]
    (tmp_path / "moons-maf" / "weights.safetensors").write_bytes(longer)
    command = ("export", tmp_path / "moons-maf", "--store", store, "--name", "model")
    done = call_bijecta(*command, cwd=runs)
    assert done.returncode == 0, done.stderr
    assert bundle.versions(store / "model") == [1, 2]
