"""Any value under any key of a recipe makes a recipe, or one line that names the key."""

from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from models import zoo
from models.families import Family
from tests.helpers.examples import examples
from tests.helpers.hostile_values import VALUES, toml_text
from training.config import SOURCE_KINDS, FlowSpec, Recipe, load_recipe
from training.config.distill import DistillRecipe, LossRecipe
from training.config.fit import FitRecipe
from training.config.flow import FlowRecipe, complete_options
from training.errors import RecipeError

COMMON = {option.name for option in fields(Family)}
FLOW = {"family": "maf"}
DATA = {
    "table": {"source": "rows.csv"},
    "archive": {"source": "rows.npz"},
    "images": {"source": "photos.mat"},
    "sounds": {"source": "spoken.zip", "window": 8},
    "toy": {"source": "moons"},
    "digits": {"source": "digits"},
    "protocol": {"source": "gas.npy", "protocol": "gas"},
}


def _places() -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """A sound recipe, and the key in it that holds something else."""
    for kind, data in DATA.items():
        for key in (*SOURCE_KINDS[kind].model_fields, "depth"):
            yield {"data": data, "flow": FLOW}, ("data", key)
    for family in zoo.FAMILIES:
        options = [option.name for option in fields(zoo.FAMILIES[family])]
        if family != "maf":  # those of all families once
            options = [name for name in options if name not in COMMON]
        for key in (*options, "depth"):
            yield {"data": DATA["toy"], "flow": {"family": family}}, ("flow", key)
    for key in (*FitRecipe.model_fields, "epoch"):
        yield {"data": DATA["toy"], "flow": FLOW}, ("fit", key)
    for key in FlowRecipe.model_fields:
        yield {"data": DATA["toy"], "flow": FLOW}, ("flow", key)
    for key in ("data", "flow", "fit", "more", "\0", "a\nb"):
        yield {"data": DATA["toy"], "flow": FLOW}, (key,)


PLACES = tuple(_places())


def check(folder: Path, content: dict[str, Any], place: tuple[str, ...], value: Any) -> None:
    """Write a recipe, read it, and build its flow."""
    section, *key = place
    changed = content | {section: content.get(section, {}) | {key[0]: value} if key else value}
    path = folder / "any.toml"
    path.write_text(toml_text(changed), encoding="utf-8")
    try:
        recipe = load_recipe(str(path))
    except RecipeError as error:
        said = str(error)
        assert "\n" not in said
        assert len(said) < 2000
        assert any(part.strip("\0\nab") in said for part in place[-1:])
        return
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    flow = {"family": recipe.flow.family, "event_shape": [2], "options": recipe.flow.options}
    with suppress(ValueError) if place[0] == "flow" else nullcontext():
        FlowSpec.model_validate(flow).build()


@examples(100)
@given(place=st.sampled_from(PLACES), value=st.sampled_from(VALUES))
def test_any_value_under_a_key_makes_a_recipe_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[Any, tuple[str, ...]], value: Any
) -> None:
    check(tmp_path_factory.getbasetemp(), *place, value)


@pytest.mark.long
@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(place[1]))
def test_all_values_under_all_keys_make_a_recipe_or_one_line(
    tmp_path: Path, place: tuple[Any, tuple[str, ...]]
) -> None:
    for value in VALUES:
        check(tmp_path, *place, value)


def _numbers() -> Iterator[tuple[type[BaseModel] | str, str]]:
    """All keys of a recipe that hold a number that may have a fraction."""
    sections: tuple[type[BaseModel], ...] = (*SOURCE_KINDS.values(), FitRecipe, FlowRecipe)
    sections = (*sections, DistillRecipe, LossRecipe)
    for section in sections:
        for name, one in section.model_fields.items():
            if "float" in str(one.annotation):
                yield section, name
    for family_name, family in zoo.FAMILIES.items():
        yield from ((family_name, f.name) for f in fields(family) if "float" in str(f.type))


@pytest.mark.parametrize("number", [float("inf"), -float("inf"), float("nan"), 1e300])
def test_every_number_of_a_recipe_is_finite_and_has_a_range(number: float) -> None:
    for section, name in _numbers():
        key, value = name, number
        given: dict[str, Any] = {name: number}
        if name == "bounds":
            given = {name: [0.0, number]}
        if name == "base_options":
            key, given = "df", {"base": "student-t", name: {"df": value}}
        with pytest.raises(ValueError, match=key):
            _validate(section, given)


def _validate(section: type[BaseModel] | str, given: dict[str, Any]) -> None:
    if isinstance(section, str):
        complete_options(section, given)
        return
    sound = {"family": "maf", "source": "a.csv", "window": 1, "protocol": "gas"}
    if section is LossRecipe:
        sound["kind"] = "kl"
    section.model_validate({k: v for k, v in sound.items() if k in section.model_fields} | given)
