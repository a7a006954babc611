"""Training rows drawn anew at each step, so that a flow does not learn accidents by heart."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from training.protocols import less_mean


@dataclass(frozen=True)
class Augmentation:
    """How training rows are drawn.

    Args:
        sources: what they are drawn from, one for each: N × anything.
        draw: batch of sources → batch × event shape, in float32; random by torch's generator.
    """

    sources: NDArray[Any]
    draw: Callable[[Tensor], Tensor]


def mirrored(images: Tensor) -> Tensor:
    """Images turned left to right, each with probability ½: batch × … × width."""
    turned = torch.rand(len(images), device=images.device) < 0.5
    return torch.where(turned.view(-1, *[1] * (images.ndim - 1)), images.flip(-1), images)


def bsds300_rows(pixels: Tensor) -> Tensor:
    """Rows of the protocol bsds300, with fresh noise, from mirrored patches: batch × 64 → × 63."""
    patches = mirrored(pixels.view(-1, 8, 8)).flatten(1)
    noise = torch.rand(patches.shape, device=patches.device)
    return less_mean((patches + noise) / 256)
