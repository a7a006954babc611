"""The scales of the normal and the logistic distribution, in both tails: against scipy and back."""

import pytest
import torch
from scipy.special import log_ndtr, ndtri_exp

from models.numerics.normal_logistic import (
    log_cdf,
    log_survival,
    logistic_from_normal,
    normal_from_logistic,
    normal_tails,
)

every_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def far(dtype: torch.dtype) -> torch.Tensor:
    """Points of both signs, dense to 40σ, sparse from 1e-12 to 1e6."""
    sparse = torch.logspace(-12, 6, 500, dtype=torch.float64)
    return torch.cat([torch.linspace(-40, 40, 8001).double(), sparse, -sparse]).to(dtype)


@every_dtype
def test_normal_cdf_is_scipys_in_both_tails(dtype: torch.dtype) -> None:
    z, eps = far(dtype), torch.finfo(dtype).eps
    for found, expected in (
        (log_cdf(z), log_ndtr(z.double().numpy())),
        (log_survival(z), log_ndtr(-z.double().numpy())),
    ):
        exact = torch.from_numpy(expected)
        assert ((found - exact).abs() <= 4 * eps * exact.abs().clamp(min=1)).all()
        # the upper tail of log Φ, which is as small as Φ itself: relative to how it came about
        seen = exact.abs() > torch.finfo(dtype).tiny
        error = ((found - exact) / exact)[seen].abs()
        assert (error <= 4 * eps * (1 + z[seen].abs() ** 2)).all()


@every_dtype
def test_tails_at_once_are_those_of_the_scales(dtype: torch.dtype) -> None:
    z, eps = far(dtype), torch.finfo(dtype).eps
    below, above, log_slope = normal_tails(z)
    torch.testing.assert_close(below, log_cdf(z), rtol=4 * eps, atol=eps)
    torch.testing.assert_close(above, log_survival(z), rtol=4 * eps, atol=eps)
    assert torch.equal(log_slope, logistic_from_normal(z)[1])


def test_normal_quantile_is_scipys_in_the_tail() -> None:
    y = -torch.logspace(-3, 6, 500, dtype=torch.float64)
    log_probability = -torch.nn.functional.softplus(-y, threshold=700).numpy()
    exact = torch.from_numpy(ndtri_exp(log_probability))
    torch.testing.assert_close(normal_from_logistic(y)[0], exact, rtol=1e-11, atol=0)
    torch.testing.assert_close(normal_from_logistic(-y)[0], -exact, rtol=1e-11, atol=0)


@every_dtype
def test_normal_and_logistic_scales_round_trip(dtype: torch.dtype) -> None:
    relative = 8 * torch.finfo(dtype).eps
    values = far(dtype)
    y, forth = logistic_from_normal(values)
    z, back = normal_from_logistic(y)
    torch.testing.assert_close(z, values, rtol=relative, atol=0)
    torch.testing.assert_close(back, -forth, rtol=0, atol=relative)
    z, back = normal_from_logistic(values)
    y, forth = logistic_from_normal(z)
    torch.testing.assert_close(y, values, rtol=relative, atol=0)
    torch.testing.assert_close(back, -forth, rtol=0, atol=relative)


def test_normal_and_logistic_derivatives_are_autograds() -> None:
    for go in (logistic_from_normal, normal_from_logistic):
        value = far(torch.float64).requires_grad_()
        y, log_slope = go(value)
        (slope,) = torch.autograd.grad(y.sum(), value, retain_graph=True)
        torch.testing.assert_close(slope.log(), log_slope, rtol=0, atol=1e-10)
        (curvature,) = torch.autograd.grad(log_slope.sum(), value)
        assert torch.isfinite(curvature).all()
