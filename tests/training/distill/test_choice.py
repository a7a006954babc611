"""Students whose recipes name no losses learn by those that the two flows allow, and say which."""

import re
from pathlib import Path
from typing import Any

import pytest

from models import zoo
from service.bundle import files as bundle
from tests.helpers.recipes import call_bijecta
from training.config.toml import RECIPES
from training.distill.choice import choose_losses
from training.errors import TrainingError
from training.runs.run import Run

SMALL: dict[str, Any] = {"transforms": 2, "hidden": [8]}
SPLINES: dict[str, Any] = SMALL | {"univariate": "spline", "linear": True}
IMAGE = SMALL | {"patch": 2, "heads": 2}

BY_LAYERS = ["teacher_path", "student_path"]
BY_LATENTS = ["pairs", "latents", "kl"]

Described = tuple[str, dict[str, Any]]


@pytest.mark.parametrize(
    ("teacher", "student", "shape", "kinds", "reason"),
    [
        (("maf", SMALL), ("iaf", SMALL), (4,), BY_LAYERS, "its layers correspond"),
        (("nsf-ar", SMALL), ("iaf", SPLINES), (4,), BY_LAYERS, "its layers correspond"),
        (
            ("maf-mog", SMALL),
            ("iaf", SMALL | {"last": "spline"}),
            (4,),
            BY_LAYERS,
            "its layers correspond",
        ),
        (("transformer", IMAGE), ("iaf", SMALL), (4,), BY_LAYERS, "its layers correspond"),
        # in the order of patches, not of pixels
        (
            ("transformer", IMAGE),
            ("iaf", SMALL),
            (1, 4, 4),
            BY_LATENTS,
            "the order of the teacher's layer 0",
        ),
        (
            ("transformer", IMAGE),
            ("parallel-transformer", IMAGE),
            (1, 4, 4),
            BY_LAYERS,
            "its layers correspond",
        ),
        (
            ("nsf-ar", SMALL),
            ("nsf", SMALL),
            (4,),
            BY_LATENTS,
            "expected 2 autoregressive layers, or a multiple, not 0",
        ),
        (("realnvp", SMALL), ("realnvp", SMALL), (4,), BY_LATENTS, "expected a teacher of"),
        (("maf-logistic", SMALL), ("iaf", SMALL), (4,), ["kl"], "base, logistic, not normal"),
        (
            ("maf", SMALL | {"base": "student-t", "base_options": {"df": 3}}),
            ("iaf", SMALL | {"base": "student-t", "base_options": {"df": 4}}),
            (4,),
            ["kl"],
            "base, student-t, not one of other base_options",
        ),
    ],
)
def test_losses_are_those_that_the_flows_allow(
    teacher: Described, student: Described, shape: tuple[int, ...], kinds: list[str], reason: str
) -> None:
    flows = [zoo.build(family, shape, options=options) for family, options in (student, teacher)]
    losses, said = choose_losses(flows[0], flows[1])
    assert [loss.kind for loss in losses] == kinds
    assert reason in said
    assert "\n" not in said


def test_hotter_latents_leave_expectations_out() -> None:
    teacher = zoo.build("nsf-ar", (4,), options=SMALL)
    losses, _ = choose_losses(zoo.build("nsf", (4,), options=SMALL), teacher, 1.3)
    assert [loss.kind for loss in losses] == ["pairs", "latents"]
    other = zoo.build("iaf", (4,), options=SMALL | {"base": "logistic"})
    with pytest.raises(TrainingError, match="temperature is not for kl, which alone is left"):
        choose_losses(other, teacher, 1.3)


def test_flows_that_nothing_compares_are_refused() -> None:
    teacher, sequential = (zoo.build(name, (4,), options=SMALL) for name in ("nsf-ar", "maf"))
    with pytest.raises(TrainingError, match="the student draws in many passes"):
        choose_losses(sequential, teacher)
    with pytest.raises(TrainingError, match="the teacher scores in many passes"):
        choose_losses(zoo.build("iaf", (4,), options=SMALL), zoo.build("iaf", (4,), options=SMALL))


STUDENT = """
[flow]
family = "iaf"
transforms = 2
hidden = [16]

[distill]
rows = 512
validation_rows = 500

[fit]
epochs = 2
batch_size = 128
threads = 1
"""


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.distill.fidelity.ROWS", 200)


@pytest.mark.usefixtures("few")
def test_what_was_chosen_is_printed_and_kept(runs: Path, tmp_path: Path) -> None:
    recipe, run = tmp_path / "student.toml", tmp_path / "student"
    recipe.write_text(STUDENT)
    command = ("distill", runs / "moons-maf", recipe, "--out", run)
    first = call_bijecta(*command, cwd=runs)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith(
        "student: learns by teacher_path, student_path (from 0.5 of the training on): its layers "
        "correspond to its teacher's\n"
    )
    stored = Run.open(run).file.recipe.distill
    assert stored is not None
    assert stored.losses is not None
    assert [(loss.kind, loss.start) for loss in stored.losses] == [
        ("teacher_path", 0.0),
        ("student_path", 0.5),
    ]
    weights = (run / "weights.safetensors").read_bytes()
    again = call_bijecta(*command, cwd=runs)
    assert again.returncode == 0, again.stderr
    assert "learns by" not in again.stdout
    assert (run / "weights.safetensors").read_bytes() == weights


@pytest.mark.usefixtures("few")
def test_a_run_of_the_former_default_goes_on_by_it(runs: Path, tmp_path: Path) -> None:
    recipe, run = tmp_path / "student.toml", tmp_path / "student"
    named = STUDENT.replace("[fit]", 'losses = [{ kind = "kl" }]\n[fit]')
    recipe.write_text(named)
    command = ("distill", runs / "moons-maf", recipe, "--out", run)
    assert call_bijecta(*command, cwd=runs).returncode == 0
    recipe.write_text(STUDENT)
    again = call_bijecta(*command, cwd=runs)
    assert again.returncode == 0, again.stderr
    assert "learns by" not in again.stdout


def test_no_run_is_made_of_a_pair_that_is_refused(runs: Path, tmp_path: Path) -> None:
    recipe, run = tmp_path / "student.toml", tmp_path / "student"
    for text, words in (
        (STUDENT.replace("iaf", "maf"), "the student draws in many passes"),
        (
            STUDENT.replace("[distill]", 'base = "logistic"\n[distill]\ntemperature = 1.5'),
            "temperature is of a normal base, not of a logistic one",
        ),
        (
            STUDENT.replace("[fit]", 'losses = [{ kind = "conditional-kl" }]\n[fit]'),
            "conditional-kl is for teachers of one layer, not 2",
        ),
        (
            STUDENT.replace("2\nhidden", "3\nhidden").replace(
                "[fit]", 'losses = [{ kind = "teacher_path" }]\n[fit]'
            ),
            "expected 2 autoregressive layers, or a multiple, not 3",
        ),
    ):
        recipe.write_text(text)
        done = call_bijecta("distill", runs / "moons-maf", recipe, "--out", run, cwd=runs)
        assert done.returncode == 1
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert not run.exists()


def shortened(name: str) -> str:
    """A recipe that comes along, of few rows and steps."""
    text = (RECIPES / f"{name}.toml").read_text()
    for key, value in (("rows", 1500), ("epochs", 1), ("validation_rows", 300)):
        text = re.sub(rf"^{key} = \d+$", f"{key} = {value}", text, flags=re.MULTILINE)
    return text


@pytest.mark.long
@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("teacher", ["moons-nsf-ar", "moons-maf-mog", "moons-transformer"])
def test_students_of_splines_mixtures_and_attention_are_exported(
    tmp_path: Path, teacher: str
) -> None:
    for name in (teacher, f"{teacher}-student"):
        (tmp_path / f"{name}.toml").write_text(shortened(name))
    trained = call_bijecta("train", f"{teacher}.toml", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    student = f"runs/{teacher}-student"
    taught = call_bijecta("distill", f"runs/{teacher}", f"{teacher}-student.toml", cwd=tmp_path)
    assert taught.returncode == 0, taught.stderr
    assert "learns by teacher_path, student_path" in taught.stdout
    exported = call_bijecta("export", student, "--store", "store", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    manifest = bundle.read_flow(tmp_path / "store" / f"{teacher}-student" / "1")
    assert manifest.cost == {"encode": "sequential", "decode": "parallel"}
    assert manifest.distilled is not None
    assert manifest.distilled.teacher == teacher
