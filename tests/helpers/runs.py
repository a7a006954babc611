"""Runs of the small recipes: begun without the command, and what their folders hold."""

import json
from pathlib import Path

from tests.helpers.recipes import recipe_text
from training.config.recipe import Recipe, load_recipe
from training.data.dataset import Dataset
from training.data.load import load_dataset
from training.preprocessing import flow_spec
from training.runs.run import Run, RunFile


def recipe_and_data(
    folder: Path, name: str = "digits-maf", **fit: object
) -> tuple[Recipe, Dataset]:
    """A small recipe, written to the folder, with other values in [fit]; and its data."""
    path = folder / "small.toml"
    path.write_text(recipe_text(name))
    recipe = load_recipe(str(path))
    recipe.fit = recipe.fit.model_copy(update=fit)
    return recipe, load_dataset(recipe.data)


def start_run(folder: Path, recipe: Recipe, dataset: Dataset) -> Run:
    """A run that has not begun; a MAF has dropout, so that random numbers matter."""
    flow = flow_spec(dataset, recipe.flow)
    if recipe.flow.family == "maf":
        flow.options["dropout"] = 0.1
    file = RunFile(name="small", recipe=recipe, flow=flow, data_sha256=dataset.sha256)
    return Run.create(folder, file)


def logged(run: Run) -> list[dict[str, float]]:
    """The lines of the log without the seconds, in which no two trainings agree."""
    lines: list[dict[str, float]] = [
        json.loads(line) for line in (run.folder / "log.jsonl").open(encoding="utf-8")
    ]
    for line in lines:
        assert line.pop("seconds") >= 0
    return lines
