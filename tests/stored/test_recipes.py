"""Recipes as they were written once mean what they meant."""

import json

import pytest

from tests.stored.files import FORMAT_1, RUNS, in_words_of_today, recipe_says, run_says

RECIPES = json.loads((FORMAT_1 / "recipes.json").read_text())


def check(said: dict[str, object], name: str) -> None:
    for key, value in in_words_of_today(RECIPES[name]).items():
        if value is not None or key in said:
            assert said[key] == value, key


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_mean_what_they_meant(name: str) -> None:
    check(recipe_says(FORMAT_1 / "recipes" / f"{name}.toml"), name)


def test_no_recipe_is_forgotten() -> None:
    files = {f"{p.parent.name}/{p.stem}" for p in (FORMAT_1 / "recipes").glob("*/*.toml")}
    assert files == RECIPES.keys()


@pytest.mark.parametrize("case", RUNS)
def test_runs_were_trained_by_the_same_recipes(case: str) -> None:
    check(run_says(FORMAT_1 / "runs" / case), f"own/{case}")
