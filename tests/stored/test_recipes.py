"""Recipes as they were written once mean what they meant."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.stored.files import FORMAT_1, RUNS, in_words_of_today, recipe_says, run_says

RECIPES = json.loads((FORMAT_1 / "recipes.json").read_text())


# Defaults that have changed for recipes that are begun today: by family and key, then and now.
CHANGED_DEFAULTS = {("iterative-gaussianization", "fit.patience"): (30, 5)}


def check(said: dict[str, object], name: str, changed: Mapping[Any, Any] | None = None) -> None:
    for key, value in in_words_of_today(RECIPES[name]).items():
        if (changed or {}).get((said["flow.family"], key)) == (value, said[key]):
            continue
        if value is not None or key in said:
            assert said[key] == value, key


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_mean_what_they_meant(name: str) -> None:
    check(recipe_says(FORMAT_1 / "recipes" / f"{name}.toml"), name, CHANGED_DEFAULTS)


def test_no_recipe_is_forgotten() -> None:
    files = {f"{p.parent.name}/{p.stem}" for p in (FORMAT_1 / "recipes").glob("*/*.toml")}
    assert files == RECIPES.keys()


@pytest.mark.parametrize("case", RUNS)
def test_runs_were_trained_by_the_same_recipes(case: str) -> None:
    check(run_says(FORMAT_1 / "runs" / case), f"own/{case}")
