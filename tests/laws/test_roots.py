"""The root finder: to the last digit for any increasing function, with exact gradients."""

import math

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from models.numerics import root_finding as roots
from tests.helpers.examples import examples
from training.export.recorded import onnx_model, recorded

ROWS = 500


class Increasing:
    """Random functions, one a row: a line and six ramps or steps, of slopes in [1e-3, 1e3]."""

    def __init__(self, seed: int, ramps: bool) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.ramps = ramps
        self.places = 10 * torch.randn(ROWS, 6, generator=self.generator, dtype=torch.float64)
        self.sharpness = self.powers(-1, 3, 6)
        self.slopes = self.powers(-3, 3, 6) / 6
        self.line = self.powers(-3, -1, 1)[:, 0]

    def powers(self, low: float, high: float, size: int) -> Tensor:
        return 10 ** (low + (high - low) * self.uniform(size))

    def uniform(self, size: int) -> Tensor:
        return torch.rand(ROWS, size, generator=self.generator, dtype=torch.float64)

    def terms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Summands of f(x), and of its slope: rows × 7."""
        places, sharpness, slopes, line = (
            t.to(x.dtype) for t in (self.places, self.sharpness, self.slopes, self.line)
        )
        u = (x[:, None] - places) * sharpness
        values = F.softplus(u) if self.ramps else torch.tanh(u)
        rates = torch.sigmoid(u) if self.ramps else 1 - torch.tanh(u) ** 2
        return (
            torch.cat([values / sharpness * slopes, (line * x)[:, None]], 1),
            torch.cat([rates * slopes, line[:, None]], 1),
        )

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values, slopes = self.terms(x)
        return values.sum(1), slopes.sum(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(
    seed=st.integers(0, 2**32), ramps=st.booleans(), width=st.sampled_from([1e-3, 1.0, 1e2, 1e6])
)
@examples(60)
def test_root_is_right_to_the_last_digit(
    dtype: torch.dtype, seed: int, ramps: bool, width: float
) -> None:
    function = Increasing(seed, ramps)
    expected = 10 * torch.randn(ROWS, generator=function.generator, dtype=torch.float64)
    target = function(expected)[0].to(dtype)
    # on a grid of the number type, so that the bracket holds the root
    low = (expected - width * (0.01 + function.uniform(1)[:, 0])).to(dtype)
    high = (expected + width * (0.01 + function.uniform(1)[:, 0])).to(dtype)

    def guarded(x: Tensor) -> tuple[Tensor, Tensor]:
        assert bool(((low <= x) & (x <= high)).all())
        return function(x)

    x = roots.find_root(guarded, target, low, high).double()
    values, slopes = function.terms(x)
    # what rounding x, and f's summands, may do to f
    digit = torch.finfo(dtype).eps * (values.abs().sum(1) + slopes.sum(1) * x.abs())
    assert bool(((values.sum(1) - target).abs() <= 20 * digit).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "at_root"), [("flat", 0.0), ("flat", 2.0), ("vertical", 2.0)])
def test_slopes_of_zero_and_infinity_on_the_way_do_no_harm(
    name: str, at_root: float, dtype: torch.dtype
) -> None:
    def cube(x: Tensor) -> tuple[Tensor, Tensor]:
        return x**3, 3 * x**2

    def square_root(x: Tensor) -> tuple[Tensor, Tensor]:
        return x.sign() * x.abs().sqrt(), 0.5 / x.abs().sqrt()

    function = cube if name == "flat" else square_root
    target, _ = function(torch.full((2,), at_root, dtype=dtype))
    # the first bracket's middle is the place itself
    ends = torch.tensor([3.0, 10.0], dtype=dtype)
    x = roots.find_root(function, target, -ends, ends)
    residual = (function(x)[0] - target).abs()
    assert bool((residual <= 8 * torch.finfo(dtype).eps).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_roots_have_the_order_of_their_targets_where_f_is_flat(dtype: torch.dtype) -> None:
    eps = torch.finfo(dtype).eps

    def exact(x: Tensor) -> Tensor:
        return torch.tanh(x - 20) + torch.tanh(x + 20) + 0.1 * eps * x

    def computed(x: Tensor) -> tuple[Tensor, Tensor]:
        # with rounding errors of up to 3 eps, drawn anew at each place
        error = 3 * eps * torch.sin(1e6 * x.double()).to(dtype)
        slope = 2 - torch.tanh(x - 20) ** 2 - torch.tanh(x + 20) ** 2 + 0.1 * eps
        return exact(x) + error, slope

    # the places closer to 0 than 15 have values within 2 eps of 0
    target = eps * torch.arange(-30, 30, 8.5, dtype=dtype)
    ends = torch.full_like(target, 100.0)
    for start in torch.linspace(-99, 99, 67):
        x = roots.find_root(
            computed,
            target,
            -ends,
            ends,
            start=torch.full_like(target, start.item()),
            rounding=torch.full_like(target, eps),
        )
        assert bool((x.diff() >= 0).all())
        assert bool(((exact(x.double()) - target).abs() <= 5 * eps).all())


def test_gradients_are_those_of_the_explicit_inverse() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(50, generator=generator, dtype=torch.float64).requires_grad_()
    scale = torch.rand(50, generator=generator, dtype=torch.float64).add(0.1).requires_grad_()
    shift = torch.randn(50, generator=generator, dtype=torch.float64).requires_grad_()
    weight = torch.randn(50, generator=generator, dtype=torch.float64)

    def function(x: Tensor) -> tuple[Tensor, Tensor]:
        return scale * torch.sinh(x) + shift, scale * torch.cosh(x)

    ends = torch.full_like(target, 20.0).detach()
    found = roots.find_root(function, target, -ends, ends)
    explicit = torch.asinh((target - shift) / scale)
    torch.testing.assert_close(found, explicit)
    wanted = (target, scale, shift)
    for got, expected in zip(
        torch.autograd.grad((weight * found).sum(), wanted),
        torch.autograd.grad((weight * explicit).sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("grad", [False, True])
def test_what_else_a_function_gives_is_that_of_the_root(grad: bool) -> None:
    function = Increasing(0, ramps=True)
    expected = 10 * torch.randn(ROWS, generator=function.generator, dtype=torch.float64)
    target = function(expected)[0].requires_grad_(grad)

    def and_more(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return *function(x), 3 * x

    with torch.set_grad_enabled(grad):
        x, more = roots.root_and_more(1, and_more, target, expected - 9, expected + 7)
    assert torch.equal(more, 3 * x)
    if grad:
        slopes = torch.autograd.grad(more.sum(), target)[0]
        torch.testing.assert_close(slopes, 3 / function(x.detach())[1])


def test_a_target_that_is_no_number_has_no_root_and_leaves_the_others_alone() -> None:
    def function(x: Tensor) -> tuple[Tensor, Tensor]:
        return x + torch.tanh(x), 2 - torch.tanh(x) ** 2

    target = torch.tensor([0.5, math.nan, -3.0])
    x = roots.find_root(function, target, target.nan_to_num() - 1, target.nan_to_num() + 1)
    assert torch.isnan(x).tolist() == [False, True, False]
    clean = target[[0, 2]]
    torch.testing.assert_close(x[[0, 2]], roots.find_root(function, clean, clean - 1, clean + 1))
    assert roots.find_root(function, target[:0], target[:0], target[:0]).shape == (0,)


def test_exported_it_is_one_loop_and_finds_the_same_roots() -> None:
    def inverse(target: Tensor) -> Tensor:
        def function(x: Tensor) -> tuple[Tensor, Tensor]:
            h = torch.tanh(x)
            return x + 19 * h, 1 + 19 * (1 - h * h)

        return roots.find_root(function, target, target - 19, target + 19)

    graph = recorded(inverse, {"target": ("batch", 2)}, ("x",), torch.float32)
    assert [node.op_type for node in graph.node].count("Loop") == 1
    session = onnxruntime.InferenceSession(
        onnx_model(graph).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    target = 30 * torch.randn(1000, 2, generator=torch.Generator().manual_seed(0))
    (x,) = session.run(None, {"target": target.numpy()})
    np.testing.assert_allclose(x, inverse(target.double()).numpy(), rtol=1e-5, atol=1e-5)
