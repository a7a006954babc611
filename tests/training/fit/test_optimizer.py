"""The optimizer: learning rates, averages, batches in chunks, several processes, and kills."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models import zoo
from tests.helpers.recipes import call_bijecta, recipe_text
from training.config.fit import FitRecipe
from training.fit.distributed import SINGLE_PROCESS, Processes
from training.fit.likelihood import NegativeLogDensity
from training.fit.optimizer import FlowOptimizer


def steps(count: int = 100, device: str = "cpu", **fields: object) -> FlowOptimizer:
    torch.manual_seed(0)
    flow = zoo.build(
        family="maf", event_shape=[4], preprocessing=[], options={"hidden": [16], "transforms": 2}
    ).to(device)
    recipe = FitRecipe.model_validate({"learning_rate": 0.01, **fields})
    return FlowOptimizer(flow, NegativeLogDensity(flow), recipe, count, SINGLE_PROCESS)


def batch(seed: int, rows: int = 30) -> torch.Tensor:
    return torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed))


def weights(of: FlowOptimizer) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(of.flow.parameters()).detach().clone()


def test_the_learning_rate_rises_then_falls_to_nothing() -> None:
    rising = steps(warm_up=10, schedule="cosine")
    rates = [rising.learning_rate(done) for done in range(101)]
    assert rates[0] == pytest.approx(0.001)
    assert np.argmax(rates) == 9
    assert rates[9] == pytest.approx(0.01, rel=0.03)
    assert sorted(rates[9:], reverse=True) == rates[9:]
    assert rates[100] == pytest.approx(0, abs=1e-12)
    assert {steps().learning_rate(done) for done in range(100)} == {0.01}


def test_the_average_is_that_of_the_weights_so_far() -> None:
    averaging, plain = steps(average=0.5), steps()
    expected = weights(plain)
    for done in range(8):
        for one in (averaging, plain):
            one.step(batch(done), None, 30, done)
        kept = min(0.5, (1 + done) / (10 + done))
        expected = kept * expected + (1 - kept) * weights(plain)
    torch.testing.assert_close(weights(averaging), weights(plain))
    with averaging.averaged():
        torch.testing.assert_close(weights(averaging), expected)
        assert not torch.allclose(weights(averaging), weights(plain), atol=1e-4)
    torch.testing.assert_close(weights(averaging), weights(plain))


@pytest.mark.parametrize("parts", [2, 7, 100])
def test_a_batch_in_parts_makes_the_same_step(parts: int) -> None:
    whole, divided = steps(), steps(accumulate=parts)
    for done in range(3):
        losses = [one.step(batch(done), None, 30, done) for one in (whole, divided)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    torch.testing.assert_close(weights(whole), weights(divided), atol=1e-5, rtol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU here")
def test_steps_of_a_cuda_graph_make_the_same_steps() -> None:
    plain, recorded = steps(device="cuda"), steps(device="cuda", cuda_graph=True)
    for done in range(6):
        x = batch(done, rows=7 if done == 3 else 30).cuda()
        losses = [one.step(x, None, len(x), done) for one in (plain, recorded)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(weights(plain), weights(recorded), atol=1e-5, rtol=0)


class Weighed(NegativeLogDensity):
    """A loss that changes its weight in the course of a training."""

    weight = 1.0

    @property
    def phase(self) -> float:
        return self.weight

    def forward(self, x: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        return self.weight * super().forward(x, context)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no NVIDIA GPU here")
def test_each_phase_of_a_loss_is_captured() -> None:
    flow = zoo.build(family="maf", event_shape=[4], preprocessing=[], options={}).cuda()
    loss = Weighed(flow)
    recorded = FlowOptimizer(
        flow, loss, FitRecipe(cuda_graph=True, learning_rate=1e-9), 100, SINGLE_PROCESS
    )
    for done, (weight, rows) in enumerate([(1.0, 30), (1.0, 30), (2.0, 7), (2.0, 30), (1.0, 30)]):
        loss.weight, x = weight, batch(done, rows).cuda()
        expected = -weight * float(flow.log_prob(x).detach().sum())
        assert recorded.step(x, None, rows, done) == pytest.approx(expected, rel=1e-4)


def test_shards_are_all_rows_once() -> None:
    for size in (1, 2, 3, 7):
        for n in (0, 1, 5, 7, 100):
            shares = [range(n)[Processes(rank, size).shard(n)] for rank in range(size)]
            assert [row for share in shares for row in share] == list(range(n))
            assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.long
def test_a_compiled_flow_makes_the_same_steps() -> None:
    plain, compiled = steps(), steps(compile=True)
    for done in range(3):
        losses = [one.step(batch(done), None, 30, done) for one in (plain, compiled)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)


RUN = """
import sys
from service.cli import main
from training.fit import loop
loop.SECONDS_BETWEEN_SAVES = 0.0
sys.exit(main(sys.argv[1:]))
"""


def recipe(folder: Path, **fit: object) -> Path:
    path = folder / "small.toml"
    lines = [f"{name} = {json.dumps(value)}" for name, value in fit.items()]
    path.write_text(recipe_text("digits-maf", epochs=4) + "\n".join(lines) + "\n")
    return path


def train(recipe: Path, run: str) -> None:
    done = call_bijecta("train", recipe, "--out", run, cwd=recipe.parent)
    assert done.returncode == 0, done.stderr


def logged(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").open()]
    return [{name: line[name] for name in ("epoch", "train", "validation")} for line in lines]


@pytest.mark.long
def test_two_processes_train_as_one_does_with_the_same_batches(tmp_path: Path) -> None:
    # 1437 rows leave an odd batch at the end: its halves are not alike
    path = recipe(tmp_path, batch_size=100, accumulate=2, average=0.9)
    train(path, "alone")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    bijecta = ["-m", "service.cli", "train", str(path), "--out", "both", "--device", "cpu"]
    done = subprocess.run([*torchrun, *bijecta], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    alone, both = logged(tmp_path / "alone"), logged(tmp_path / "both")
    assert len(alone) == len(both) == 4
    for one, other in zip(alone, both, strict=True):
        assert other == pytest.approx(one, rel=1e-5)
    mine, theirs = (load_file(tmp_path / n / "weights.safetensors") for n in ("alone", "both"))
    for name, value in mine.items():
        torch.testing.assert_close(theirs[name], value, atol=1e-4, rtol=0)


@pytest.mark.long
def test_killed_in_the_middle_of_an_epoch_it_goes_on_from_there(tmp_path: Path) -> None:
    path = recipe(tmp_path, batch_size=20, warm_up=20, average=0.9, schedule="cosine")
    train(path, "whole")
    state = tmp_path / "broken" / "state.safetensors"
    command = [sys.executable, "-c", RUN, "train", str(path), "--out", "broken"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while stood(state) < (1, 10):
            assert time.monotonic() < deadline, "training did not get so far"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    epoch, step = stood(state)
    assert epoch < 4
    assert step > 0
    train(path, "broken")
    assert logged(tmp_path / "broken") == logged(tmp_path / "whole")
    for name in ("weights", "state"):
        one, other = (
            load_file(tmp_path / run / f"{name}.safetensors") for run in ("whole", "broken")
        )
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def stood(state: Path) -> tuple[int, int]:
    """Epochs and steps of the state on disk."""
    if not state.exists():
        return 0, 0
    content = state.read_bytes()  # at once: another file may stand there a moment later
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    progress = json.loads(header["__metadata__"]["progress"])
    return progress["epoch"], progress["step"]
