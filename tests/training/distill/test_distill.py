"""Distillation, from the command to the manifest of a student's bundle."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.flow import Flow
from service.bundle import files as bundle
from tests.helpers.recipes import call_bijecta
from training.commands import fit_run
from training.config.recipe import load_student
from training.data import load as data
from training.distill import fidelity, two_sample
from training.distill.objective import Distillation
from training.fit import loop
from training.runs import dataset_of
from training.runs.lifecycle import open_or_create
from training.runs.run import Run
from training.scoring import row_flops

CPU = torch.device("cpu")

STUDENT = """
[flow]
family = "iaf"
transforms = 2
hidden = [32, 32]

[distill]
rows = 4096
validation_rows = 1000
losses = [{kind = "teacher_path", end = 0.7}, {kind = "kl", start = 0.5}]

[fit]
epochs = 4
batch_size = 256
learning_rate = 5e-3
schedule = "cosine"
threads = 1
"""


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fidelity of few draws."""
    monkeypatch.setattr(fidelity, "ROWS", 600)


def write(folder: Path, text: str = STUDENT) -> Path:
    path = folder / "student.toml"
    path.write_text(text)
    return path


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    "teacher",
    [
        "moons-maf",
        pytest.param("digits-maf", marks=pytest.mark.long),
        pytest.param("digits-image", marks=pytest.mark.long),
    ],
)
def test_a_student_comes_near_its_teacher_and_says_so(
    runs: Path, store: Path, tmp_path: Path, teacher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "store"
    shutil.copytree(store / teacher, own / teacher)
    recipe, run = write(tmp_path), tmp_path / "student"
    taught = call_bijecta("distill", runs / teacher, recipe, "--out", run, cwd=runs)
    assert taught.returncode == 0, taught.stderr
    assert "KL(student‖teacher)" in taught.stdout
    scores = [json.loads(line)["validation"] for line in (run / "log.jsonl").open()]
    assert len(scores) == 4
    assert max(scores) > 0.3 * scores[0]  # both below zero
    figures = json.loads((run / "fidelity.json").read_text())
    kl = figures["kl_student_teacher"]
    dimensions = 2 if teacher == "moons-maf" else 64
    assert kl["mean"] == pytest.approx(-max(scores) / dimensions, abs=6 * kl["se"])
    assert 0.4 < figures["two_sample_of_teacher"] < 0.6

    monkeypatch.setattr(fidelity, "_draw", None)  # an export measures nothing twice
    exported = call_bijecta("export", run, "--store", own, cwd=runs)
    assert exported.returncode == 0, exported.stderr
    manifest = bundle.read_flow(own / "student" / "1")
    assert manifest.cost == {"encode": "sequential", "decode": "parallel"}
    assert manifest.distilled is not None
    assert (manifest.distilled.teacher, manifest.distilled.version) == (teacher, 1)
    assert manifest.distilled.sha256 == bundle.read_flow(own / teacher / "1").weights_sha256
    assert manifest.distilled.fidelity.model_dump() == figures
    theirs = bundle.read_flow(own / teacher / "1")
    assert manifest.preprocessing == theirs.preprocessing
    assert manifest.context == theirs.context
    held_out = theirs.held_out.log_prob
    assert manifest.distilled.fidelity.teacher_held_out.mean == pytest.approx(held_out, abs=1e-4)

    # a store without the teacher: the checksum tells which bundle it is, whenever that comes
    alone = call_bijecta("export", run, "--store", tmp_path / "alone", cwd=runs)
    assert f"has no bundle of its teacher, {teacher}: one that is exported later" in alone.stdout
    stated = bundle.read_flow(tmp_path / "alone" / "student" / "1").distilled
    assert stated is not None
    assert (stated.version, stated.sha256) == (None, theirs.weights_sha256)


@pytest.mark.usefixtures("few")
def test_a_student_keeps_to_its_teacher(runs: Path, tmp_path: Path) -> None:
    teacher, recipe, run = tmp_path / "teacher", write(tmp_path), tmp_path / "student"
    shutil.copytree(runs / "moons-maf", teacher)
    command = ("distill", teacher, recipe, "--out", run)
    assert call_bijecta(*command, cwd=runs).returncode == 0
    before = (run / "weights.safetensors").read_bytes()
    again = call_bijecta(*command, cwd=runs)
    assert again.returncode == 0, again.stderr
    assert (run / "weights.safetensors").read_bytes() == before
    shutil.copy(runs / "moons-iaf" / "weights.safetensors", teacher)
    other = call_bijecta(*command, cwd=runs)
    assert other.returncode == 1
    assert "holds a run of another teacher" in other.stderr
    late = call_bijecta("evaluate", run, cwd=runs)
    assert "has other weights than when" in late.stderr
    shutil.rmtree(teacher)
    gone = call_bijecta("evaluate", run, cwd=runs)
    assert gone.returncode == 1
    assert f"no run at {teacher}" in gone.stderr


@pytest.mark.usefixtures("few")
def test_draws_that_overflow_are_left_out_and_counted(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher, run = tmp_path / "teacher", tmp_path / "student"
    shutil.copytree(runs / "moons-maf", teacher)
    real = Flow.decode

    def decode(self: Flow, z: torch.Tensor, context: torch.Tensor | None = None) -> object:
        x, log_prob = real(self, z, context)
        # of far latents, as a flow with steep conditionals of many values does
        return torch.where((z > 2).any(1, keepdim=True), torch.nan, x), log_prob

    monkeypatch.setattr(Flow, "decode", decode)
    with pytest.warns(UserWarning, match=r"draws of the teacher overflow and are left out"):
        done = call_bijecta("distill", teacher, write(tmp_path), "--out", run, cwd=runs)
    assert done.returncode == 0, done.stderr
    figures = json.loads((run / "fidelity.json").read_text())
    assert figures["overflowing"] == pytest.approx(3 * 600 * (1 - 0.9772**2), rel=0.3)
    assert np.isfinite(figures["kl_student_teacher"]["mean"])
    assert f"{figures['overflowing']} draws overflow" in done.stdout


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("[flow]", '[data]\nsource = "moons"\n[flow]'), "a student has its teacher's data"),
        (("[flow]", '[flow]\npreprocessing = "none"'), "leave [data] and, in [flow], embedding"),
        (('kind = "kl", start = 0.5', 'kind = "kl", start = 0.8'), "no loss counts from 0.7"),
        (('kind = "kl"', 'kind = "cosine"'), "distill.losses.1.kind: expected 'kl'"),
        (
            ("[distill]", "[distill]\ntemperature = 1.5"),
            "kl is an expectation over the base itself",
        ),
        (('"iaf"', '"maf"'), "the student draws in many passes"),
        (("transforms = 2", "transforms = 3"), "expected 2 autoregressive layers"),
    ],
)
def test_recipes_that_make_no_student(
    runs: Path, tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    recipe = write(tmp_path, STUDENT.replace(*change))
    done = call_bijecta("distill", runs / "moons-maf", recipe, "--out", tmp_path / "s", cwd=runs)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_students_recipe_is_not_trained_without_a_teacher(runs: Path, tmp_path: Path) -> None:
    done = call_bijecta("train", write(tmp_path), "--data", "moons", cwd=runs)
    assert done.returncode == 1
    assert "bijecta distill TEACHER_RUN" in done.stderr


def objective(teacher: Run, folder: Path, text: str) -> Distillation:
    """What a student of this recipe learns, with weights that are always the same."""
    dataset = data.load_dataset(teacher.file.recipe.data)
    chosen = load_student(str(write(folder, text)), teacher.file.recipe)
    run = open_or_create(folder / str(hash(text)), "student", chosen, dataset, teacher)
    flow, generator = run.new_flow(), torch.Generator().manual_seed(0)
    for parameter in flow.parameters():
        parameter.data.normal_(std=0.1, generator=generator)
    return Distillation(run, flow, teacher.best_flow(), dataset)


def test_weights_are_chosen_by_the_divergence_or_by_the_last_losses(
    runs: Path, tmp_path: Path
) -> None:
    def learned(last: str, by: str) -> Distillation:
        text = STUDENT.replace('"kl", start = 0.5', f'"{last}", weight = 2.0, start = 0.5')
        text = text.replace("[distill]", f'[distill]\nchosen_by = "{by}"')
        return objective(Run.open(runs / "moons-maf"), tmp_path, text)

    def score(last: str, by: str) -> float:
        chosen = learned(last, by)
        return chosen.score(chosen.flow)

    assert score("kl", "loss") == pytest.approx(2 * score("kl", "kl"))
    assert score("pairs", "kl") == pytest.approx(score("kl", "kl"))
    flows = learned("pairs", "loss")
    z = flows.flow.base.sample(1000, torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours, theirs = (flow.decode(z)[0] for flow in (flows.student, flows.teacher))
    expected = -float((ours - theirs).square().sum(1).mean())  # twice the half of it
    assert score("pairs", "loss") == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["teacher_path", "student_path"])
def test_hotter_latents_are_learned_by_and_not_scored_by(
    runs: Path, tmp_path: Path, kind: str
) -> None:
    def learned(temperature: float) -> Distillation:
        kept = f'temperature = {temperature}\nlosses = [{{kind = "{kind}"}}]\n\n[fit]'
        text = STUDENT[: STUDENT.index("losses")] + kept + STUDENT.partition("[fit]")[2]
        return objective(Run.open(runs / "moons-maf"), tmp_path, text)

    warm, hot = learned(1.0), learned(1.5)
    assert warm.score(warm.flow) == hot.score(hot.flow)
    inputs = []
    for chosen in (warm, hot):
        torch.manual_seed(0)
        inputs.append(chosen.batch(torch.arange(600), 0.0)[0])
    torch.testing.assert_close(inputs[1][:, 0], 1.5 * inputs[0][:, 0])
    if kind == "teacher_path":
        with torch.no_grad():
            expected = hot.teacher.decode(inputs[1][:, 0])[0]
        torch.testing.assert_close(inputs[1][:, 1], expected)


def test_students_of_much_arithmetic_are_compared_on_fewer_draws(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, out = write(tmp_path, STUDENT.replace("epochs = 4", "epochs = 1")), tmp_path / "student"
    monkeypatch.setattr(fidelity, "ROWS", 300)
    teacher = runs / "digits-image"
    assert call_bijecta("distill", teacher, recipe, "--out", out, cwd=runs).returncode == 0
    run = Run.open(out)
    dataset = dataset_of(run, None)
    flops = sum(row_flops(each.best_flow()) or 0 for each in (run, run.teacher()))
    for most, rows in ((flops * 10**6, 300), (flops * 200, 200), (flops, fidelity.MIN_ROWS)):
        monkeypatch.setattr(fidelity, "MAX_FLOPS", most)
        assert fidelity.measure_fidelity(run, dataset).rows == rows


class KilledError(Exception):
    """Stands for whatever ends a process."""


@pytest.mark.parametrize("kind", ["teacher_path", "student_path"])
def test_an_interrupted_student_ends_as_if_it_had_not_been(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    text = STUDENT.replace("teacher_path", kind).replace("epochs = 4", "epochs = 2")
    recipe = write(tmp_path, text)
    monkeypatch.setattr(fidelity, "ROWS", 100)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    teacher = runs / "digits-image"
    assert call_bijecta("distill", teacher, recipe, "--out", whole, cwd=runs).returncode == 0

    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", 0.0)
    steps, real_step = 0, torch.optim.AdamW.step

    def step(self: torch.optim.AdamW) -> None:
        nonlocal steps
        steps += 1
        if steps == 22:
            raise KilledError  # in the middle of the second epoch
        real_step(self)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(KilledError):
        call_bijecta("distill", teacher, recipe, "--out", broken, cwd=runs)
    run = Run.open(broken)
    fit_run(run, data.load_dataset(run.file.recipe.data), CPU)
    for file in ("weights.safetensors", "state.safetensors"):
        one, other = (load_file(folder / file) for folder in (whole, broken))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_classifiers_tell_samples_apart_and_not_by_chance() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 2000, 5)).astype(np.float32)
    assert two_sample.accuracy(first, second) == pytest.approx(0.5, abs=0.05)
    assert two_sample.accuracy(first, second + 1.0) > 0.8  # 0.87 at best
    # means and deviations alike, and yet not the same
    tied = second.copy()
    tied[:, 1] = tied[:, 0] * rng.choice([-1, 1], 2000)
    assert two_sample.accuracy(first, tied) > 0.9
