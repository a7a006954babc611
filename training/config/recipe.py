"""Recipes: TOML files that say which data, which flow and how to fit it."""

import tomllib
from pathlib import Path

from pydantic import ValidationError, model_validator

from models import zoo
from training.config.data import FILES, TOY_DENSITIES, DataRecipe
from training.config.distill import DistillRecipe
from training.config.fit import FitRecipe
from training.config.flow import FlowRecipe
from training.config.section import Section
from training.errors import RecipeError

RECIPES = Path(__file__).parents[1] / "recipes"


PREPARING = {"preprocessing", "margin", "embedding"}


class Recipe(Section):
    """A whole recipe; `distill` is of students alone."""

    data: DataRecipe = DataRecipe()
    flow: FlowRecipe
    fit: FitRecipe = FitRecipe()
    distill: DistillRecipe | None = None

    @model_validator(mode="after")
    def _embeds_what_there_is(self) -> "Recipe":
        if self.flow.embedding is not None and self.data.labels is None:
            raise ValueError("embedding, in [flow], is of class labels: set labels in [data]")
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
        name_or_path: a TOML file, or the name of one that comes with Bijecta.
        data: see `moved`.

    Raises:
        RecipeError: no such recipe, not TOML, an unknown key, a wrong value, or no data source.
    """
    path, recipe = _read(name_or_path)
    if recipe.distill is not None:
        raise RecipeError(f"{path} is of a student: `bijecta distill TEACHER_RUN {name_or_path}`")
    if data is not None:
        recipe.data = moved(recipe.data, data)
    if recipe.data.source is None:
        raise RecipeError(f"{path} names no data: set source in [data], or pass --data PATH")
    if recipe.data.source not in ("digits", *TOY_DENSITIES):
        for part in FILES:
            if isinstance(name := getattr(recipe.data, part), str):
                setattr(recipe.data, part, str((path.parent / name).resolve()))
    return recipe


def load_student(name_or_path: str, teacher: Recipe) -> Recipe:
    """Read the recipe of a student, whose data and preprocessing are its teacher's.

    Raises:
        RecipeError: as of `load`, or the recipe has data or preprocessing of its own.
    """
    path, recipe = _read(name_or_path)
    if "data" in recipe.model_fields_set or recipe.flow.model_fields_set & PREPARING:
        raise RecipeError(
            f"{path}: a student has its teacher's data, preprocessing and embedding: leave [data] "
            f"and, in [flow], {', '.join(sorted(PREPARING))} out"
        )
    recipe.data = teacher.data
    prepared = {field: getattr(teacher.flow, field) for field in PREPARING}
    recipe.flow = recipe.flow.model_copy(update=prepared)
    recipe.distill = recipe.distill or DistillRecipe()
    return recipe


def _read(name_or_path: str) -> tuple[Path, Recipe]:
    """A recipe as it is written, and where."""
    path = Path(name_or_path)
    if not path.is_file():
        path = RECIPES / f"{name_or_path}.toml"
    if not path.is_file():
        raise RecipeError(
            f"no recipe file {name_or_path!r}; the recipes that come with Bijecta are: "
            + ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        )
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return path, Recipe.model_validate(content)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise RecipeError(f"{path}: {'; '.join(wrong)}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not a TOML file: {error}") from None


def moved(recipe: DataRecipe, data: Path) -> DataRecipe:
    """The same data in another place.

    Args:
        recipe: where it was.
        data: a folder that holds files of the same names; or what stands in place of the source.
    """
    data = data.resolve()
    if recipe.source is None or not (data / Path(recipe.source).name).exists():
        return recipe.model_copy(update={"source": str(data)})
    names = {part: getattr(recipe, part) for part in FILES}
    there = {part: str(data / Path(n).name) for part, n in names.items() if isinstance(n, str)}
    return recipe.model_copy(update=there)
