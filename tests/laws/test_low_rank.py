"""Planar, radial and Sylvester maps: bounded slopes, exact inverses, contexts, graphs."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.layers.low_rank import LOG_SLOPE, Planar, Radial, Sylvester
from models.networks.conditioner import Conditioner
from models.numerics import root_finding as roots
from tests.helpers.examples import examples
from tests.helpers.search_steps import count_steps
from tests.laws.zoo_table import randomise

NET = Conditioner((24, 16), "tanh")
Make = Callable[..., Any]
LowRank = TypeVar("LowRank", Planar, Radial, Sylvester)
every = pytest.mark.parametrize("make", [Planar, Radial, Sylvester])


def moved(layer: LowRank, scale: float, dtype: torch.dtype = torch.float64) -> LowRank:
    randomise(layer, scale)
    return layer.to(dtype).eval()


def wild(layer: LowRank, seed: int) -> LowRank:
    """With parameters drawn from N(0, 10²)."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(10 * torch.randn(parameter.shape, generator=generator))
    return layer.double().eval()


@every
@given(seed=st.integers(0, 2**32), n=st.sampled_from([1, 2, 3, 20]))
@examples(60)
def test_slopes_are_bounded_both_ways_whatever_the_parameters(
    make: Make, seed: int, n: int
) -> None:
    layer = wild(make((n,), NET), seed)
    z = torch.randn(50, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    slopes = {"Planar": 1, "Radial": n, "Sylvester": min(n, 8)}[type(layer).__name__]
    with torch.no_grad():
        for go in (layer.decode, layer.encode):
            assert bool((go(10 * z)[1].abs() <= LOG_SLOPE * slopes + 1e-9).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("times", [0.1, 1.0, 10.0])
def test_encode_finds_planars_roots_in_few_steps(
    times: float, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = count_steps(monkeypatch)
    for seed in range(20):
        layer = wild(Planar((3,), NET), seed).to(dtype)
        generator = torch.Generator().manual_seed(seed)
        layer.encode(times * torch.randn(500, 3, generator=generator).to(dtype))
    assert len(steps) == 20
    assert max(steps) <= 14


@given(seed=st.integers(0, 2**32), n=st.sampled_from([1, 2, 3, 20]))
@examples(60)
def test_planar_vectors_keep_the_constraint_whatever_the_parameters(seed: int, n: int) -> None:
    layer = wild(Planar((n,), NET), seed)
    with torch.no_grad():
        w, u, b, c = layer._constrained(None)
        assert bool((c.abs() <= math.expm1(LOG_SLOPE)).all())
        assert bool((c >= math.expm1(-LOG_SLOPE)).all())
        torch.testing.assert_close((w * u).sum(1), c, rtol=0, atol=1e-10)
        # the slope is 1 + c where tanh is steepest
        steepest = -b[:, None] * w / (w * w).sum()
        torch.testing.assert_close(layer.decode(steepest)[1], torch.log1p(c))


@every
@pytest.mark.parametrize("n", [1, 2, 3, 784])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("times", [1, 10])
def test_far_inputs_and_large_parameters_stay_finite_and_come_back(
    make: Make, n: int, dtype: torch.dtype, times: float
) -> None:
    torch.manual_seed(0)
    layer = moved(make((n,), NET), 0.15, dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(times)
    rows = torch.randn(20, n, dtype=dtype)
    rows[0], rows[1], rows[2] = 1e6, -1e6, 0
    rows[3, 0] = 1e6
    size = rows.abs().amax(1).clamp(min=1)
    # away from the start by 0.15 the design's bars hold; times ten, slopes of 20 cost digits
    bar = (1e-4 if dtype == torch.float32 else 1e-12) * (1 if times == 1 else 10)
    for there, back in ((layer.encode, layer.decode), (layer.decode, layer.encode)):
        layer.zero_grad()
        value, log_det = there(rows)
        again, cancels = back(value)
        assert bool((((again - rows).abs().amax(1) / size) <= bar).all())
        assert bool(((log_det + cancels).abs() <= bar * n).all())
        (value.sum() + log_det.sum()).backward()
        for name, parameter in layer.named_parameters():
            assert parameter.grad is not None, name
            assert bool(torch.isfinite(parameter.grad).all()), name


@every
def test_starts_as_the_identity_and_leaves_it_in_one_step(make: Make) -> None:
    torch.manual_seed(0)
    layer, another = make((4,), NET).double(), make((4,), NET).double()
    x = torch.randn(30, 4, dtype=torch.float64)
    for go in (layer.encode, layer.decode):
        value, log_det = go(x)
        torch.testing.assert_close(value, x, rtol=0, atol=1e-14)
        assert torch.equal(log_det, torch.zeros_like(log_det))
    optimizer = torch.optim.SGD(layer.parameters(), 0.01)
    x[:, 0] = x[:, 0].exp()
    for _ in range(2):
        optimizer.zero_grad()
        z, log_det = layer.encode(x)
        (0.5 * (z * z).sum(1) - log_det).mean().backward()
        optimizer.step()
    # from the second step on, every parameter has something to learn
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert bool((parameter.grad != 0).any(-1).all()), name
    # two layers of a flow must not be the same
    states = zip(layer.state_dict().values(), another.state_dict().values(), strict=True)
    assert any(not torch.allclose(a, b, atol=0.1) for a, b in states)


@every
@pytest.mark.parametrize("encode", [True, False])
def test_gradients_reach_every_parameter_and_undo_each_other(make: Make, encode: bool) -> None:
    torch.manual_seed(0)
    layer = moved(make((5,), NET, context_shape=(2,)), 0.15)
    rows = torch.randn(30, 5, dtype=torch.float64, requires_grad=True)
    context = torch.randn(30, 2, dtype=torch.float64, requires_grad=True)
    there, back = (layer.encode, layer.decode) if encode else (layer.decode, layer.encode)
    value, log_det = there(rows, context)
    parameters = [*layer.parameters(), context]
    weight = torch.randn_like(rows)
    loss = (weight * value).sum() + log_det.sum()
    alone = torch.autograd.grad(loss, parameters, retain_graph=True)
    assert all(bool((gradient != 0).any()) for gradient in alone)
    # there and back is the identity for any parameters: all gradients but that of x vanish
    again, cancels = back(value, context)
    total = (weight * again).sum() + (log_det + cancels).sum()
    *others, of_rows = torch.autograd.grad(total, [*parameters, rows])
    torch.testing.assert_close(of_rows, weight)
    for gradient, first in zip(others, alone, strict=True):
        assert gradient.abs().max() <= 1e-9 * first.abs().max().clamp(min=1)


def test_planar_inverse_is_that_of_bisection() -> None:
    torch.manual_seed(0)
    for seed in range(20):
        layer = wild(Planar((3,), NET), seed)
        x = 5 * torch.randn(40, 3, dtype=torch.float64)
        with torch.no_grad():
            w, u, b, c = layer._constrained(None)
            target = (w * x).sum(1) + b
            low, high = target - 20, target + 20
            for _ in range(100):
                middle = 0.5 * (low + high)
                below = middle + c * torch.tanh(middle) < target
                low, high = torch.where(below, middle, low), torch.where(below, high, middle)
            z = x - torch.tanh(low)[:, None] * u
            # one digit of the target, where the map is flattest
            digit = 20 * torch.finfo(torch.float64).eps * target.abs().max() * u.abs().max()
            torch.testing.assert_close(layer.encode(x)[0], z, rtol=0, atol=64 * float(digit))


def test_radial_closed_form_is_the_root_of_its_equation() -> None:
    for seed in range(20):
        layer = wild(Radial((3,), NET), seed)
        generator = torch.Generator().manual_seed(seed)
        direction = torch.randn(200, 3, generator=generator, dtype=torch.float64)
        sizes = 10 ** (12 * torch.rand(200, 1, generator=generator, dtype=torch.float64) - 6)
        with torch.no_grad():
            _, alpha, rho = layer._constrained(None)
            # a centre at zero, so that small radii keep their digits
            layer.theta.value[:3] = 0
            x = direction * sizes
            wanted = x.norm(dim=1)

            def radius(
                r: Tensor, alpha: Tensor = alpha, rho: Tensor = rho
            ) -> tuple[Tensor, Tensor]:
                q = alpha / (alpha + r)
                return r * (1 + rho * q), 1 + rho * q * q

            most = wanted * math.exp(LOG_SLOPE)
            found = roots.find_root(radius, wanted, torch.zeros_like(most), most)
            z, _ = layer.encode(x)
        torch.testing.assert_close(z.norm(dim=1), found, rtol=1e-13, atol=0)


def test_radial_centre_is_a_point_as_any_other() -> None:
    torch.manual_seed(0)
    layer = moved(Radial((3,), NET), 1.0)
    centre = layer.theta.value[None, :3].detach().clone().requires_grad_()
    for go in (layer.encode, layer.decode):
        value, log_det = go(centre)
        torch.testing.assert_close(value, centre)
        jacobian = torch.autograd.functional.jacobian(lambda v, go=go: go(v[None])[0][0], centre[0])
        torch.testing.assert_close(torch.linalg.slogdet(jacobian).logabsdet[None], log_det)
        (value.sum() + log_det.sum()).backward()
        assert centre.grad is not None
        assert bool(torch.isfinite(centre.grad).all())


def test_planar_without_direction_is_a_shift() -> None:
    layer = Planar((3,), NET).double()
    with torch.no_grad():
        layer.theta.value.copy_(torch.tensor([0, 0, 0, 1, 2, 3, 0.5]))
    x = torch.randn(4, 3, dtype=torch.float64)
    z, log_det = layer.encode(x)
    torch.testing.assert_close(x - z, math.tanh(0.5) * torch.tensor([[1.0, 2, 3]] * 4).double())
    assert torch.equal(log_det, torch.zeros_like(log_det))
    z.sum().backward()
    assert layer.theta.value.grad is not None
    assert bool(torch.isfinite(layer.theta.value.grad).all())


@pytest.mark.parametrize("n", [1, 2, 8, 784])
def test_sylvester_frame_is_orthonormal(n: int) -> None:
    torch.manual_seed(0)
    layer = Sylvester((n,), NET).double()
    frame = layer.frame().detach()
    assert frame.shape == (n, min(n, 8))
    gram = frame.T @ frame
    torch.testing.assert_close(gram, torch.eye(len(gram)).double(), rtol=0, atol=1e-12)


def test_sylvester_is_the_formula_of_its_paper_and_changes_its_span_only() -> None:
    torch.manual_seed(0)
    layer = moved(Sylvester((5,), NET, rank=2), 0.5)
    z = torch.randn(6, 5, dtype=torch.float64)
    with torch.no_grad():
        outer, inner, b, c = layer._constrained(None)
        frame = layer.frame()
        for matrix in (outer[0], inner[0]):
            assert torch.equal(matrix, matrix.triu())
            assert matrix[0, 1] != 0
        torch.testing.assert_close(outer[0].diagonal() * inner[0].diagonal(), c[0])
        rows = [frame @ outer[0] @ torch.tanh(inner[0] @ frame.T @ row + b[0]) for row in z]
        x, _ = layer.decode(z)
    torch.testing.assert_close(x - z, torch.stack(rows))
    outside = torch.eye(5).double() - frame @ frame.T
    torch.testing.assert_close((x - z) @ outside, torch.zeros_like(x))


def test_sylvester_refuses_a_rank_of_zero_and_takes_no_more_than_there_are_dimensions() -> None:
    with pytest.raises(ValueError, match="rank is at least 1, got 0"):
        Sylvester((3,), NET, rank=0)
    assert Sylvester((3,), NET, rank=50).rank == 3


@every
def test_each_row_has_the_parameters_of_its_own_context(make: Make) -> None:
    torch.manual_seed(0)
    layer = moved(make((2, 3), NET, context_shape=(2,)), 0.3)
    x = torch.randn(1, 2, 3, dtype=torch.float64).expand(7, -1, -1)
    context = torch.randn(7, 2, dtype=torch.float64)
    for go in (layer.encode, layer.decode):
        together, log_det = go(x, context)
        for i in range(7):
            alone, alone_log_det = go(x[i : i + 1], context[i : i + 1])
            torch.testing.assert_close(together[i : i + 1], alone)
            torch.testing.assert_close(log_det[i : i + 1], alone_log_det)
        assert together.std(0).min() > 1e-3
        assert log_det.std() > 1e-3
        with pytest.raises(ValueError, match="context of row shape"):
            go(x)
