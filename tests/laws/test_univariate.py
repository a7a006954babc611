"""Laws of the univariate maps: monotone, exact both ways, finite for any parameters."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal
from torch.nn import functional as F

from models.numerics.mixtures import GaussianMixture, LogisticMixture
from models.numerics.splines import RationalQuadratic
from models.numerics.univariate import Additive, Affine, UnivariateMap
from tests.helpers.examples import examples
from tests.helpers.search_steps import count_steps

MAPS: dict[str, UnivariateMap] = {
    "additive": Additive(),
    "affine": Affine(),
    "spline": RationalQuadratic(),
    "spline linear": RationalQuadratic(5, 3.0, "linear"),
    "logistic mixture": LogisticMixture(),
    "logistic mixture normal": LogisticMixture(5, normal=True),
    "gaussian mixture": GaussianMixture(),
    "gaussian mixture of one": GaussianMixture(1),
}
# how far from the identity a map may be for |x| ≤ 3 with zero parameters
START = {"logistic mixture": 0.12, "logistic mixture normal": 0.12, "gaussian mixture": 0.08}
DTYPES = [torch.float32, torch.float64]

every_map = pytest.mark.parametrize("name", MAPS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
seeds = st.integers(0, 2**31)
scales = st.sampled_from([0.0, 0.5, 2.0, 6.0, 10.0])


def draw(
    name: str, dtype: torch.dtype, seed: int, scale: float, rows: int = 200
) -> tuple[UnivariateMap, Tensor, Tensor]:
    """A map, parameters ~ N(0, scale²) and values, one in ten of them far out: to ±1e6."""
    generator = torch.Generator().manual_seed(seed)
    one = MAPS[name]
    theta = scale * torch.randn(rows, one.size, generator=generator, dtype=torch.float64)
    x = 3 * torch.randn(rows, generator=generator, dtype=torch.float64)
    x[::10] = 1e6 * (2 * torch.rand(len(x[::10]), generator=generator, dtype=torch.float64) - 1)
    x[:4] = torch.tensor([0.0, 1e6, -1e6, one.size])
    return one, theta.to(dtype), x.to(dtype)


@every_map
def test_zero_parameters_give_nearly_the_identity(name: str) -> None:
    one = MAPS[name]
    x = torch.linspace(-3, 3, 601, dtype=torch.float64)
    z, log_slope = one.encode(x, x.new_zeros(601, one.size))
    assert (z - x).abs().max() <= START.get(name, 1e-14)
    assert log_slope.abs().max() <= 3 * START.get(name, 1e-14)


@every_map
@every_dtype
@examples(5)
@given(seed=seeds, scale=scales)
def test_monotone(name: str, dtype: torch.dtype, seed: int, scale: float) -> None:
    one, theta, x = draw(name, dtype, seed, scale)
    x, theta = x[::2].sort()[0].expand(5, -1), theta[:5, None]
    rounding = 8 * torch.finfo(dtype).eps
    # where F is flat the order of latents this near to each other is lost (see the round trip)
    near = x.diff() <= rounding * (1 + x[:, 1:].abs())
    for go, unordered in ((one.encode, torch.zeros_like(near)), (one.decode, near)):
        y, log_slope = go(x, theta.expand(*x.shape, -1))
        assert (unordered | (y.diff() >= -rounding * (1 + y[:, 1:].abs()))).all()
        # and not flat: an element's slope is what a step to each side of it climbs
        assert (y.amax(1) > y.amin(1) + 1).all()
        assert torch.isfinite(log_slope).all()


@every_map
@every_dtype
@examples(5)
@given(seed=seeds, scale=scales)
# In these a last Newton step, of a rounding error over the slope, would leave a flat place of F.
@example(seed=136580, scale=6.0)
@example(seed=482861750, scale=10.0)
def test_round_trip_within_conditioning(
    name: str, dtype: torch.dtype, seed: int, scale: float
) -> None:
    one, theta, x = draw(name, dtype, seed, scale)
    digit = 8 * torch.finfo(dtype).eps
    reach = 1 + theta.abs().amax(1)  # x is measured from means up to here
    # The value that decode found, encoded again, misses z by z's own last digits, and by those of
    # x times the slope there.
    found, _ = one.decode(x, theta)
    z, back = one.encode(found, theta)
    miss = digit * (1 + x.abs()) + digit * (reach + found.abs()) * torch.exp(back)
    assert ((z - x).abs() <= miss).all()
    # Between far components F is flat: z then says of x only where it lies between the two
    # places that z's last digits separate, however far apart those are. Fewer digits do not
    # suffice: where F is flat its computed values go up and down by their rounding errors, and
    # encode itself gives the latents there in no order. These errors are at most 3 eps (1 + |z|)
    # (measured, float32 against float64), and decode ends within 1 eps (1 + |z|) of its target.
    # So latents 2 (3 + 1) eps (1 + |z|) apart have roots in their order.
    z, _ = one.encode(x, theta)
    found, _ = one.decode(z, theta)
    digits = digit * (1 + z.abs())
    low, high = one.decode(z - digits, theta)[0], one.decode(z + digits, theta)[0]
    slack = digit * (reach + x.abs())
    assert ((x >= low - slack) & (x <= high + slack)).all()
    assert ((found >= low - slack) & (found <= high + slack)).all()


@every_map
@examples(5)
@given(seed=seeds, scale=st.sampled_from([0.0, 0.5, 2.0]))
def test_log_derivative_is_autograds(name: str, seed: int, scale: float) -> None:
    one, theta, x = draw(name, torch.float64, seed, scale)
    for go in (one.encode, one.decode):
        value = x.clone().requires_grad_()
        y, log_slope = go(value, theta)
        (slope,) = torch.autograd.grad(y.sum(), value)
        # a derivative found by a root is as good as the root, whose digits a flat F takes away
        good = log_slope < 15
        assert good[x.abs() < 100].double().mean() > 0.95
        assert (torch.log(slope) - log_slope)[good].abs().max() <= 1e-9


@every_map
@examples(5)
@given(seed=seeds)
def test_log_derivatives_of_both_directions_cancel(name: str, seed: int) -> None:
    one, theta, x = draw(name, torch.float64, seed, 2.0)
    found, back = one.decode(x, theta)
    _, forth = one.encode(found, theta)
    assert (forth + back).abs().max() <= 1e-8


@every_map
@every_dtype
@examples(5)
@given(seed=seeds)
def test_finite_with_gradients_for_wild_parameters(
    name: str, dtype: torch.dtype, seed: int
) -> None:
    one, theta, x = draw(name, dtype, seed, 10.0)
    for go in (one.encode, one.decode):
        value, parameters = x.clone().requires_grad_(), theta.clone().requires_grad_()
        y, log_slope = go(value, parameters)
        assert torch.isfinite(y).all()
        assert torch.isfinite(log_slope).all()
        gradients = torch.autograd.grad(y.sum() + log_slope.sum(), (value, parameters))
        assert all(torch.isfinite(g).all() for g in gradients)


@every_map
def test_gradients_reach_every_parameter_from_the_start(name: str) -> None:
    one, theta, x = draw(name, torch.float64, 1, 0.0)
    for go in (one.encode, one.decode):
        parameters = theta.clone().requires_grad_()
        y, log_slope = go(x / 1e6 + torch.linspace(-3, 3, len(x)).to(x), parameters)
        loss = (y**2).sum() if name == "additive" else (0.5 * y**2 - log_slope).sum()
        (gradient,) = torch.autograd.grad(loss, parameters)
        reached = gradient.abs().amax(0) > 1e-6
        assert reached[1 if name.endswith("of one") else 0 :].all()  # one weight is always 1


@pytest.mark.parametrize("tails", ["identity", "linear"])
@pytest.mark.parametrize("scale", [1.0, 6.0, 30.0])
def test_spline_keeps_float32_digits(tails: str, scale: float) -> None:
    one = RationalQuadratic(tails=tails)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    theta = scale * torch.randn(200_000, one.size, generator=generator)
    x = 10 * torch.rand(200_000, generator=generator) - 5
    for first, then in ((one.encode, one.decode), (one.decode, one.encode)):
        assert (then(first(x, theta)[0], theta)[0] - x).abs().max() <= 1e-4


@pytest.mark.parametrize("tails", ["identity", "linear"])
def test_spline_slope_is_bounded_inside_the_bins_too(tails: str) -> None:
    one = RationalQuadratic(tails=tails)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    found = []
    for scale in (1.0, 2.0, 3.0, 6.0, 10.0, 30.0):
        theta = scale * torch.randn(200, 1, one.size, generator=generator, dtype=torch.float64)
        x = torch.linspace(-5.1, 5.1, 2001, dtype=torch.float64).expand(200, -1)
        found.append(one.encode(x, theta)[1].exp())
    slopes = torch.stack(found)
    assert slopes.min() >= 1e-2 - 1e-12
    assert slopes.max() <= 1e2 + 1e-9
    # and what is allowed is used
    assert slopes.min() < 0.012
    assert slopes.max() > 80


def test_spline_is_the_identity_outside_its_interval() -> None:
    one, theta, _ = draw("spline", torch.float32, 0, 6.0, rows=1000)
    x = torch.cat([torch.linspace(-1e6, -5, 500), torch.linspace(5, 1e6, 500)])
    for go in (one.encode, one.decode):
        z, log_slope = go(x, theta)
        torch.testing.assert_close(z, x, rtol=2e-7, atol=0)
        assert torch.equal(log_slope, torch.zeros(1000))


@pytest.mark.parametrize("name", ["logistic mixture normal", "gaussian mixture"])
def test_mixture_density_is_the_sum_of_its_components(name: str) -> None:
    one, theta, x = draw(name, torch.float64, 3, 1.0)
    log_weight, mean, log_scale = one._components(theta)  # type: ignore[attr-defined]
    a = (x[:, None] - mean) / log_scale.exp()
    parts = (
        Normal(0.0, 1.0).log_prob(a) if "gaussian" in name else F.logsigmoid(a) + F.logsigmoid(-a)
    )
    expected = (log_weight + parts - log_scale).logsumexp(1)
    z, log_slope = one.encode(x, theta)
    log_prob = Normal(0.0, 1.0).log_prob(z) + log_slope
    torch.testing.assert_close(log_prob, expected, rtol=1e-12, atol=1e-11)


@every_dtype
@pytest.mark.parametrize(("scale", "most"), [(0.5, 15), (2.0, 22), (10.0, 30)])
def test_decode_finds_mixtures_roots_in_few_steps(
    dtype: torch.dtype, scale: float, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = count_steps(monkeypatch)
    z = torch.randn(10_000, generator=torch.Generator().manual_seed(0)).to(dtype)
    for name in ("logistic mixture", "logistic mixture normal", "gaussian mixture"):
        one, theta, _ = draw(name, dtype, 0, scale, len(z))
        one.decode(z, theta)
    assert len(steps) == 3
    assert max(steps) <= most


def test_one_component_is_affine() -> None:
    one, theta, x = draw("gaussian mixture of one", torch.float64, 4, 1.0)
    scale = torch.exp(4 * torch.tanh(theta[:, 2] / 4))
    torch.testing.assert_close(one.encode(x, theta)[0], (x - theta[:, 1]) / scale)
    torch.testing.assert_close(one.decode(x, theta)[0], theta[:, 1] + scale * x)


@pytest.mark.parametrize("name", ["gaussian mixture", "logistic mixture normal"])
@pytest.mark.parametrize("sigma", [8.0, 9.0, -8.0, -9.0])
def test_points_far_out_are_told_apart_in_float32(name: str, sigma: float) -> None:
    one = MAPS[name]
    latents = sigma + 1e-5 * torch.arange(-50, 50)
    theta = torch.zeros(100, one.size)
    x, _ = one.decode(latents, theta)
    z, _ = one.encode(x, theta)
    assert (x.diff() > 0).all()
    assert (z.diff() > 0).all()
    assert (z - latents).abs().max() <= 5e-6
