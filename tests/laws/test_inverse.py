"""The sequential direction of masked layers against the definition: D passes, one a coordinate."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from models.layers.autoregressive import MaskedAutoregressive
from models.layers.autoregressive.sequential_inverse import Inverse
from models.networks.conditioner import Conditioner
from models.networks.made import MaskedLinear
from models.numerics.folding import fold
from models.numerics.mixtures import GaussianMixture, LogisticMixture
from models.numerics.splines import RationalQuadratic
from models.numerics.univariate import Additive, Affine, UnivariateMap
from tests.helpers.examples import examples
from tests.helpers.layers import chain
from tests.laws.zoo_table import randomise

MAPS: dict[str, Callable[[], UnivariateMap]] = {
    "additive": Additive,
    "affine": Affine,
    "spline": lambda: RationalQuadratic(4, 5.0),
    "logistic mixture": lambda: LogisticMixture(2),
    "gaussian mixture": lambda: GaussianMixture(2),
}
INVERSES = [Inverse("sequential", w) for w in (1, 3, 7)] + [Inverse("jacobi", w) for w in (1, 3, 7)]


def layer(
    n: int,
    univariate: str = "affine",
    hidden: tuple[int, ...] = (16, 16),
    context: int = 0,
    residual: bool = False,
    seed: int = 0,
) -> MaskedAutoregressive:
    torch.manual_seed(seed)
    order = torch.randperm(n).tolist()
    conditioner = Conditioner(hidden, "tanh", residual=residual)
    shape = (context,) if context else None
    made = MaskedAutoregressive((n,), MAPS[univariate](), order, conditioner, shape)
    randomise(made, 0.4)
    return made.double().eval()


def by_definition(
    made: MaskedAutoregressive, z: Tensor, context: Tensor | None
) -> tuple[Tensor, Tensor]:
    """D passes of the whole network, a coordinate taken from each."""
    x = torch.full_like(z, 1e3)  # what is not found yet must not matter
    for i in made.order.tolist():
        x[:, i] = made.univariate.decode(z, made.theta(x, context))[0][:, i]
    return x, made.univariate.decode(z, made.theta(x, context))[1].sum(1)


def given_to(made: MaskedAutoregressive, rows: int = 6) -> tuple[Tensor, Tensor | None]:
    z = torch.randn(rows, *made.latent_shape, dtype=torch.float64)
    shape = made.context_shape
    return z, None if shape is None else torch.randn(rows, *shape, dtype=torch.float64)


@torch.no_grad()
def assert_inverts(made: MaskedAutoregressive, inverse: Inverse) -> None:
    made.inverse = inverse
    z, context = given_to(made)
    x, log_det = made.decode(z, context)
    expected, expected_log_det = by_definition(made, z, context)
    torch.testing.assert_close(x, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(log_det, expected_log_det, rtol=1e-12, atol=1e-11)


@pytest.mark.parametrize("inverse", INVERSES, ids=str)
@pytest.mark.parametrize("univariate", MAPS)
def test_it_is_the_inverse_of_any_map(univariate: str, inverse: Inverse) -> None:
    assert_inverts(layer(7, univariate), inverse)


@examples(60)
@given(
    n=st.integers(1, 12),
    hidden=st.lists(st.integers(1, 20), max_size=3),
    context=st.integers(0, 3),
    residual=st.booleans(),
    method=st.sampled_from(["sequential", "jacobi"]),
    width=st.integers(1, 14),
    seed=st.integers(0, 1000),
)
def test_it_is_the_inverse_of_any_network(
    n: int,
    hidden: list[int],
    context: int,
    residual: bool,
    method: Any,
    width: int,
    seed: int,
) -> None:
    if residual:
        hidden = hidden[:1] * len(hidden)
    made = layer(n, "affine", tuple(hidden), context, residual, seed)
    assert_inverts(made, Inverse(method, width))


def test_each_hidden_unit_is_computed_once() -> None:
    made = layer(40, hidden=(80, 80))
    z, _ = given_to(made)
    counts = {}
    with torch.no_grad():
        x = made.decode(z)[0]
        for name, go, value in (("encode", made.encode, x), ("decode", made.decode, z)):
            made.inverse = Inverse("sequential", 8)
            with FlopCounterMode(display=False) as counter:
                go(value)
            counts[name] = counter.get_total_flops()
    # half of the weights are masked, which the other direction multiplies by as well
    assert counts["decode"] < 0.65 * counts["encode"]


class Counted(Affine):
    """Affine, which counts how often it decodes."""

    calls = 0

    def decode(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        return super().decode(z, theta)


@torch.no_grad()
def test_sweeps_stop_at_the_tolerance_and_after_as_many_as_there_are_coordinates() -> None:
    made = layer(24)
    z, _ = given_to(made)
    exact, _ = by_definition(made, z, None)
    sweeps, errors = [], []
    for tolerance in (0.0, 1e-6, 1e-2):
        made.univariate = counted = Counted()
        made.inverse = Inverse("jacobi", 24, tolerance)
        x, _ = made.decode(z)
        sweeps.append(counted.calls)
        errors.append(float((x - exact).abs().max()))
    assert 25 >= sweeps[0] > sweeps[1] > sweeps[2] > 1
    assert errors[0] <= 1e-12 < errors[1] < 1e-4 < errors[2] < 1


@pytest.mark.parametrize("inverse", INVERSES, ids=str)
@torch.no_grad()
def test_a_row_beyond_all_numbers_leaves_its_neighbours_alone(inverse: Inverse) -> None:
    made = layer(7)
    made.inverse = inverse
    z, _ = given_to(made)
    expected, expected_log_det = made.decode(z)
    z[2], z[4] = torch.inf, torch.nan
    z[5, made.order[3]] = 1e300
    x, log_det = made.decode(z)
    alone = [0, 1, 3]
    torch.testing.assert_close(x[alone], expected[alone], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(log_det[alone], expected_log_det[alone], rtol=1e-12, atol=1e-12)
    assert x[[2, 4]].isnan().all()
    first, rest = made.order[:3], made.order[3:]
    torch.testing.assert_close(x[5, first], expected[5, first], rtol=1e-12, atol=1e-12)
    assert x[5, rest].isnan().any()


@pytest.mark.parametrize("width", [40, 20])
@torch.no_grad()
def test_sweeps_may_go_beyond_all_numbers_on_their_way(width: int) -> None:
    made, z = chain()
    made.inverse = Inverse("jacobi", width)
    assert torch.equal(made.decode(z)[0], torch.ones_like(z))


@pytest.mark.parametrize("context", [0, 2])
def test_its_derivatives_are_right(context: int) -> None:
    made = layer(4, context=context, residual=True)
    z, given_context = given_to(made, rows=3)
    inputs = (z, given_context) if given_context is not None else (z,)
    for value in inputs:
        value.requires_grad_()
    assert torch.autograd.gradcheck(made.decode, inputs)
    # and of parameters
    _, log_det = made.decode(*inputs)
    made.zero_grad()
    log_det.sum().backward()
    found = [p.grad for p in made.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in found)
    step = 1e-6
    parameter = made.network.linears[0].bias
    assert isinstance(parameter, Tensor)
    with torch.no_grad():
        sums = []
        for sign in (1, -1):
            parameter[3] += sign * step
            sums.append(float(made.decode(*inputs)[1].sum()))
            parameter[3] -= sign * step
    assert found[1] is not None
    assert float(found[1][3]) == pytest.approx((sums[0] - sums[1]) / (2 * step), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("newton", 3), "sequential or jacobi, not 'newton'"),
        (("jacobi", 0), "at least 1 wide, got 0"),
        (("jacobi", 3, -1e-3), "at least 0, got -0.001"),
        (("jacobi", 3, float("nan")), "at least 0, got nan"),
        (("sequential", 3, 1e-3), "a tolerance is of jacobi"),
    ],
)
def test_what_is_no_inverse_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Inverse(*arguments)


def test_residual_layers_of_unequal_widths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"equal widths, got \[8, 9\]"):
        Conditioner((8, 9), residual=True)


@examples(30)
@given(
    n=st.integers(1, 12),
    hidden=st.lists(st.integers(1, 20), max_size=3),
    context=st.integers(0, 3),
    residual=st.booleans(),
    folds=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_a_pass_in_blocks_is_the_pass_of_whole_matrices(
    n: int, hidden: list[int], context: int, residual: bool, folds: bool, seed: int
) -> None:
    if residual:
        hidden = hidden[:1] * len(hidden)
    made = layer(n, "affine", tuple(hidden), context, residual, seed)
    x, given_context = given_to(made)
    weights = [
        part.masked_weight() for part in made.network.linears if isinstance(part, MaskedLinear)
    ]
    h = x if given_context is None else torch.cat([given_context, x], 1)
    for i, (weight, linear) in enumerate(zip(weights, made.network.linears, strict=True)):
        before, h = h, h @ weight.T + linear.bias  # type: ignore[operator]
        if i + 1 < len(weights):
            h = torch.tanh(h) + (before if residual and i else 0)
    assert not made.network.in_blocks
    made.network.in_blocks = True
    if folds:
        fold(made)
    torch.testing.assert_close(made.theta(x, given_context).flatten(1), h)
