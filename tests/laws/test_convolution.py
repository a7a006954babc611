"""Convolutions in float64 are those of torch."""

import pytest
import torch
from torch.nn import functional as F

from models.numerics.convolution import Convolution, convolve


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 1, 1), (3, 2, 1, 7)])
def test_products_with_shifted_images_are_convolutions(
    size: int, shape: tuple[int, int, int, int]
) -> None:
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, shape[1], size, size, dtype=torch.float64)
    bias = torch.randn(6, dtype=torch.float64)
    for given in (bias, None):
        expected = F.conv2d(x, weight, given, padding=size // 2)
        found = convolve(x, weight, given)
        torch.testing.assert_close(found, expected)
        upstream = torch.randn_like(expected)
        both = [torch.autograd.grad(y, x, upstream)[0] for y in (found, expected)]
        torch.testing.assert_close(*both)


def test_one_layer_is_the_same_in_both_precisions() -> None:
    torch.manual_seed(0)
    layer = Convolution(3, 4, 3)
    x = torch.randn(2, 3, 6, 6)
    narrow = layer(x)
    torch.testing.assert_close(layer.double()(x.double()).float(), narrow)
