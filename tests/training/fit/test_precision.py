"""Training in narrow arithmetic: what is narrow, what is not, and what it costs."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.flow import Flow
from models.networks.conditioner import set_precision
from tests.helpers.runs import recipe_and_data, start_run
from training import scoring
from training.fit import gradient as fit
from training.fit import precision as number_types

CPU = torch.device("cpu")


@pytest.fixture
def _has_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's CPU computes fast in narrow types, as far as training knows."""
    monkeypatch.setattr(number_types, "_slowdown", lambda _: 1.0)


def test_a_cpu_that_is_slower_in_a_narrow_type_trains_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says so; one that is not slower, and a GPU, take the recipe's type."""
    weights = {}
    for slowdown, name in ((27.0, "float32"), (27.0, "bfloat16"), (0.3, "bfloat16")):
        monkeypatch.setattr(number_types, "_slowdown", lambda _, slowdown=slowdown: slowdown)
        folder = tmp_path / f"{name}-{slowdown}"
        chosen, dataset = recipe_and_data(tmp_path, "digits-image", epochs=2, precision=name)
        run = start_run(folder, chosen, dataset)
        progress = fit.fit(run, dataset, CPU)
        weights[name, slowdown] = load_file(folder / "weights.safetensors")
        is_widened = (name, slowdown) == ("bfloat16", 27.0)
        assert progress.device.endswith(", in float32") is is_widened
    whole, widened, narrow = (list(each.values()) for each in weights.values())
    assert all(map(torch.equal, whole, widened))
    assert not all(map(torch.equal, whole, narrow))
    monkeypatch.setattr(number_types, "_slowdown", lambda _: 27.0)
    assert number_types.precision_on(torch.device("cuda"), "float16") == torch.float16
    why = number_types.why_float32(CPU, "bfloat16")
    assert why == "this CPU takes 27 times as long in bfloat16"
    assert number_types.why_float32(CPU, "float32") is None


def test_a_slowdown_is_measured() -> None:
    assert 0.01 < number_types._slowdown(torch.bfloat16) < 1000


@pytest.mark.usefixtures("_has_instructions")
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_narrow_networks_train_and_nothing_else_is_narrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    chosen, dataset = recipe_and_data(tmp_path, "digits-image", epochs=4, precision=precision)
    run = start_run(tmp_path / "run", chosen, dataset)
    seen: set[tuple[bool, torch.dtype]] = set()
    encode = Flow.encode

    def watched(
        self: Flow, x: torch.Tensor, context: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        z, log_prob = encode(self, x, context)
        seen.update((self.training, value.dtype) for value in (z, log_prob))
        return z, log_prob

    linear = torch.nn.functional.linear
    computed: set[tuple[bool, torch.dtype]] = set()

    def watched_linear(*inputs: torch.Tensor, **named: torch.Tensor) -> torch.Tensor:
        output = linear(*inputs, **named)
        computed.add((torch.is_grad_enabled(), output.dtype))
        return output

    monkeypatch.setattr(Flow, "encode", watched)
    monkeypatch.setattr(torch.nn.functional, "linear", watched_linear)
    fit.fit(run, dataset, CPU)
    narrow = getattr(torch, precision)
    # networks in training, and nothing in evaluation
    assert (True, narrow) in computed
    assert (False, narrow) not in computed
    assert seen == {(True, torch.float32), (False, torch.float32)}
    weights = load_file(run.folder / "weights.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float32}
    lines = (run.folder / "log.jsonl").read_text().splitlines()
    losses = [json.loads(line)["train"] for line in lines]
    assert losses == sorted(losses)
    whole = start_run(tmp_path / "whole", *recipe_and_data(tmp_path, "digits-image", epochs=4))
    fit.fit(whole, dataset, CPU)
    wide = [json.loads(line)["train"] for line in (whole.folder / "log.jsonl").open()]
    assert losses != wide
    np.testing.assert_allclose(losses, wide, rtol=0.02)


def test_scores_do_not_depend_on_the_precision_of_training(tmp_path: Path) -> None:
    chosen, dataset = recipe_and_data(tmp_path, "digits-maf", epochs=1)
    run = start_run(tmp_path / "run", chosen, dataset)
    fit.fit(run, dataset, CPU)
    flow, rows = run.best_flow(), dataset.test.rows[None]
    expected = scoring.log_prob(flow, rows)
    for precision in (torch.bfloat16, torch.float16):
        set_precision(flow, precision)
        assert np.array_equal(scoring.log_prob(flow, rows), expected)


@pytest.mark.usefixtures("_has_instructions")
def test_a_scale_that_is_too_large_costs_a_step_and_no_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, dataset = recipe_and_data(tmp_path, "digits-image", epochs=2, precision="float16")
    run = start_run(tmp_path / "run", chosen, dataset)
    scaler = functools.partial(torch.amp.GradScaler, init_scale=2.0**40)
    monkeypatch.setattr(torch.amp, "GradScaler", scaler)
    progress = fit.fit(run, dataset, CPU)
    assert 1 < progress.scaler["scale"] < 2.0**40
    assert all(
        torch.isfinite(w).all() for w in load_file(run.folder / "weights.safetensors").values()
    )
