"""Training: exact resumption, early stopping, guards."""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.flow import Flow
from tests.helpers.runs import logged, recipe_and_data, start_run
from training import scoring
from training.errors import NonFiniteError, RunError
from training.fit import gradient as fit
from training.fit import loop
from training.runs import Progress, Run

CPU = torch.device("cpu")


class KilledError(Exception):
    """Stands for whatever ends a process."""


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("digits-maf", "float32"),
        ("moons-iaf", "float32"),
        ("digits-image", "bfloat16"),
        ("digits-image", "float16"),
    ],
)
def test_an_interrupted_run_ends_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, precision: str
) -> None:
    # whatever CPU this is, which trains in float32 where it is slow in narrow types
    monkeypatch.setattr("training.fit.precision._slowdown", lambda _: 1.0)
    chosen, dataset = recipe_and_data(
        tmp_path, name, epochs=5, schedule="cosine", precision=precision
    )
    whole, broken = (start_run(tmp_path / n, chosen, dataset) for n in ("whole", "broken"))
    fit.fit(whole, dataset, CPU)

    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", 0.0)
    steps, real_step = 0, torch.optim.AdamW.step

    def step(self: torch.optim.AdamW) -> None:
        nonlocal steps
        steps += 1
        if steps == int(2.5 * len(dataset.train) / chosen.fit.batch_size):
            raise KilledError  # in the middle of the third epoch
        real_step(self)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(KilledError):
        fit.fit(broken, dataset, CPU)
    assert len((broken.folder / "log.jsonl").read_text().splitlines()) == 2
    (broken.folder / "log.jsonl").open("a").write('{"epoch": 3, "tr')  # cut off by the kill
    progress = fit.fit(Run.open(broken.folder), dataset, CPU)

    assert progress.finished
    for file in ("weights.safetensors", "state.safetensors"):
        one, other = (load_file(run.folder / file) for run in (whole, broken))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert logged(whole) == logged(broken)
    scales = [run.load_state().scaler for run in (whole, broken)]
    assert scales[0] == scales[1]
    assert bool(scales[0]) == (precision == "float16")


def test_layers_start_from_the_first_rows_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[torch.Tensor, ...]] = []
    monkeypatch.setattr(Flow, "initialize_from_data", lambda _, *rows: started.append(rows))
    chosen, dataset = recipe_and_data(tmp_path, "digits-image", epochs=2)
    run = start_run(tmp_path / "run", chosen, dataset)
    fit.fit(run, dataset, CPU)
    ((x, context),) = started
    assert dataset.train.context is not None
    assert x.shape == (1024, 1, 8, 8)
    assert np.array_equal(context.numpy(), dataset.train.context[:1024])
    noise = x.numpy() - dataset.train.rows[:1024]
    assert 0.45 < np.abs(noise).max() <= 0.5
    run.file.recipe.fit.epochs = 3
    longer = run.load_state(flow=(flow := run.new_flow()))
    longer.finished = False
    run.save_state(longer, flow=flow)
    fit.fit(run, dataset, CPU)
    assert len(started) == 1
    again = start_run(tmp_path / "again", chosen, dataset)
    fit.fit(again, dataset, CPU)
    assert torch.equal(started[1][0], x)


class Scripted:
    """A trainer whose passes have scores that are known beforehand; its weights count passes."""

    device, passes, keeps_all_passes = CPU, 8, False
    pass_name, unit, units_per_pass = "pass", "unit", 3

    def __init__(self, scores: list[float], killed_at: tuple[int, int] | None = None) -> None:
        self.scores, self.killed_at = scores, killed_at
        self.counter = torch.nn.Linear(1, 1, bias=False).requires_grad_(False)
        self.counter.weight.zero_()

    def state(self) -> dict[str, torch.nn.Module]:
        return {"counter": self.counter}

    def save_into(self, progress: Progress) -> None:
        progress.scaler = {"saved": float(progress.epoch)}

    def begin(self, progress: Progress) -> None:
        fresh = progress.epoch == progress.step == 0
        assert progress.scaler == ({} if fresh else {"saved": float(progress.epoch)})

    def units_done(self, progress: Progress) -> int:
        return 3 * progress.epoch + progress.step

    def run_pass(self, progress: Progress, advance: Callable[[int], None]) -> loop.Evaluation:
        while progress.step < 3:
            if (progress.epoch, progress.step) == self.killed_at:
                raise KilledError
            self.counter.weight.add_(1)
            progress.step += 1
            advance(1)
        return loop.Evaluation(self.scores[progress.epoch], {"validation": 0.0})

    def weights(self, passes: int) -> dict[str, torch.Tensor]:
        return {"passes": self.counter.weight.clone()}


@pytest.mark.parametrize(
    ("scores", "passes", "best"),
    [
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 8, 8),
        ([1.0, 3.0, 2.0, 3.0, 2.0, 9.0, 9.0, 9.0], 4, 2),
        ([1.0, 3.0, 2.0, 4.0, 2.0, 3.0, 9.0, 9.0], 6, 4),
        ([float("nan"), 1.0, float("nan"), float("-inf"), 5.0, 6.0, 7.0, 8.0], 4, 2),
    ],
)
def test_any_trainer_stops_and_resumes_wherever_it_is_killed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scores: list[float],
    passes: int,
    best: int,
) -> None:
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", -1.0)
    chosen, dataset = recipe_and_data(tmp_path, "moons-maf", patience=2)
    whole = start_run(tmp_path / "whole", chosen, dataset)
    expected = loop.TrainingLoop(whole, Scripted(scores)).train()
    assert (expected.epoch, expected.best_epoch, expected.finished) == (passes, best, True)
    assert load_file(whole.weights)["passes"].item() == 3 * best
    assert [line["pass"] for line in logged(whole)] == list(range(1, passes + 1))
    for killed_at in itertools.product(range(passes), range(3)):
        run = start_run(tmp_path / f"killed at {killed_at}", chosen, dataset)
        with pytest.raises(KilledError):
            loop.TrainingLoop(run, Scripted(scores, killed_at)).train()
        (run.folder / "log.jsonl").open("a").write('{"pass": 9')  # a kill may cut a line off
        progress = loop.TrainingLoop(Run.open(run.folder), Scripted(scores)).train()
        assert replace(progress, seconds=0) == replace(expected, seconds=0)
        assert load_file(run.weights)["passes"].item() == 3 * best
        assert logged(run) == logged(whole)


def test_a_training_without_a_finite_score_says_so(tmp_path: Path) -> None:
    chosen, dataset = recipe_and_data(tmp_path, "moons-maf", patience=3)
    run = start_run(tmp_path / "run", chosen, dataset)
    with pytest.raises(NonFiniteError, match="in 3 passs no score of the validation rows"):
        loop.TrainingLoop(run, Scripted([float("nan")] * 8)).train()


def test_early_stopping_keeps_the_best_weights(tmp_path: Path) -> None:
    chosen, dataset = recipe_and_data(tmp_path, epochs=50, patience=3, learning_rate=0.05)
    run = start_run(tmp_path / "run", chosen, dataset)
    progress = fit.fit(run, dataset, CPU)
    scores = [
        json.loads(line)["validation"]
        for line in (run.folder / "log.jsonl").read_text().splitlines()
    ]
    assert progress.epoch < 50
    assert progress.epoch == len(scores) == progress.best_epoch + 3
    assert max(scores) == scores[progress.best_epoch - 1] == progress.best_score
    validation = dataset.noisy(dataset.validation.rows, chosen.fit.noise_copies, chosen.fit.seed)
    score = scoring.log_prob(run.best_flow(), validation).mean()
    assert score == pytest.approx(progress.best_score, abs=1e-4)


def test_a_loss_that_is_no_number_stops_training_and_names_batch_and_rows(tmp_path: Path) -> None:
    chosen, dataset = recipe_and_data(tmp_path, "moons-maf")
    run = start_run(tmp_path / "run", chosen, dataset)
    dataset.train.rows[7] = np.nan
    with pytest.raises(NonFiniteError, match=r"epoch 1, batch \d+: training rows \[7\] of 1"):
        fit.fit(run, dataset, CPU)
    refused = load_file(run.folder / "refused-0.safetensors")
    rows = refused["rows"].tolist()
    assert len(rows) == chosen.fit.batch_size
    np.testing.assert_array_equal(refused["x"], dataset.train.rows[rows])
    finite = torch.isfinite(refused["log_prob"]).tolist()
    assert [row for row, good in zip(rows, finite, strict=True) if not good] == [7]


def test_damaged_runs_are_refused(tmp_path: Path) -> None:
    chosen, dataset = recipe_and_data(tmp_path, "moons-maf", epochs=1)
    with pytest.raises(RunError, match="no run at"):
        Run.open(tmp_path / "none")
    run = start_run(tmp_path / "run", chosen, dataset)
    with pytest.raises(RunError, match="no weights yet"):
        run.best_flow()
    fit.fit(run, dataset, CPU)
    for name in ("weights", "state"):
        path = run.folder / f"{name}.safetensors"
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match=r"weights.safetensors is damaged"):
        run.best_flow()
    with pytest.raises(RunError, match=r"state.safetensors is damaged"):
        fit.fit(run, dataset, CPU)
    (run.folder / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"run.json is damaged"):
        Run.open(run.folder)


def test_progress_is_zero_before_the_first_save(tmp_path: Path) -> None:
    chosen, dataset = recipe_and_data(tmp_path, "moons-maf")
    run = start_run(tmp_path / "run", chosen, dataset)
    assert run.load_state(flow=run.new_flow()) == Progress()
