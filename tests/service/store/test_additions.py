"""Keys that a manifest has got since format 1 began: beside it, where old servers let them be."""

import json
from pathlib import Path
from typing import Any

import pytest

from service import bundle
from service.bundle import ADDITIONS, MANIFEST, BundleError
from tests.helpers.stores import write_additions
from tests.helpers.tiny import write_tiny_bundle

# The keys that a server of `bde3c8a` knows; it refuses a manifest with any other.
KEYS_OF_FIRST_SERVERS = {
    *("format_version", "name", "version", "family", "event_shape", "latent_shape", "dtype"),
    *("arithmetic", "base", "base_parameters", "context_shape", "context", "cost", "inverse"),
    *("preprocessing", "support", "dequantization", "sound", "data", "held_out", "distilled"),
    *("calibration", "tolerances", "self_test", "files", "weights_sha256", "made_with"),
    "checksum",
}


LAYERS = {
    "names": ["coupling"],
    "arithmetic": "float32",
    "log_prob_per_dim_p99": 0.0,
    "log_prob_per_dim_max": 0.0,
    "states_relative": 0.0,
}


RUN_COST = {"row_bytes": 1, "rows": 2, "single_ms": 1.0, "batch_ms": 2.0}
SWEEPS = {"rows": 2, "median": 1.0, "max": 2.0, "guess": None}


def with_additions(folder: Path, content: Any) -> Path:
    """A bundle with additions; bytes are written as they are."""
    path = write_tiny_bundle(folder, "moons")
    write_additions(path, content)
    return path


def test_columns_are_read(tmp_path: Path) -> None:
    assert bundle.read(with_additions(tmp_path, {"columns": ["a", "b"]})).columns == ["a", "b"]


def test_sweeps_are_read(tmp_path: Path) -> None:
    guess = {"student": "s", "sha256": "0" * 64, "unguided": {"1": 2.5}}
    written = {"decode": SWEEPS | {"guess": guess}}
    manifest = bundle.read_flow(with_additions(tmp_path, {"sweeps": written}))
    assert {k: v.model_dump() for k, v in manifest.sweeps.items()} == written


def test_a_bundle_of_before_there_were_additions_has_none(tmp_path: Path) -> None:
    assert bundle.read(write_tiny_bundle(tmp_path, "moons")).columns is None


def test_additions_of_later_versions_are_passed_over(tmp_path: Path) -> None:
    manifest = bundle.read(with_additions(tmp_path, {"name": "other", "of_later": 1}))
    assert (manifest.name, manifest.columns) == ("moons", None)


@pytest.mark.parametrize(
    "content",
    [
        {"columns": ["a"]},
        {"columns": ["a", "a"]},
        {"columns": ["a", "b", "c"]},
        {"columns": ["a", 1]},
        {"columns": ["a", "b\n"]},
        {"columns": ["a", "b" * 501]},
        {"columns": "ab"},
        {"layers": LAYERS},  # without their graph
        {"layers": LAYERS | {"names": []}},
        {"layers": LAYERS | {"names": ["a\n"]}},
        {"layers": ["a"]},
        {"run_cost": {"encode": RUN_COST | {"row_bytes": -1}}},
        {"run_cost": {"encode": RUN_COST | {"row_bytes": 2**41}}},
        {"run_cost": {"encode": RUN_COST | {"rows": 1}}},
        {"run_cost": {"encode": RUN_COST | {"batch_ms": -1.0}}},
        {"run_cost": {"encode": RUN_COST | {"single_ms": float("nan")}}},
        {"run_cost": {"encode": 5}},
        {"sweeps": {"sample": SWEEPS}},
        {"sweeps": {"decode": SWEEPS | {"rows": 0}}},
        {"sweeps": {"decode": SWEEPS | {"max": float("inf")}}},
        {"sweeps": {"decode": SWEEPS | {"guess": {"student": "s"}}}},
        ["columns"],
        None,
        b"{",
        b"\xff",
        b"[" * 100_000,
    ],
    ids=repr,
)
def test_damaged_additions_are_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(BundleError, match=r"additions\.json is damaged"):
        bundle.read(with_additions(tmp_path, content))


def test_an_export_writes_no_key_that_the_first_servers_refuse(store: Path) -> None:
    for path in sorted(store.glob(f"*/1/{MANIFEST}")):
        assert json.loads(path.read_text()).keys() <= KEYS_OF_FIRST_SERVERS, path
        assert ADDITIONS in json.loads(path.read_text())["files"], path


def test_an_export_names_the_columns_that_its_data_names(store: Path) -> None:
    columns = {
        path.name: bundle.read(path / "1").columns for path in store.iterdir() if path.is_dir()
    }
    assert columns["moons-maf"] == columns["moons-context"] == ["x", "y"]
    assert columns["digits-maf"] is columns["digits-image"] is None
