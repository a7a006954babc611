"""Convolutions in float64 are those of torch, in exported graphs too."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn import functional as F

from models.numerics import convolution
from models.numerics.convolution import Convolution, convolve, convolve_by_products
from training.export.recorded import onnx_model, recorded

# outputs × channels: more of the one, of the other, and of both
CHANNELS = [(6, 3), (2, 7), (3, 1), (1, 3), (4, 4)]


@pytest.fixture(params=[False, True], ids=["together", "apart"])
def apart(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether images are convolved one after another."""
    monkeypatch.setattr(convolution, "APART_FROM", 0 if request.param else 2**60)
    return bool(request.param)


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("shape", [(2, 4, 5), (1, 1, 1), (3, 1, 7)])
def test_sums_of_products_are_convolutions(
    size: int, channels: tuple[int, int], shape: tuple[int, int, int]
) -> None:
    outputs, inputs = channels
    batch, *sides = shape
    x = torch.randn(batch, inputs, *sides, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(outputs, inputs, size, size, dtype=torch.float64)
    bias = torch.randn(outputs, dtype=torch.float64)
    for given in (bias, None):
        expected = F.conv2d(x, weight, given, padding=size // 2)
        found = convolve_by_products(x, weight, given)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        upstream = torch.randn_like(expected)
        both = [torch.autograd.grad(y, x, upstream)[0] for y in (found, expected)]
        torch.testing.assert_close(*both, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("channels", CHANNELS)
def test_onnxruntime_has_them_in_float64(size: int, channels: tuple[int, int]) -> None:
    layer = Convolution(channels[1], channels[0], size).double()
    graph = recorded(layer, {"x": ("batch", channels[1], 5, 4)}, ["y"], torch.float64)
    session = onnxruntime.InferenceSession(onnx_model(graph).SerializeToString())
    for batch in (1, 3):
        x = torch.randn(batch, channels[1], 5, 4, dtype=torch.float64)
        (found,) = session.run(None, {"x": x.numpy()})
        np.testing.assert_allclose(found, layer(x).detach().numpy(), rtol=0, atol=1e-12)


def test_outside_of_graphs_float64_takes_no_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "convolve_by_products", None)
    x, weight = (torch.randn(2, 3, 3, 3, dtype=torch.float64) for _ in range(2))
    torch.testing.assert_close(convolve(x, weight), F.conv2d(x, weight, padding=1))


def test_one_layer_is_the_same_in_both_precisions() -> None:
    torch.manual_seed(0)
    layer = Convolution(3, 4, 3)
    x = torch.randn(2, 3, 6, 6)
    narrow = layer(x)
    torch.testing.assert_close(layer.double()(x.double()).float(), narrow)
