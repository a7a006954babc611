"""Keys and values of recipes that were renamed: the former ones mean the same for good."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from training.config.distill import DistillRecipe, LossRecipe
from training.config.fit import FitRecipe
from training.config.flow import FlowRecipe
from training.config.recipe import Recipe, load_recipe
from training.errors import RecipeError

FORMER = """
[data]
source = "digits"
shape = [1, 8, 8]

[flow]
family = "glow"
places = true

[distill]
terms = [{ kind = "layers" }, { kind = "own-layers", weight = 0.5, start = 0.2 }]

[fit]
record = true
"""

CURRENT = """
[data]
source = "digits"
shape = [1, 8, 8]

[flow]
family = "glow"
positional_bias = true

[distill]
losses = [{ kind = "teacher_path" }, { kind = "student_path", weight = 0.5, start = 0.2 }]

[fit]
cuda_graph = true
"""


def read(text: str) -> Recipe:
    return Recipe.model_validate(tomllib.loads(text))


def test_former_names_mean_what_the_current_ones_mean() -> None:
    former = read(FORMER)
    assert former == read(CURRENT)
    assert former.fit.cuda_graph
    assert former.flow.options["positional_bias"]
    assert former.distill is not None
    assert former.distill.losses is not None
    assert [loss.kind for loss in former.distill.losses] == ["teacher_path", "student_path"]


def test_what_is_written_has_the_current_names() -> None:
    written = read(FORMER).model_dump_json()
    assert Recipe.model_validate_json(written) == read(CURRENT)
    for former in ('"places"', '"terms"', '"record"', '"layers"', '"own-layers"'):
        assert former not in written


@pytest.mark.parametrize(
    ("section", "values", "names"),
    [
        (FitRecipe, {"record": True, "cuda_graph": True}, ("record", "cuda_graph")),
        (
            DistillRecipe,
            {"terms": [{"kind": "kl"}], "losses": [{"kind": "kl"}]},
            ("terms", "losses"),
        ),
        (
            FlowRecipe,
            {"family": "wavenet", "places": True, "positional_bias": True},
            ("places", "positional_bias"),
        ),
    ],
)
def test_a_key_by_both_of_its_names_is_refused(
    section: Any, values: dict[str, Any], names: tuple[str, str]
) -> None:
    with pytest.raises(ValidationError, match=f"{names[0]!r} is the former name of {names[1]!r}"):
        section.model_validate(values)


def test_the_error_of_a_recipe_names_both_keys(tmp_path: Path) -> None:
    path = tmp_path / "both.toml"
    path.write_text('[flow]\nfamily = "maf"\n[fit]\nrecord = true\ncuda_graph = true\n')
    with pytest.raises(RecipeError, match="'record' is the former name of 'cuda_graph'"):
        load_recipe(str(path))


def test_a_kind_that_never_was_is_refused() -> None:
    with pytest.raises(ValidationError, match="Input should be 'kl'"):
        LossRecipe.model_validate({"kind": "all-layers"})
