"""Recipes: TOML files that say which data, which flow and how to fit it."""

import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from models import zoo
from training.densities import DENSITIES
from training.errors import RecipeError
from training.protocols import PROTOCOLS
from training.sections import DistillRecipe, FitRecipe, Section

RECIPES = Path(__file__).parent / "recipes"

FILES = ("source", "validation", "test")

PREPARING = {"preprocessing", "margin", "embedding"}

Share = Annotated[float, Field(gt=0, lt=1)]


class DataRecipe(Section):
    """Where rows come from and how they are divided.

    Args:
        source: `digits`, a name from `densities.DENSITIES`, or a file's path, from the recipe's
            folder; `--data` overrides.
        protocol: one of `protocols.PROTOCOLS`: rows are prepared and divided as published, and
            of the other keys only `source`, `shape`, `augment` and `train_rows` count.
        key: array name, for an `.npz` that holds several.
        drop: columns to leave out, by name.
        context: columns of numbers that the flow is conditioned on instead of modelling them.
        labels: a column of class labels, whole numbers or text, that it is conditioned on; for
            `digits`, `digit`; for an `.npz`, a column or another of its arrays.
        window: samples of one row, of sounds.
        whole: whether a row is a whole sound, cut to the window or followed by silence.
        fade: samples over which the end of one that silence follows falls off, in a straight line.
        level: root mean square that each sound is scaled to, in its own sample steps.
        shape: of one row for the flow, such as [channels, height, width]; flat where left out.
        integers: what to do with whole-number columns: `refuse` them, as a density of a discrete
            column has no bound, or `dequantize` them with noise U(−½, ½).
        noise: deviation of normal noise that is added to every value, so that values that repeat,
            such as silence, have a density with a bound.
        bounds: the closed range of the values; needed for `logit` where not all are integers.
        rows: how many to draw, for densities.
        augment: draw training rows anew at each step: images mirrored left to right, every second
            one; patches of the protocol `bsds300` in all eight ways, and with fresh noise.
        train_rows: train on so many of the rows at most, the first where a protocol orders them.
        validation, test: what is held out for early stopping and for the reported figure: a share
            of the rows, or a file of its own, read as the source is.
        seed: of the draw and of the division.
    """

    source: str | None = None
    protocol: str | None = None
    key: str | None = None
    drop: list[str] = Field(default_factory=list)
    context: list[str] = Field(default_factory=list)
    labels: str | None = None
    window: Annotated[int, Field(ge=1)] | None = None
    whole: bool = False
    fade: Annotated[int, Field(ge=0)] = 0
    level: Annotated[float, Field(gt=0)] | None = None
    shape: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] | None = None
    integers: Literal["refuse", "dequantize"] = "refuse"
    noise: Annotated[float, Field(ge=0)] = 0.0
    bounds: tuple[float, float] | None = None
    rows: Annotated[int, Field(ge=10)] = 50_000
    augment: bool = False
    train_rows: Annotated[int, Field(ge=2)] | None = None
    validation: Share | str = 0.1
    test: Share | str = 0.1
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _leaves_rows_to_train_on(self) -> "DataRecipe":
        if sum(self.shares) >= 1:
            raise ValueError("validation and test together must leave rows to train on")
        if self.bounds is not None and self.bounds[0] >= self.bounds[1]:
            raise ValueError("bounds are [low, high] with low < high")
        return self

    @model_validator(mode="after")
    def _knows_its_protocol(self) -> "DataRecipe":
        if self.protocol is None:
            return self
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"protocol is one of {', '.join(PROTOCOLS)}, not {self.protocol!r}")
        # not by what was set: a run's file sets all
        free = {"source", "shape", "augment", "train_rows"}
        theirs = DataRecipe(**self.model_dump(include=free)).model_dump()
        given = self.model_dump(exclude={"protocol"})
        if more := sorted(name for name, value in given.items() if value != theirs[name]):
            raise ValueError(f"protocol {self.protocol!r} leaves no choice of {', '.join(more)}")
        return self

    @property
    def shares(self) -> list[float]:
        """What parts of the source's rows are held out, to validate and to test."""
        return [0.0 if isinstance(part, str) else part for part in (self.validation, self.test)]

    @model_validator(mode="after")
    def _gives_each_column_one_part(self) -> "DataRecipe":
        named = [*self.drop, *self.context, *([] if self.labels is None else [self.labels])]
        if twice := sorted({name for name in named if named.count(name) > 1}):
            raise ValueError(f"drop, context and labels name {twice} more than once")
        return self


class FlowRecipe(BaseModel):
    """The flow: a family of the zoo, and the family's options beside it.

    Args:
        family: a key of `zoo.FAMILIES`.
        preprocessing: `standardize`; `whiten`, which makes the standardized coordinates
            uncorrelated, those along which they vary most first; `logit` or `soft-logit`, either
            then standardized: `logit` ends in a box outside which there is no density,
            `soft-logit` goes on; `normal-marginals`, which makes each coordinate normal by a
            spline through its quantiles; or `none`.
        margin: by what part of the range the logit's box is wider than it on each side, so that
            values at its very edge stay well conditioned.
        embedding: learned features that stand for the class labels; one-hot where left out.
    """

    model_config = ConfigDict(extra="allow")

    family: str
    preprocessing: Literal[
        "standardize", "whiten", "logit", "soft-logit", "normal-marginals", "none"
    ] = "standardize"
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.01
    embedding: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _known_family_and_options(self) -> "FlowRecipe":
        if self.family not in zoo.FAMILIES:
            raise ValueError(f"family is one of {', '.join(zoo.FAMILIES)}, not {self.family!r}")
        # the options as the family reads them, defaults included, so that a checkpoint built
        # from this recipe does not change when a default does
        read = TypeAdapter(zoo.FAMILIES[self.family]).validate_python(self.model_extra)
        self.__pydantic_extra__ = asdict(read)
        return self

    @property
    def options(self) -> dict[str, Any]:
        """The family's options, complete."""
        return dict(self.model_extra or {})


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


def load(name_or_path: str, data: Path | None = None) -> Recipe:
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
    if recipe.data.source not in ("digits", *DENSITIES):
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
