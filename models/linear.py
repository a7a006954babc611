"""Linear bijections."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.bijection import Bijection


class Permutation(Bijection):
    """A fixed reordering of the coordinates; its log-determinant is exactly zero.

    Args:
        event_shape: shape of one row; D is its number of elements.
        order: z[i] = x[order[i]], a permutation of 0 … D−1.

    Raises:
        ValueError: `order` is not a permutation of the coordinates.
    """

    order: Tensor
    inverse: Tensor

    def __init__(self, event_shape: Sequence[int], order: Sequence[int]) -> None:
        super().__init__(event_shape)
        self.register_buffer("order", permutation(order, self.event_shape), persistent=False)
        self.register_buffer("inverse", self.order.argsort(), persistent=False)

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._reorder(x, self.order)

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._reorder(z, self.inverse)

    @staticmethod
    def _reorder(x: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        flat = x.flatten(1)[:, order]
        return flat.view_as(x), torch.zeros_like(flat[:, 0])


def permutation(order: Sequence[int], event_shape: Sequence[int]) -> Tensor:
    """The order as a tensor, D.

    Raises:
        ValueError: it is not a permutation of the D coordinates.
    """
    n = math.prod(event_shape)
    if sorted(order) != list(range(n)):
        raise ValueError(f"order must be a permutation of 0 … {n - 1}, got {list(order)}")
    return torch.tensor(order)


class Rescale(Bijection):
    """z = x · exp(log_scale), one learned factor a coordinate (NICE, Dinh et al. 2014, §3.3).

    Args:
        event_shape: shape of one row.
    """

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__(event_shape)
        self.log_scale = nn.Parameter(torch.zeros(self.event_shape))

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return x * torch.exp(self.log_scale), self.log_scale.sum().expand(x.shape[0])

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return z * torch.exp(-self.log_scale), (-self.log_scale.sum()).expand(z.shape[0])


class ActNorm(Bijection):
    """z = (x − mean) · exp(−log_scale), one pair a channel (Glow, Kingma & Dhariwal 2018, §3.1).

    A channel is an entry of the first axis. `start` takes both from data.

    Args:
        event_shape: shape of one row.
    """

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__(event_shape)
        channels = (self.event_shape[0], *[1] * (len(self.event_shape) - 1))
        self.mean = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))

    def start(self, x: Tensor, context: Tensor | None = None) -> None:
        """Mean 0 and deviation 1 in each channel; a constant channel keeps its scale."""
        values = x.transpose(0, 1).flatten(1)
        deviation = values.std(1, correction=0)
        scale = torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation))
        with torch.no_grad():
            self.mean.copy_(values.mean(1).view_as(self.mean))
            self.log_scale.copy_(scale.log().view_as(self.log_scale))

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return (x - self.mean) * torch.exp(-self.log_scale), -self._log_det(x)

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return z * torch.exp(self.log_scale) + self.mean, self._log_det(z)

    def _log_det(self, rows: Tensor) -> Tensor:
        places = math.prod(self.event_shape[1:])
        return (places * self.log_scale.sum()).expand(rows.shape[0])
