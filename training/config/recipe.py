"""Recipes: which data, which flow and how to fit it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError, model_validator

from training.config.data import FILES, DataSource, moved_files
from training.config.distill import DistillRecipe
from training.config.fit import FitRecipe
from training.config.flow import TYPED_FAMILIES, FlowRecipe, family_class
from training.config.refusals import messages
from training.config.section import Section
from training.config.sources import TOY_DENSITIES, DigitsSource, FileSource, TypedSource
from training.config.toml import Overrides, content_of, whence_data
from training.errors import RecipeError

PATIENCE_WITHOUT_GRADIENTS = 5

FIT_OF_TYPED_COLUMNS: dict[str, Any] = {"learning_rate": 2e-3, "average": 0.99, "patience": 20}
"""Defaults of [fit] for densities over typed columns.

Beside a rate of 1e-3 they scored better on the two small OddBench tables that were tried (by 0.5
and 5.6 nats); an average of the weights does not depend on `epochs`, as a cosine schedule does.
"""

KEYS_OF_OTHER_FAMILIES = ("shape", "augment", "integers", "noise", "bounds")
"""The keys of [data] that say how numbers get a density; columns of any kind have one as they are.
"""

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
    def _decides_kinds(self) -> "Recipe":
        data, typed = self.data, self.flow.typed
        keys = [key for key in ("keep", "kinds") if getattr(data, key, None)]
        if keys and not typed:
            models = " and ".join(map(repr, TYPED_FAMILIES))
            raise ValueError(
                f"{' and '.join(keys)}, in [data], are for columns of any kind, which {models} "
                f"model, and {self.flow.family!r} does not"
            )
        if typed and not isinstance(data, TypedSource):
            raise ValueError(
                f"{self.flow.family!r} models the columns of tables: {data.source!r} is of kind "
                f"{data.kind}"
            )
        if not typed:
            return self
        fields = type(data).model_fields
        set_ = [key for key in KEYS_OF_OTHER_FAMILIES if getattr(data, key) != fields[key].default]
        if set_:
            raise ValueError(
                f"{' and '.join(set_)}, in [data], {'is' if len(set_) == 1 else 'are'} for other "
                f"families: {self.flow.family!r} models each column as it is"
            )
        return self

    @model_validator(mode="after")
    def _compiles_layers(self) -> "Recipe":
        if self.fit.compile and self.flow.typed:
            raise ValueError(f"compile, in [fit], is for layers: {self.flow.family!r} has none")
        return self

    @model_validator(mode="after")
    def _stops_soon_without_gradients(self) -> "Recipe":
        # each step is the best that can be fitted: once the score falls, it hardly rises again
        without_gradients = family_class(self.flow.family).without_gradients
        if without_gradients and "patience" not in self.fit.model_fields_set:
            self.fit = self.fit.model_copy(update={"patience": PATIENCE_WITHOUT_GRADIENTS})
            self.fit.model_fields_set.discard("patience")  # it is a default all the same
        return self

    @model_validator(mode="after")
    def _averages_weights_of_typed_columns(self) -> "Recipe":
        if self.flow.typed:
            left_out = FIT_OF_TYPED_COLUMNS.keys() - self.fit.model_fields_set
            update = {key: FIT_OF_TYPED_COLUMNS[key] for key in left_out}
            self.fit = self.fit.model_copy(update=update)
            self.fit.model_fields_set.difference_update(left_out)  # they are defaults all the same
        return self

    @model_validator(mode="after")
    def _augments_steps(self) -> "Recipe":
        if self.data.augment and family_class(self.flow.family).without_gradients:
            raise ValueError(
                f"augment, in [data], is for steps by gradients: {self.flow.family!r} makes none"
            )
        return self


def load_recipe(name_or_path: str, data: Path | None = None, overrides: Overrides = ()) -> Recipe:
    """Read a recipe.

    Args:
        name_or_path: a TOML file, or the name of a recipe that comes with Bijecta.
        data: where the data is, see `moved_files`.
        overrides: values that count in place of those of the file.

    Raises:
        RecipeError: no such recipe, not TOML, an unknown key, a wrong value, or no data source.
    """
    path, content = _with_its_files(name_or_path, data, overrides)
    return _validated(path, content)


def load_data_source(
    name_or_path: str, data: Path | None = None, overrides: Overrides = ()
) -> tuple[DataSource, bool] | None:
    """The [data] section of a recipe, and whether its columns may be of any kind; without torch.

    None where the section is wrong: `load_recipe` says what is, of all sections at once.

    Raises:
        RecipeError: no such recipe, not TOML, values that no key can have, or a recipe that comes
            without its data.
    """
    _, content = _with_its_files(name_or_path, data, overrides)
    if data is None and (whence := whence_data(name_or_path)):
        source = content["data"].get("source") if isinstance(content["data"], dict) else None
        if not (isinstance(source, str) and Path(source).exists()):
            raise RecipeError(f"{name_or_path} comes without its data: {whence}")
    try:
        source = _OnlyData.model_validate({"data": content["data"]}).data
    except ValidationError:
        return None
    flow = content.get("flow")
    return source, isinstance(flow, dict) and flow.get("family") in TYPED_FAMILIES


class _OnlyData(Section):
    """The sections of a recipe that say what its rows are."""

    data: DataSource


def load_student(name_or_path: str, teacher: Recipe, overrides: Overrides = ()) -> Recipe:
    """Read the recipe of a student, whose data and preprocessing are its teacher's.

    Raises:
        RecipeError: as of `load_recipe`, or the recipe has data or preprocessing of its own.
    """
    path, content = content_of(name_or_path, overrides)
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


def _with_its_files(
    name_or_path: str, data: Path | None, overrides: Overrides
) -> tuple[Path, dict[str, Any]]:
    """Where a recipe is, and its content with absolute paths of its data."""
    path, content = content_of(name_or_path, overrides)
    if "distill" in content:
        raise RecipeError(f"{path} is of a student: `bijecta distill TEACHER_RUN {name_or_path}`")
    keys = content.setdefault("data", {})
    if isinstance(keys, dict):
        try:
            if data is not None:
                keys |= moved_files(keys, data)
            if keys.get("source") not in ("digits", *TOY_DENSITIES):
                keys |= {
                    name: str((path.parent / keys[name]).resolve())
                    for name in FILES
                    if isinstance(keys.get(name), str) and keys[name]
                }
        except OSError as error:  # a name that is too long, or a folder that is not to be read
            raise RecipeError(f"{path}: data: {error.strerror}: {error.filename:.200}") from None
    return path, content


def _validated(path: Path, content: Mapping[str, Any]) -> Recipe:
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        said = messages(error.errors(include_url=False), content, Recipe)
        raise RecipeError(f"{path}: {said}") from None
