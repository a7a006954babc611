"""Convolutions that keep the size of images, with a form in float64 that onnxruntime can run."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A convolution with an odd square kernel and a border of zeros.

    onnxruntime has no convolutions in float64. There it is a matrix product with copies of the
    image that are shifted by each tap of the kernel, which computes the same sums.

    Args:
        x: batch × channels × H × W.
        weight: outputs × channels × size × size.
        bias: outputs, or None.
    """
    size, (height, width) = weight.shape[-1], x.shape[-2:]
    if x.dtype != torch.float64:
        return F.conv2d(x, weight, bias, padding=size // 2)
    last = F.pad(x, [size // 2] * 4).movedim(1, -1)
    shifted = [last[:, i : i + height, j : j + width] for i in range(size) for j in range(size)]
    taps = weight.permute(0, 2, 3, 1).flatten(1)
    return F.linear(torch.cat(shifted, -1), taps, bias).movedim(-1, 1)


class Convolution(nn.Conv2d):
    """`convolve` with learned weights.

    Args:
        inputs, outputs: channels in and out.
        size: side of the square kernel, odd.
    """

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__(inputs, outputs, size, padding="same")

    def forward(self, x: Tensor) -> Tensor:
        """Batch × inputs × H × W → batch × outputs × H × W."""
        return convolve(x, self.weight, self.bias)
