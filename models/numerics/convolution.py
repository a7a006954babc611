"""Convolutions that keep the size of images, with a form in float64 that onnxruntime can run."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.numerics.exportable_loops import LOOP_RECORDER, scan_loop

# Multiplications for one image from which it is convolved apart from the others of its batch.
APART_FROM = 2**20

# Winograd's F(2 × 2, 3 × 3): of tiles of 4 × 4 pixels, of kernels, and back to 2 × 2 pixels.
OF_TILES = (
    (1.0, 0.0, -1.0, 0.0),
    (0.0, 1.0, 1.0, 0.0),
    (0.0, -1.0, 1.0, 0.0),
    (0.0, 1.0, 0.0, -1.0),
)
OF_KERNELS = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.0, 0.0, 1.0))
BACK = ((1.0, 1.0, 1.0, 0.0), (0.0, 1.0, -1.0, -1.0))


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A convolution with an odd square kernel and a border of zeros.

    Args:
        x: batch × channels × H × W.
        weight: outputs × channels × size × size.
        bias: outputs, or None.
    """
    if x.dtype == torch.float64 and LOOP_RECORDER.get() is not None:
        return convolve_by_products(x, weight, bias)
    return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


def convolve_by_products(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The same by matrix products, for exported graphs: onnxruntime has no convolution in float64.

    Of few inputs, there is one product of all taps with copies of the image, shifted by each tap;
    of few outputs, the products of each tap with the image are shifted and summed. Else either is
    several times as much as inputs and outputs: large images are convolved one after another, so
    that all share the memory, which stays in the cache.

    On one thread of an EPYC with 64 to 256 channels of 14 × 14 and 28 × 28 pixels, images apart by
    tiles took 2.0 to 2.4 times as long as float32, apart by copies 2.6 to 2.8 times, and all
    together by copies 2.8 to 5 times, with 9 times the memory of an input a row.
    """
    outputs, inputs, size, _ = weight.shape
    taps, pixels = size * size, x.shape[-2] * x.shape[-1]
    of_images = _of_copies if inputs <= outputs else _of_shifted_products
    few = taps * min(inputs, outputs) <= max(inputs, outputs)
    if size == 1:
        y = (weight[:, :, 0, 0] @ x.flatten(2)).view(-1, outputs, *x.shape[-2:])
    elif few or taps * inputs * outputs * pixels < APART_FROM:
        y = of_images(x, weight)
    else:
        of_image = _of_tiles if size == 3 else of_images
        _, (y,) = scan_loop(lambda _, row: ([], [of_image(row[0][None], weight)[0]]), [], [x])
    return y if bias is None else y + bias[:, None, None]


def _of_copies(x: Tensor, weight: Tensor) -> Tensor:
    """The product of all taps with copies of each image."""
    size, (height, width) = weight.shape[-1], x.shape[-2:]
    padded = F.pad(x, [size // 2] * 4)
    copies = [padded[..., i : i + height, j : j + width] for i in range(size) for j in range(size)]
    taps = weight.permute(0, 2, 3, 1).flatten(1)
    return (taps @ torch.cat(copies, 1).flatten(2)).view(-1, len(weight), height, width)


def _of_shifted_products(x: Tensor, weight: Tensor) -> Tensor:
    """The sum of the shifted products of each tap with each image."""
    outputs, _, size, _ = weight.shape
    height, width = x.shape[-2:]
    taps = weight.permute(3, 2, 0, 1).flatten(0, 2)
    products = (taps @ x.flatten(2)).view(-1, len(taps), height, width)
    # all taps of a column of the kernel are shifted alike, then all of a row
    border = size // 2
    columns = torch.split(F.pad(products, [border, border]), size * outputs, 1)
    of_rows = _sum([part[..., j : j + width] for j, part in enumerate(columns)])
    rows = torch.split(F.pad(of_rows, [0, 0, border, border]), outputs, 1)
    return _sum([part[..., i : i + height, :] for i, part in enumerate(rows)])


def _of_tiles(x: Tensor, weight: Tensor) -> Tensor:
    """3 × 3 taps by 16 products for each tile of 2 × 2 pixels, where others have 36.

    Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks", §4.1.
    """
    batch, channels, height, width = x.shape
    outputs, rows, columns = len(weight), -(-height // 2), -(-width // 2)
    tiles, across = rows * columns, 2 * columns + 2
    pixels = x.flatten(2).permute(2, 0, 1).reshape(height, width, batch * channels)
    padded = F.pad(pixels, [0, 0, 1, across - 1 - width, 1, 2 * rows + 1 - height]).flatten(0, 1)
    # pixels of a tile × tiles
    corners = 2 * (torch.arange(rows)[:, None] * across + torch.arange(columns)).flatten()
    places = (torch.arange(4)[:, None] * across + torch.arange(4)).flatten()[:, None] + corners
    of_tiles, of_kernels, back = (weight.new_tensor(m) for m in (OF_TILES, OF_KERNELS, BACK))
    read = padded.index_select(0, places.flatten()).reshape(16, -1)
    turned = (torch.kron(of_tiles, of_tiles) @ read).view(16, tiles * batch, channels)
    kernels = torch.einsum("ai,bj,ocij->abco", of_kernels, of_kernels, weight).flatten(0, 1)
    products = (turned @ kernels).view(16, -1)
    made = (torch.kron(back, back) @ products).reshape(4 * tiles, -1)
    row, column = torch.arange(height)[:, None], torch.arange(width)
    place = (2 * (row % 2) + column % 2) * tiles + row // 2 * columns + column // 2
    y = made.index_select(0, place.flatten()).view(height * width, batch, outputs)
    return y.permute(1, 2, 0).view(batch, outputs, height, width)


def _sum(tensors: Sequence[Tensor]) -> Tensor:
    return reduce(torch.add, tensors)


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
