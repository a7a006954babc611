"""Recipes: what comes along is sound, and what is wrong is named."""

import tomllib
from pathlib import Path

import pytest

from models import zoo
from tests.helpers.recipes import call_bijecta
from training.config import recipe
from training.config.sources import TOY_DENSITIES, TableSource
from training.config.toml import RECIPES
from training.distill.choice import choose_losses
from training.distill.losses import WINDOWS
from training.distill.objective import DistillationLoss
from training.errors import RecipeError

GOOD = '[data]\nsource = "moons"\n[flow]\nfamily = "maf"\n'


NAMES = {path.stem for path in RECIPES.glob("*.toml")}
TEACHERS = {
    "bsds300-student": "bsds300",
    "digits-student": "digits-maf",
    "fsdd-student": "fsdd-wavenet",
    "mnist-student": "mnist-maf",
    "moons-maf-mog-student": "moons-maf-mog",
    "moons-nsf-ar-student": "moons-nsf-ar",
    "moons-transformer-student": "moons-transformer",
}


@pytest.mark.parametrize("name", sorted(NAMES - TEACHERS.keys()))
def test_recipes_that_come_along_are_sound(name: str) -> None:
    needs_data = "protocol" in (RECIPES / f"{name}.toml").read_text()
    loaded = recipe.load_recipe(name, Path("published") if needs_data else None)
    assert recipe.Recipe.model_validate_json(loaded.model_dump_json()) == loaded
    assert loaded.flow.typed or loaded.flow.options["transforms"] >= 1


@pytest.mark.parametrize("name", sorted(NAMES - TEACHERS.keys()))
def test_a_recipe_without_its_data_says_where_it_is_from(name: str, tmp_path: Path) -> None:
    source = tomllib.loads((RECIPES / f"{name}.toml").read_text())["data"].get("source")
    if source in ("digits", *TOY_DENSITIES):
        assert recipe.load_data_source(name) is not None
        return
    done = call_bijecta("train", name, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"bijecta: {name} comes without its data: " in done.stderr
    assert f"`bijecta train {name} --data " in done.stderr
    assert done.stderr.endswith(".\n")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", sorted(TEACHERS))
def test_students_that_come_along_match_their_teachers(name: str) -> None:
    makes_rows = TEACHERS[name].startswith("moons-")
    teacher = recipe.load_recipe(TEACHERS[name], None if makes_rows else Path("published"))
    student = recipe.load_student(name, teacher)
    assert recipe.Recipe.model_validate_json(student.model_dump_json()) == student
    assert (student.data, student.flow.preprocessing) == (teacher.data, teacher.flow.preprocessing)
    assert student.distill is not None
    flows = [
        zoo.build(one.flow.family, (WINDOWS[0],), options=one.flow.options)
        for one in (teacher, student)
    ]
    losses = student.distill.losses or choose_losses(flows[1], flows[0])[0]
    DistillationLoss(flows[1], flows[0], losses)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[flow", "is not a TOML file"),
        ("\xff", "is not a TOML file"),
        ("", "there is no [flow]: set family in it"),
        ("data = 3", "data: "),
        (GOOD + 'preprocessing = "scale"', "preprocessing is one of standardize, "),
        (GOOD + "per_pixel_marginals = true", "per_pixel_marginals is for preprocessing ="),
        (GOOD + "depth = 3", "flow"),
        (GOOD + 'transforms = "five"', "transforms: expected a whole number"),
        (GOOD + "transforms = 0", "transforms is at least 1"),
        (GOOD.replace("maf", "mof"), "flow: family is one of nice, realnvp, "),
        (GOOD + 'activation = "swash"', "activation is one of"),
        (GOOD + "hidden = [0]", "hidden widths are at least 1"),
        (GOOD + "dropout = 1.5", "dropout is in"),
        (GOOD.replace("maf", "iaf") + "dropout = 0.1", "iaf takes no dropout"),
        (GOOD + "[fit]\nepoch = 3", "fit.epoch is no key of a recipe: is epochs meant?"),
        (GOOD + "[fit]\nepochs = 0", "fit.epochs: expected at least 1, got 0"),
        (GOOD + "[fit]\nlearning_rate = -1", "fit.learning_rate"),
        (GOOD + "[fit]\nrecord = true\naccumulate = 2", "leave accumulate out"),
        (GOOD + "[extra]\na = 1", "extra is no key of a recipe: there is data, flow, fit, distill"),
        (GOOD.replace("[flow]", "validation = 0.5\ntest = 0.5\n[flow]"), "leave rows to train"),
        (GOOD.replace("[flow]", "bounds = [1, 0]\n[flow]"), "low < high"),
        (GOOD.replace('source = "moons"', ""), "names no data"),
    ],
)
def test_wrong_recipes_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RecipeError) as refusal:
        recipe.load_recipe(str(path))
    assert words in str(refusal.value)
    assert "wrong.toml" in str(refusal.value)


def test_unknown_recipes_are_told_from_those_there_are() -> None:
    with pytest.raises(
        RecipeError, match=r"no recipe file 'digit-maf': is digits-maf meant\?; .*nice"
    ):
        recipe.load_recipe("digit-maf")


def test_a_relative_source_is_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(GOOD.replace("moons", "rows.csv"))
    assert recipe.load_recipe(str(tmp_path / "mine.toml")).data.source == str(tmp_path / "rows.csv")


def test_data_overrides_the_source(tmp_path: Path) -> None:
    loaded = recipe.load_recipe("digits-maf", tmp_path / "x.npy")
    assert loaded.data.source == str((tmp_path / "x.npy").resolve())


def test_data_lies_beside_the_recipe_or_where_it_is_said_to_lie(tmp_path: Path) -> None:
    text = GOOD.replace('"moons"', '"train.npy"\ntest = "test.npy"')
    (tmp_path / "mine.toml").write_text(text)
    (elsewhere := tmp_path / "elsewhere").mkdir()
    name = str(tmp_path / "mine.toml")

    def places(data: Path | None) -> tuple[Path, Path]:
        loaded = recipe.load_recipe(name, data).data
        assert isinstance(loaded, TableSource)
        return Path(loaded.source), Path(str(loaded.test))

    assert places(None) == (tmp_path / "train.npy", tmp_path / "test.npy")
    (elsewhere / "train.npy").touch()
    assert places(elsewhere) == (elsewhere / "train.npy", elsewhere / "test.npy")
    other = elsewhere / "other.npy"
    assert places(other) == (other, tmp_path / "test.npy")
