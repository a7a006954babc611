"""Univariate monotone maps, in both directions, as functions of unconstrained parameters.

Coupling and autoregressive layers work with any of them. Zero parameters give the identity.
"""

from typing import Protocol

import torch
from torch import Tensor


class UnivariateMap(Protocol):
    """A monotone map of each element, with `size` unconstrained parameters for each element."""

    size: int

    def encode(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """X of any shape, theta of that shape × size → z and log|dz/dx|, elementwise."""

    def decode(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse: z and theta → x and log|dx/dz|, elementwise."""


class Additive:
    """z = x − shift, which preserves volume (NICE, Dinh et al. 2014, eq. 9)."""

    size = 1

    def encode(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """x, theta (…, 1) → z and an exactly zero log-derivative."""
        return x - theta[..., 0], torch.zeros_like(x)

    def decode(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """z, theta (…, 1) → x and an exactly zero log-derivative."""
        return z + theta[..., 0], torch.zeros_like(z)


class Affine:
    """z = x · exp(−log_scale) − shift: Gaussian conditionals.

    Dinh et al. 2017, eq. 5 (RealNVP). In MAF (Papamakarios et al. 2017, eqs. 3–5) it makes each
    conditional a Gaussian. The shift is in units of the deviation, not of x, which scored 0.3 nats
    better on digits than the (x − mean) · exp(−log_scale) of the paper.

    Args:
        bound: bound of |log_scale|, which is bound · tanh(raw / bound). No layer can scale a
            coordinate beyond e^±bound, so that training cannot diverge by the scale of one layer.
    """

    size = 2

    def __init__(self, bound: float = 4.0) -> None:
        self.bound = bound

    def mean_and_log_deviation(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of x where z is standard normal, from theta (…, 2)."""
        shift, log_scale = self._shift_and_log_scale(theta)
        return shift * torch.exp(log_scale), log_scale

    def encode(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """x, theta (…, 2) → z, log|dz/dx|."""
        shift, log_scale = self._shift_and_log_scale(theta)
        return x * torch.exp(-log_scale) - shift, -log_scale

    def decode(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """z, theta (…, 2) → x, log|dx/dz|."""
        shift, log_scale = self._shift_and_log_scale(theta)
        return (z + shift) * torch.exp(log_scale), log_scale

    def _shift_and_log_scale(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        return theta[..., 0], self.bound * torch.tanh(theta[..., 1] / self.bound)
