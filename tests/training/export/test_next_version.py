"""Versions of one name are one model: no run becomes the next version of another's by accident."""

import json
import shutil
from pathlib import Path

import pytest

from service import bundle
from tests.helpers.recipes import call_bijecta
from tests.stored.files import FORMAT_1
from training.export import Asked, exported_already
from training.runs import Run

NAME = "moons-maf"


@pytest.fixture
def mine(store: Path, tmp_path: Path) -> Path:
    """A store with version 1 of `moons-maf`, of the run of that name."""
    shutil.copytree(store / NAME, tmp_path / "mine" / NAME)
    return tmp_path / "mine"


def test_weights_that_are_there_already_are_not_exported_again(runs: Path, mine: Path) -> None:
    command = ("export", "moons-maf", "--store", mine, "--name", NAME)
    again = call_bijecta(*command, cwd=runs)
    assert again.returncode == 0, again.stderr
    assert f"{mine / NAME / '1'} holds these weights already: --next-version" in again.stdout
    assert bundle.versions(mine / NAME) == [1]
    manifest = bundle.read(mine / NAME / "1")
    assert manifest.made_with["run"] == "moons-maf"
    assert manifest.made_with["run_sha256"] == bundle.sha256(runs / "moons-maf" / "run.json")


def test_another_run_is_no_next_version_unless_it_is_said_to_be(runs: Path, mine: Path) -> None:
    command = ("export", "moons-iaf", "--store", mine, "--name", NAME)
    refused = call_bijecta(*command, cwd=runs)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    for words in ("is of moons-maf, on moons", "--next-version", "--name NAME"):
        assert words in refused.stderr
    assert bundle.versions(mine / NAME) == [1]
    assert call_bijecta(*command, "--next-version", cwd=runs).returncode == 0
    assert bundle.versions(mine / NAME) == [1, 2]


def test_a_bundle_of_before_runs_had_checksums_is_known_by_its_weights(
    runs: Path, mine: Path
) -> None:
    path = mine / NAME / "1" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["made_with"]["run"], manifest["made_with"]["run_sha256"]
    manifest["checksum"] = bundle.checksum(manifest)
    path.write_text(json.dumps(manifest))
    command = ("--store", mine, "--name", NAME)
    same = call_bijecta("export", "moons-maf", *command, cwd=runs)
    assert "holds these weights already" in same.stdout
    other = call_bijecta("export", "moons-iaf", *command, cwd=runs)
    assert "is of another run, on moons" in other.stderr


def test_a_run_that_has_trained_on_is_the_next_version(
    runs: Path, mine: Path, tmp_path: Path
) -> None:
    shutil.copytree(runs / "moons-maf", tmp_path / "moons-maf")
    other = (runs / "moons-maf" / "weights.safetensors").read_bytes()
    # the same tensors in a file of another checksum: its header may end in blanks
    length = int.from_bytes(other[:8], "little")
    header = other[8 : 8 + length] + b" " * 8
    longer = (length + 8).to_bytes(8, "little") + header + other[8 + length :]
    (tmp_path / "moons-maf" / "weights.safetensors").write_bytes(longer)
    assert exported_already(Run.open(tmp_path / "moons-maf"), mine, NAME) is None


def test_values_that_are_there_are_no_bundle_without_them() -> None:
    manifest = bundle.read(FORMAT_1.parent / "format_2" / "store" / "mixed" / "1")
    assert manifest.self_test is not None
    assert list(Asked(values=False).lacking(manifest)) == ["--no-values"]
    without = manifest.model_copy(update={"self_test": None})
    assert list(Asked(values=False).lacking(without)) == []
    assert list(Asked().lacking(manifest)) == []
