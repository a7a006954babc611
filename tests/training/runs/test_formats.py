"""run.json: what older code wrote means the same, and what newer code wrote is refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.laws.zoo_table import FLOWS
from training.config.flow_spec import FlowSpec
from training.config.recipe import Recipe
from training.errors import RunError
from training.runs.formats import FORMAT
from training.runs.run import Run, RunFile

# What format 1 wrote in [data] beside the source, whatever its kind: every key with its default.
DEFAULTS: dict[str, Any] = {
    "protocol": None,
    "key": None,
    "drop": [],
    "context": [],
    "labels": None,
    "window": None,
    "whole": False,
    "fade": 0,
    "level": None,
    "shape": None,
    "integers": "refuse",
    "noise": 0.0,
    "bounds": None,
    "rows": 50000,
    "augment": False,
    "train_rows": None,
    "validation": 0.1,
    "test": 0.1,
    "seed": 0,
}

SOURCES: dict[str, tuple[str, dict[str, Any]]] = {
    "csv": ("table", {"source": "/gone/rows.csv", "drop": ["id"], "labels": "sort"}),
    "parquet": ("table", {"source": "/gone/rows.parquet", "context": ["age"], "seed": 3}),
    "npy": ("table", {"source": "/gone/rows.npy", "test": "/gone/test.npy", "noise": 0.1}),
    "idx": ("table", {"source": "/gone/t10k-images-idx3-ubyte.gz", "bounds": [0.0, 255.0]}),
    "idx without suffix": ("table", {"source": "/gone/t10k-images-idx3-ubyte"}),
    "npz": ("archive", {"source": "/gone/rows.npz", "key": "X"}),
    "cifar": ("images", {"source": "/gone/data_batch_1.bin", "labels": "label"}),
    "svhn": ("images", {"source": "/gone/test_32x32.mat", "shape": [3, 32, 32]}),
    "pictures": ("images", {"source": "/gone/pictures", "integers": "dequantize"}),
    "zip": ("sounds", {"source": "/gone/spoken.zip", "window": 8, "whole": True, "fade": 2}),
    "sounds": ("sounds", {"source": "/gone/recordings-1.0", "window": 8, "level": 200.0}),
    "toy": ("toy", {"source": "rings", "rows": 400}),
    "digits": ("digits", {"source": "digits", "labels": "digit", "train_rows": 100}),
    "protocol": ("protocol", {"source": "/gone/power.npy", "protocol": "power", "augment": True}),
}


def write_format_1(folder: Path, data: dict[str, Any], **changes: Any) -> None:
    """A run.json as the code before formats had numbers wrote it."""
    content = {
        "name": "old",
        "recipe": {
            "data": DEFAULTS | data,
            "flow": {"family": "nice", "preprocessing": "standardize", "margin": 0.01},
            "fit": {},
            "distill": None,
        },
        "flow": {
            "family": "nice",
            "event_shape": [2],
            "preprocessing": [{"kind": "standardize", "mean": 0, "scale": [1.0, 2.5]}],
            "options": {"transforms": 2, "hidden": [8]},
        },
        "data_sha256": "0" * 64,
        "teacher": None,
    }
    (folder / "run.json").write_text(json.dumps(content | changes))


@pytest.mark.parametrize("case", SOURCES)
def test_a_source_of_format_1_means_what_its_recipe_means_today(tmp_path: Path, case: str) -> None:
    kind, data = SOURCES[case]
    write_format_1(tmp_path, data)
    run = Run.open(tmp_path)
    assert run.file.recipe.data.kind == kind
    flow = {"family": "nice"}
    # as the readers of format 1 divided
    division = {} if kind == "protocol" else {"repeated_rows": "apart"}
    today = Recipe.model_validate({"data": {**data, **division}, "flow": flow})
    assert run.file.recipe == today
    again = Run.create(tmp_path / "again", run.file)
    assert json.loads((tmp_path / "again" / "run.json").read_text())["format"] == FORMAT
    assert Run.open(again.folder).file == run.file


def test_keys_that_older_readers_ignored_are_left_out(tmp_path: Path) -> None:
    write_format_1(tmp_path, {"source": "/gone/rows.csv", "window": 8, "key": "X", "fade": 3})
    data = Run.open(tmp_path).file.recipe.data
    assert data.kind == "table"
    assert not data.model_dump().keys() & {"window", "key", "fade"}
    write_format_1(tmp_path, {"source": "digits", "drop": ["pixel_0_0"], "rows": 9})
    assert Run.open(tmp_path).file.recipe.data.kind == "digits"


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    write_format_1(tmp_path, {"source": "moons"}, format=FORMAT + 1)
    with pytest.raises(RunError, match=r"run.json was written by a newer Bijecta: format 3, and"):
        Run.open(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 0},
        {"recipe": 3},
        {"flow": {"family": "nice"}},
        {"flow": {"family": "nixe", "event_shape": [2]}},
        {"flow": {"family": "nice", "event_shape": [2], "depth": 2}},
        {"flow": {"family": "nice", "event_shape": [2], "options": {"depth": 2}}},
        {"flow": {"family": "nice", "event_shape": [2], "preprocessing": [{"kind": "scale"}]}},
        {
            "flow": {
                "family": "nice",
                "event_shape": [2],
                "preprocessing": [{"kind": "standardize", "mean": 0, "scale": 1, "shift": 2}],
            }
        },
        {"flow": {"family": "nice", "event_shape": [2], "context": {"columns": [{"mean": 0}]}}},
    ],
)
def test_what_is_no_run_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    write_format_1(tmp_path, {"source": "moons"}, **changes)
    with pytest.raises(RunError, match=r"run.json is damaged"):
        Run.open(tmp_path)
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(RunError, match=r"run.json is damaged"):
        Run.open(tmp_path)


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_is_kept_exactly(name: str) -> None:
    spec = FlowSpec.model_validate(FLOWS[name].arguments)
    recipe = Recipe.model_validate({"data": {"source": "x.csv"}, "flow": {"family": spec.family}})
    file = RunFile(name="run", recipe=recipe, flow=spec, data_sha256="0" * 64)
    written = json.loads(file.model_dump_json())["flow"]
    read = FlowSpec.model_validate(written)
    assert read == spec
    assert json.loads(read.model_dump_json()) == written
    assert "context" not in written or written["context"]["columns"]
    tensors, expected = read.build().state_dict(), FLOWS[name].flow().state_dict()
    assert {k: v.shape for k, v in tensors.items()} == {k: v.shape for k, v in expected.items()}
