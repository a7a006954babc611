"""Laws of sweeps: from any start they end where the steps do, and each row ends by itself."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from models import zoo
from models.bijection import Bijection
from models.layers.autoregressive import (
    Autoregressive,
    CausalAutoregressive,
    Inverse,
    MaskedAutoregressive,
    TransformerAutoregressive,
    counted_sweeps,
    sweeps,
)
from models.numerics.exportable_loops import LoopStep, Tensors, repeat_while
from tests.laws.zoo_table import FLOWS, case, randomise


def autoregressive_layers(bijection: Bijection) -> list[Autoregressive]:
    return [layer for layer in bijection.modules() if isinstance(layer, Autoregressive)]


LINES = [name for name, line in FLOWS.items() if autoregressive_layers(line.flow().bijection)]
every_line = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.long] * FLOWS[name].slow) for name in LINES],
)


def test_all_families_of_autoregressive_layers_are_held_to_these_laws() -> None:
    kinds = {
        type(layer)
        for name in LINES
        for layer in autoregressive_layers(FLOWS[name].flow().bijection)
    }
    assert kinds == {MaskedAutoregressive, TransformerAutoregressive, CausalAutoregressive}
    assert {FLOWS[name].family for name in LINES} >= {"maf", "nsf-ar", "wavenet", "transformer"}


def steps_of(layer: Autoregressive) -> tuple[Tensor, int]:
    """The values of a layer in the order of decoding, and how many are decoded at a time."""
    if isinstance(layer, CausalAutoregressive):
        order = torch.arange(layer.event_shape[0])
        return order.flip(0) if layer.reverse else order, 1
    assert isinstance(layer, MaskedAutoregressive | TransformerAutoregressive)
    return layer.order, layer.values if isinstance(layer, TransformerAutoregressive) else 1


def layers_and_latents(
    name: str, dtype: torch.dtype = torch.float64, rows: int = 6
) -> Iterator[tuple[Autoregressive, Tensor, Tensor | None]]:
    """Each autoregressive layer of a line, latents that it can decode, and contexts."""
    one = case(name, dtype, rows, scale=0.3)
    torch.manual_seed(1)
    for layer in autoregressive_layers(one.bijection):
        z = torch.randn(rows, *layer.latent_shape, dtype=dtype)
        context = None
        if layer.context_shape is not None:
            context = torch.randn(rows, *layer.context_shape, dtype=dtype)
        yield layer, z, context


@torch.no_grad()
def stepwise(layer: Autoregressive, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    layer.inverse = Inverse("sequential", layer.inverse.width)
    return layer.decode(z, context)


def starts_like(x: Tensor) -> dict[str, Tensor]:
    far = 1e3 * torch.randn_like(x)
    far[0], far[1], far[2] = torch.nan, torch.inf, 1e30
    return {"zeros": torch.zeros_like(x), "random": torch.randn_like(x), "far": far}


@pytest.mark.parametrize("width", [1, 3, 10**6])
@every_line
@torch.no_grad()
def test_from_any_start_the_sweeps_end_where_the_steps_do(name: str, width: int) -> None:
    for layer, z, context in layers_and_latents(name):
        x, log_det = stepwise(layer, z, context)
        _, values = steps_of(layer)
        for start in starts_like(x).values():
            layer.inverse = Inverse("jacobi", width)
            with counted_sweeps() as counts:
                found, found_log_det = layer.decode_from(z, start, context)
            torch.testing.assert_close(found, x, rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(found_log_det, log_det, rtol=1e-10, atol=1e-10)
            assert all(int(count.sweeps.max()) <= count.values // values for count in counts)


@every_line
@torch.no_grad()
def test_k_sweeps_make_the_first_k_tokens_exact(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for layer, z, context in layers_and_latents(name):
        x, _ = stepwise(layer, z, context)
        order, values = steps_of(layer)
        layer.inverse = Inverse("jacobi", len(order))
        for k in range(1, len(order) // values + 1):

            def few(step: LoopStep, states: Tensors, most: int, k: int = k) -> list[Tensor]:
                return repeat_while(step, states, min(most, k))

            monkeypatch.setattr(sweeps, "repeat_while", few)
            found, _ = layer.decode_from(z, torch.randn_like(x), context)
            exact = order[: k * values]
            torch.testing.assert_close(
                found.flatten(1)[:, exact], x.flatten(1)[:, exact], rtol=1e-10, atol=1e-10
            )


# a line of each kind of layer, wide enough that rows need different numbers of sweeps
OPTIONS: dict[str, dict[str, Any]] = {
    "maf": {"hidden": (24, 24)},
    "nsf-ar": {"hidden": (24,), "linear": False},
    "transformer": {"hidden": (8, 8), "heads": 2},
    "wavenet": {"hidden": (8, 8)},
}


def layer_of(family: str, dtype: torch.dtype) -> Autoregressive:
    torch.manual_seed(0)
    options = OPTIONS[family] | {"transforms": 1}
    flow = zoo.build(family, (16,), options=options).to(dtype).eval()
    randomise(flow, 0.15)
    (layer,) = autoregressive_layers(flow.bijection)
    return layer


@pytest.mark.parametrize("width", [8, 16])
@pytest.mark.parametrize("tolerance", [0.0, 3e-2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("family", OPTIONS)
@torch.no_grad()
def test_a_row_has_the_same_answer_whatever_its_companions(
    family: str, dtype: torch.dtype, tolerance: float, width: int
) -> None:
    layer = layer_of(family, dtype)
    layer.inverse = Inverse("jacobi", width, tolerance)
    z = torch.randn(8, 16, dtype=dtype)
    others = 4 * torch.randn(8, 16, dtype=dtype)
    others[3] = 0.1 * others[3]
    mine = torch.tensor([1, 4, 6])
    others[mine] = z[mine]
    answers, sweep_counts = [], []
    for rows in (z, others):
        with counted_sweeps() as counts:
            answers.append(layer.decode(rows))
        sweep_counts.append(torch.stack([count.sweeps for count in counts]).sum(0))
    for found, again in zip(*answers, strict=True):
        assert torch.equal(found[mine], again[mine])
    assert torch.equal(sweep_counts[0][mine], sweep_counts[1][mine])
    if tolerance:  # companions that take other numbers of sweeps
        assert not torch.equal(sweep_counts[0], sweep_counts[1])


@pytest.mark.parametrize("family", OPTIONS)
@torch.no_grad()
def test_a_tolerance_ends_the_sweeps_of_a_row_early_and_within_it(family: str) -> None:
    layer = layer_of(family, torch.float64)
    z = torch.randn(32, 16, dtype=torch.float64)
    exact, _ = stepwise(layer, z, None)
    taken, errors = [], []
    for tolerance in (0.0, 1e-5, 1e-1):
        layer.inverse = Inverse("jacobi", 16, tolerance)
        with counted_sweeps() as counts:
            x, _ = layer.decode(z)
        (count,) = counts
        taken.append(int(count.sweeps.sum()))
        errors.append(float((x - exact).abs().max()))
    assert taken[0] > taken[1] > taken[2]
    assert errors[0] <= 1e-10 < errors[1] < 1e-4 < errors[2] < 2


@torch.no_grad()
def test_a_good_guess_saves_sweeps_and_a_guess_of_the_answer_takes_one() -> None:
    layer = layer_of("maf", torch.float64)
    z = torch.randn(32, 16, dtype=torch.float64)
    exact, _ = stepwise(layer, z, None)
    layer.inverse = Inverse("jacobi", 16, 1e-5)
    taken = []
    for error in (0.0, 1e-3, 1e-1):
        with counted_sweeps() as counts:
            layer.decode_from(z, exact + error * torch.randn_like(exact))
        taken.append(float(counts[0].sweeps.double().mean()))
    with counted_sweeps() as counts:
        layer.decode(z)
    assert taken == sorted(taken)
    assert taken[0] == 1
    assert taken[2] < float(counts[0].sweeps.double().mean())


@pytest.mark.parametrize("family", ["maf", "transformer"])
def test_with_gradients_decode_goes_step_by_step(family: str) -> None:
    layer = layer_of(family, torch.float64)
    layer.inverse = Inverse("jacobi", 16, 1.0)
    z = torch.randn(2, 16, dtype=torch.float64, requires_grad=True)
    x, _ = layer.decode(z)
    swept = layer.inverse
    torch.testing.assert_close(x.detach(), stepwise(layer, z.detach(), None)[0])
    layer.inverse = swept
    (slope,) = torch.autograd.grad(x.sum(), z)
    assert slope.isfinite().all()
    with torch.no_grad():
        assert not torch.equal(layer.decode(z)[0], x)


def test_a_start_of_another_shape_is_refused() -> None:
    layer = layer_of("maf", torch.float32)
    with pytest.raises(ValueError, match=r"expected start of shape \(batch, 16\), got \(2, 15\)"):
        layer.decode_from(torch.zeros(2, 16), torch.zeros(2, 15))
