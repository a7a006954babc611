"""Recipes: TOML files that say which data, which flow and how to fit it."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import ValidationError, model_validator

from models import zoo
from training.config.data import FILES, DataSource, moved_files
from training.config.distill import DistillRecipe
from training.config.fit import FitRecipe
from training.config.flow import FlowRecipe
from training.config.section import Section
from training.config.sources import TOY_DENSITIES, DigitsSource, FileSource
from training.errors import RecipeError

RECIPES = Path(__file__).parents[1] / "recipes"

PATIENCE_WITHOUT_GRADIENTS = 5

TEACHERS_KEYS = ("preprocessing", "margin", "per_pixel_marginals", "embedding")
"""The keys of [flow] that a student takes from its teacher."""


class Recipe(Section):
    """A whole recipe; only a student has `distill`."""

    data: DataSource
    flow: FlowRecipe
    fit: FitRecipe = FitRecipe()
    distill: DistillRecipe | None = None

    @model_validator(mode="after")
    def _embeds_labels(self) -> "Recipe":
        data = self.data
        labels = data.labels if isinstance(data, FileSource | DigitsSource) else None
        if self.flow.embedding is not None and labels is None:
            raise ValueError("embedding, in [flow], is of class labels: set labels in [data]")
        return self

    @model_validator(mode="after")
    def _stops_soon_without_gradients(self) -> "Recipe":
        # each step is the best that can be fitted: once the score falls, it hardly rises again
        without_gradients = zoo.FAMILIES[self.flow.family].without_gradients
        if without_gradients and "patience" not in self.fit.model_fields_set:
            self.fit = self.fit.model_copy(update={"patience": PATIENCE_WITHOUT_GRADIENTS})
            self.fit.model_fields_set.discard("patience")  # it is a default all the same
        return self

    @model_validator(mode="after")
    def _augments_steps(self) -> "Recipe":
        if self.data.augment and zoo.FAMILIES[self.flow.family].without_gradients:
            raise ValueError(
                f"augment, in [data], is for steps by gradients: {self.flow.family!r} makes none"
            )
        return self


def load_recipe(name_or_path: str, data: Path | None = None) -> Recipe:
    """Read a recipe.

    Args:
        name_or_path: a TOML file, or the name of a recipe that comes with Bijecta.
        data: where the data is, see `moved_files`.

    Raises:
        RecipeError: no such recipe, not TOML, an unknown key, a wrong value, or no data source.
    """
    path, content = _read(name_or_path)
    if "distill" in content:
        raise RecipeError(f"{path} is of a student: `bijecta distill TEACHER_RUN {name_or_path}`")
    if isinstance(keys := content.setdefault("data", {}), dict):
        if data is not None:
            keys |= moved_files(keys, data)
        if keys.get("source") not in ("digits", *TOY_DENSITIES):
            keys |= {
                name: str((path.parent / keys[name]).resolve())
                for name in FILES
                if isinstance(keys.get(name), str)
            }
    return _validated(path, content)


def load_student(name_or_path: str, teacher: Recipe) -> Recipe:
    """Read the recipe of a student, whose data and preprocessing are its teacher's.

    Raises:
        RecipeError: as of `load_recipe`, or the recipe has data or preprocessing of its own.
    """
    path, content = _read(name_or_path)
    flow = content.get("flow", {})
    if "data" in content or (isinstance(flow, dict) and flow.keys() & set(TEACHERS_KEYS)):
        raise RecipeError(
            f"{path}: a student has its teacher's data, preprocessing and embedding: leave [data] "
            f"and, in [flow], {', '.join(sorted(TEACHERS_KEYS))} out"
        )
    content = {"data": teacher.data, "distill": {}} | content
    if isinstance(flow, dict):
        content["flow"] = flow | {key: getattr(teacher.flow, key) for key in TEACHERS_KEYS}
    return _validated(path, content)


def _read(name_or_path: str) -> tuple[Path, dict[str, Any]]:
    """Where a recipe is, and its content."""
    path = Path(name_or_path)
    if not path.is_file():
        path = RECIPES / f"{name_or_path}.toml"
    if not path.is_file():
        raise RecipeError(
            f"no recipe file {name_or_path!r}; the recipes that come with Bijecta are: "
            + ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        )
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not a TOML file: {error}") from None


def _validated(path: Path, content: Mapping[str, Any]) -> Recipe:
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        said = "; ".join(_message(one, content) for one in error.errors())
        raise RecipeError(f"{path}: {said}") from None


def _message(error: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    section, *key = error["loc"] or ("",)
    if section == "flow" and not key and error["type"] == "missing":
        return f"there is no [flow]: set family in it, one of {', '.join(zoo.FAMILIES)}"
    if section == "flow" and error["type"] == "unexpected_keyword_argument":
        family = zoo.FAMILIES[content["flow"]["family"]]
        known = [*(field.name for field in fields(family)), *FlowRecipe.model_fields]
        like = difflib.get_close_matches(str(key[-1]), known, 1)
        meant = f"is {like[0]} meant?" if like else f"it has {', '.join(known)}"
        return f"flow.{key[-1]} is no key of this family: {meant}"
    if section == "data":
        if key[1:] == ["source"] and error["type"] == "missing":
            return "names no data: set source in [data], or pass --data PATH"
        key = key[1:]  # without the kind of source
    return f"{'.'.join(map(str, (section, *key)))}: {error['msg']}"
