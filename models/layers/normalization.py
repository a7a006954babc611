"""Rescaling layers: a factor for each coordinate, or a mean and a scale for each channel."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.bijection import Bijection


class Rescale(Bijection):
    """z = x · exp(log_scale), a learned factor for each coordinate (NICE, Dinh et al. 2014, §3.3).

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
    """z = (x − mean) · exp(−log_scale) in each channel (Glow, Kingma & Dhariwal 2018, §3.1).

    A channel is an entry of the first axis. `initialize_from_data` sets mean and scale from data.

    Args:
        event_shape: shape of one row.
    """

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__(event_shape)
        channels = (self.event_shape[0], *[1] * (len(self.event_shape) - 1))
        self.mean = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))

    def initialize_from_data(self, x: Tensor, context: Tensor | None = None) -> None:
        """Standardize each channel of the data; a channel that is constant keeps its scale."""
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
        pixels = math.prod(self.event_shape[1:])
        return (pixels * self.log_scale.sum()).expand(rows.shape[0])
