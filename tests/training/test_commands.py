"""The commands of training: what they say, leave behind, and refuse."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from service.cli import main
from tests.helpers.recipes import call_bijecta, recipe_text
from training.data import load_dataset
from training.errors import TrainingError
from training.fit.tensorboard import tensorboard_writer
from training.runs import Run, training_lock


def test_commands_train_once_then_say_what_is_there(runs: Path) -> None:
    recipe_path = runs / "moons-maf.toml"
    before = (runs / "moons-maf" / "weights.safetensors").read_bytes()
    again = call_bijecta("train", recipe_path, "--out", runs / "moons-maf", cwd=runs)
    assert again.returncode == 0, again.stderr
    assert "best of 3 epochs" in again.stdout
    assert (runs / "moons-maf" / "weights.safetensors").read_bytes() == before
    other = call_bijecta("train", runs / "moons-iaf.toml", "--out", runs / "moons-maf", cwd=runs)
    assert other.returncode == 1
    assert "another recipe" in other.stderr
    (runs / "halves.toml").write_text(
        recipe_path.read_text().replace("rows =", "test = 0.5\nrows =")
    )
    other = call_bijecta("train", runs / "halves.toml", "--out", runs / "moons-maf", cwd=runs)
    assert "another recipe" in other.stderr
    score = call_bijecta("evaluate", runs / "digits-maf", cwd=runs)
    assert score.returncode == 0
    assert "nats per row" in score.stdout
    assert "bits/dim on 180 held-out rows" in score.stdout
    assert "bits/dim" not in call_bijecta("evaluate", runs / "moons-maf", cwd=runs).stdout


def test_two_processes_do_not_train_one_run(runs: Path, tmp_path: Path) -> None:
    with training_lock(tmp_path / "run"):
        done = call_bijecta("train", runs / "moons-maf.toml", "--out", tmp_path / "run", cwd=runs)
    assert done.returncode == 1
    assert f"is being trained by process {os.getpid()}" in done.stderr
    assert (
        call_bijecta("train", "moons-maf.toml", "--out", tmp_path / "run", cwd=runs).returncode == 0
    )


def test_one_column_by_affine_maps_is_said_to_be_a_gaussian(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).exponential(2.0, 300)
    (tmp_path / "waits.csv").write_text("\n".join(["wait", *map(str, numbers)]) + "\n")
    for family, said in (("maf", True), ("nsf-ar", False)):
        (tmp_path / f"{family}.toml").write_text(
            f"""
            [data]
            source = "waits.csv"
            [flow]
            family = "{family}"
            hidden = [8]
            [fit]
            epochs = 1
            """
        )
        done = call_bijecta("train", f"{family}.toml", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert ("is exactly a Gaussian" in done.stdout) == said


def test_a_cpu_without_instructions_for_a_narrow_type_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "waits.csv").write_text("a,b\n" + "".join(f"{i % 7},{i % 5}\n" for i in range(100)))
    (tmp_path / "one.toml").write_text(
        """
        [data]
        source = "waits.csv"
        integers = "dequantize"
        [flow]
        family = "maf"
        hidden = [8]
        [fit]
        epochs = 1
        precision = "bfloat16"
        """
    )
    for slowdown in (1.0, 27.0):
        monkeypatch.setattr("training.fit.precision._slowdown", lambda _, s=slowdown: s)
        out = tmp_path / f"run-{slowdown:.0f}"
        assert main(["train", str(tmp_path / "one.toml"), "--out", str(out)]) in (None, 0)
        said = f"{out.name}: networks are trained in float32: this CPU takes 27 times as long"
        assert (said in capsys.readouterr().out) is (slowdown > 2)


def test_a_run_is_named_by_its_folder_and_a_name_that_no_model_has_is_refused_at_once(
    runs: Path, tmp_path: Path
) -> None:
    done = call_bijecta("train", "moons-maf.toml", "--out", tmp_path / "My.Model", cwd=runs)
    assert done.returncode == 1
    assert "'My.Model' cannot be the name of a model" in done.stderr
    assert "--name" in done.stderr
    assert not (tmp_path / "My.Model").exists()
    named = ("--out", tmp_path / "My.Model", "--name", "mine")
    assert call_bijecta("train", "moons-maf.toml", *named, cwd=runs).returncode == 0
    assert Run.open(tmp_path / "My.Model").file.name == "mine"
    other = call_bijecta("train", "moons-maf.toml", "--out", tmp_path / "other", cwd=runs)
    assert other.returncode == 0
    assert Run.open(tmp_path / "other").file.name == "other"


def test_scores_name_the_rows_of_the_file(runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "scores.parquet"
    assert call_bijecta("evaluate", "moons-context", "--scores", file, cwd=runs).returncode == 0
    table = pyarrow.parquet.read_table(file)
    run = Run.open(runs / "moons-context")
    test = load_dataset(run.file.recipe.data).test
    np.testing.assert_array_equal(table["row"], test.indices)
    lines = (runs / "moons.csv").read_text().splitlines()[1:]
    first = [float(cell) for cell in lines[table["row"][0].as_py()].split(",")[:2]]
    np.testing.assert_allclose(first, test.rows[0], rtol=1e-6)


def test_a_flow_that_is_worse_than_a_gaussian_is_said_to_be(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(500, 3)).cumsum(1) * [1, 30, 900]
    np.save(tmp_path / "rows.npy", rows)
    (tmp_path / "poor.toml").write_text(
        '[flow]\nfamily = "maf"\npreprocessing = "none"\ntransforms = 1\n[fit]\nepochs = 1\n'
    )
    done = call_bijecta("train", "poor.toml", "--data", "rows.npy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "a Gaussian of the training rows' mean and covariance scores -" in done.stderr
    (tmp_path / "good.toml").write_text('[flow]\nfamily = "maf"\n[fit]\nepochs = 20\n')
    done = call_bijecta("train", "good.toml", "--data", "rows.npy", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Gaussian" not in done.stderr


def test_small_flows_take_one_thread_and_runs_keep_it(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(
        '[data]\nsource = "moons"\nrows = 200\n[flow]\nfamily = "maf"\n[fit]\nepochs = 1\n'
    )
    for _ in range(2):  # the second time the run goes on
        done = call_bijecta("train", "small.toml", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert Run.open(tmp_path / "runs" / "small").file.recipe.fit.threads == 1


def test_tensorboard_has_the_log(runs: Path, tmp_path: Path) -> None:
    arguments = ("train", runs / "moons-maf.toml", "--out", tmp_path / "run", "--tensorboard")
    done = call_bijecta(*arguments, cwd=runs)
    assert done.returncode == 0, done.stderr
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    shown = [scalar.value for scalar in events.Scalars("validation by epoch")]
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").open()]
    np.testing.assert_allclose(shown, [line["validation"] for line in lines], rtol=1e-6)


def test_without_tensorboard_its_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(TrainingError, match=r"pip install 'bijecta\[tensorboard\]'"):
        tensorboard_writer(tmp_path)


@pytest.mark.parametrize("name", ["moons-maf", "digits-maf"])
def test_each_rows_score_can_be_had_as_parquet(runs: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "scores.parquet"
    done = call_bijecta("evaluate", runs / name, "--scores", path, cwd=runs)
    assert done.returncode == 0, done.stderr
    scores = pyarrow.parquet.read_table(path).to_pydict()
    held_out = json.loads((runs / name / "evaluation.json").read_text())
    assert len(scores["log_prob"]) == held_out["rows"]
    assert np.mean(scores["log_prob"]) == pytest.approx(held_out["log_prob"])
    assert ("bits_per_dim" in scores) == (name == "digits-maf")
    if "bits_per_dim" in scores:
        assert np.mean(scores["bits_per_dim"]) == pytest.approx(held_out["bits_per_dim"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "no-such"], "no recipe file 'no-such'"),
        (["train", "digits-maf", "--data", "absent.npy"], "no data file at"),
        (["evaluate", "nowhere"], "no run at nowhere"),
        (["train", "moons-maf", "--out", "/proc/nope"], "No such file or directory"),
        (["export", "nowhere", "--store", "s"], "no run at nowhere"),
    ],
)
def test_commands_fail_in_one_line(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = call_bijecta(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("bijecta: ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["moons-maf", "moons-maf/1"])
def test_a_bundle_in_place_of_a_run_is_told_from_none(store: Path, name: str) -> None:
    for command in (["evaluate"], ["export", "--store", "s"], ["distill", "mine.toml"]):
        done = call_bijecta(command[0], store / name, *command[1:], cwd=store.parent)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert f"{store / name} is a bundle, and a run is expected: the folder" in done.stderr
        assert "such as runs/moons-maf" in done.stderr


def test_a_flow_larger_than_memory_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "large.toml").write_text(
        '[data]\nsource = "moons"\nrows = 50\n[flow]\nfamily = "realnvp"\n'
        "hidden = [1_048_576, 1_048_576]\n"
    )
    done = call_bijecta("train", "large.toml", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("bijecta: this takes more memory than the machine has: ")
    assert done.stderr.count("\n") == 1


def test_control_c_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "long.toml").write_text(recipe_text("moons-maf", epochs=10_000))
    steps, step = itertools.count(), torch.optim.AdamW.step

    def interrupted(self: torch.optim.AdamW) -> None:
        if next(steps) == 40:
            signal.raise_signal(signal.SIGINT)
        step(self)

    monkeypatch.setattr(torch.optim.AdamW, "step", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = call_bijecta("train", "long.toml", cwd=tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.returncode == 130
    assert "the same command goes on from what was saved last" in done.stderr


@pytest.mark.long
def test_control_c_ends_the_process_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_text(recipe_text("moons-maf", epochs=10_000))
    command = [sys.executable, "-m", "service.cli", "train", "long.toml"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that runs the tests in the background has them ignore it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "runs" / "long" / "log.jsonl").exists():
            assert time.monotonic() < deadline, "training did not start"
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command goes on from what was saved last" in stderr
    assert "Traceback" not in stderr
