"""Every family far from where it is at ease: finite numbers, or none that pass for one."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from models import zoo
from models.flow import Flow
from tests.laws.zoo_table import randomise

WHOLE = ["nice", "realnvp", "glow", "nsf", "mintnet"]  # take images, too
MIXTURES = ["maf-logistic", "maf-mog"]
NARROW = {"hidden": (16,), "transforms": 2}

every_family = pytest.mark.parametrize("family", zoo.FAMILIES)


def build(family: str, shape: tuple[int, ...], scale: float, **options: Any) -> Flow:
    """A flow of two narrow layers, or so many, that far from its start."""
    chosen: dict[str, Any] = NARROW | options
    if family == "iterative-gaussianization":
        del chosen["hidden"]
    torch.manual_seed(0)
    flow = zoo.build(family, shape, options=chosen)
    randomise(flow, scale)
    return flow.eval()


def rows(flow: Flow, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, *flow.bijection.event_shape, generator=generator).to(flow.like)


def assert_round_trips(flow: Flow, bar: float) -> None:
    for count in (0, 1, 7):
        x = rows(flow, count)
        with torch.no_grad():
            z, log_prob = flow.encode(x)
            back, decoded = flow.decode(z)
        assert z.shape == x.shape
        assert log_prob.shape == decoded.shape == (count,)
        assert torch.isfinite(z).all()
        torch.testing.assert_close(back, x, rtol=bar, atol=bar)
        torch.testing.assert_close(decoded, log_prob, rtol=bar, atol=bar * x[:1].numel() or bar)


@every_family
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_any_dimensions_and_batch(family: str, dimensions: int) -> None:
    assert_round_trips(build(family, (dimensions,), 0.2), 1e-3)


# these two search for 784 roots of each coordinate, one coordinate after the other
@pytest.mark.parametrize(
    "family",
    [
        pytest.param(family, marks=pytest.mark.long if family in MIXTURES else ())
        for family in zoo.FAMILIES
    ],
)
def test_784_dimensions_and_any_batch(family: str) -> None:
    # no further from the identity than a flow of few dimensions, whose matrices are smaller
    scale = 0.2 / math.sqrt(784)
    assert_round_trips(build(family, (784,), scale, transforms=1), 1e-3)


@pytest.mark.parametrize("family", WHOLE)
@pytest.mark.parametrize("shape", [(1, 2, 2), (3, 4, 6)])
def test_any_image(family: str, shape: tuple[int, ...]) -> None:
    assert_round_trips(build(family, shape, 0.05), 1e-3)


@every_family
def test_64_layers_are_still_inverted(family: str) -> None:
    assert_round_trips(build(family, (3,), 0.02, transforms=64).double(), 1e-8)


def test_64_layers_that_start_at_random_are_still_inverted() -> None:
    assert_round_trips(build("maf", (3,), 0.0, transforms=64, zero_start=False).double(), 1e-8)


@every_family
@pytest.mark.parametrize("scale", [0.2, 10.0])
@pytest.mark.parametrize("size", [1.0, 1e6])
def test_far_rows_and_wild_parameters_give_no_silent_nan(
    family: str, scale: float, size: float
) -> None:
    flow = build(family, (3,), 0.2)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.mul_(scale)
        values = size * rows(flow, 50).sign() * (1 + 1e-3 * rows(flow, 50))
        for go in (flow.encode, flow.decode):
            out, log_prob = go(values)
            # what is infinite is refused by the service, row by row; NaN could hide in a sum
            assert not out.isnan().any()
            assert not log_prob.isnan().any()
            # and at ease all is finite
            if size == 1.0 and scale < 1:
                assert math.isfinite(float(out.abs().max() + log_prob.abs().max()))
