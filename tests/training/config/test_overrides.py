"""`--set SECTION.KEY=VALUE`: a recipe with other values, for one run."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.recipes import call_bijecta, recipe_text
from training.cli.arguments import override
from training.config import load_recipe


@pytest.mark.parametrize(
    ("text", "keys", "value"),
    [
        ("fit.epochs=2", ["fit", "epochs"], 2),
        ("fit.learning_rate = 1e-2", ["fit", "learning_rate"], 0.01),
        ("flow.hidden=[8, 8]", ["flow", "hidden"], [8, 8]),
        ("data.augment=true", ["data", "augment"], True),
        ("flow.family=iaf", ["flow", "family"], "iaf"),
        ('flow.family="iaf"', ["flow", "family"], "iaf"),
        ("data.kinds.age=datetime %d=%m", ["data", "kinds", "age"], "datetime %d=%m"),
        ("flow.family=", ["flow", "family"], ""),
        ("fit.epochs=2\nfit.seed = 3", ["fit", "epochs"], "2\nfit.seed = 3"),
    ],
)
def test_a_value_is_toml_or_text(text: str, keys: list[str], value: Any) -> None:
    found = override(text)
    assert found == (keys, value)
    assert type(found[1]) is type(value)


@pytest.mark.parametrize("text", ["epochs=2", "fit.epochs", "fit.=2", ".epochs=2", "=", ""])
def test_what_names_no_key_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"expected SECTION\.KEY=VALUE"):
        override(text)


def test_values_count_in_place_of_those_of_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(recipe_text("moons-maf", epochs=9))
    changes = ["fit.epochs=1", "fit.seed=4", "data.rows=300", "flow.hidden=[8]"]
    command = ["train", "mine.toml", *[word for each in changes for word in ("--set", each)]]
    done = call_bijecta(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "best of 1 epochs" in done.stdout
    kept = json.loads((tmp_path / "runs" / "mine" / "run.json").read_text())["recipe"]
    assert (kept["fit"]["epochs"], kept["fit"]["seed"], kept["data"]["rows"]) == (1, 4, 300)
    assert kept["flow"]["hidden"] == [8]
    assert kept["flow"]["transforms"] == 2  # of the file
    again = call_bijecta(*command, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    other = call_bijecta("train", "mine.toml", cwd=tmp_path)
    assert "holds a run of another recipe or other data: choose another --out" in other.stderr


def test_a_student_takes_them_too(runs: Path, tmp_path: Path) -> None:
    done = call_bijecta(
        *("distill", runs / "moons-maf", "moons-nsf-ar-student", "--out", tmp_path / "student"),
        *("--set", "fit.epochs=1", "--set", "distill.rows=256", "--set", "flow.hidden=[8]"),
        *("--set", "distill.validation_rows=64", "--set", "flow.transforms=2"),
        cwd=runs,
    )
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "student" / "run.json").read_text())["recipe"]
    assert (kept["fit"]["epochs"], kept["distill"]["rows"]) == (1, 256)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ("fit.epoch=2", 1, "fit.epoch is no key of a recipe: is epochs meant?"),
        ("fit.epochs=two", 1, "fit.epochs: expected a whole number"),
        ("fit.epochs.least=2", 1, "--set fit.epochs.least: epochs holds no keys"),
        ("train.epochs=2", 1, "train is no key of a recipe"),
        ("epochs=2", 2, "argument --set: expected SECTION.KEY=VALUE, such as fit.epochs=2"),
    ],
)
def test_wrong_keys_and_values_are_named(
    tmp_path: Path, change: str, code: int, words: str
) -> None:
    done = call_bijecta("train", "moons-maf", "--set", change, cwd=tmp_path)
    assert done.returncode == code
    assert words in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_recipe_is_what_it_was_once_it_is_read_without_them() -> None:
    changed = load_recipe("moons-maf", overrides=[(["fit", "epochs"], 1)])
    assert changed.fit.epochs == 1
    assert load_recipe("moons-maf").fit.epochs > 1
