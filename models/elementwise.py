"""Univariate monotone maps, both directions, as functions of unconstrained parameters.

Coupling and autoregressive layers take any of them. Zero parameters give the identity.
"""

from typing import Protocol

import torch
from torch import Tensor


class UnivariateMap(Protocol):
    """A monotone map of each element, steered by `size` unconstrained parameters an element."""

    size: int

    def encode(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """X of any shape, theta of that shape × size → z and log|dz/dx|, elementwise."""

    def decode(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse: z and theta → x and log|dx/dz|, elementwise."""


class Additive:
    """z = x − shift, of volume one (NICE, Dinh et al. 2014, eq. 9)."""

    size = 1

    def encode(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """x, theta (…, 1) → z and an exactly zero log-derivative."""
        return x - theta[..., 0], torch.zeros_like(x)

    def decode(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """z, theta (…, 1) → x and an exactly zero log-derivative."""
        return z + theta[..., 0], torch.zeros_like(z)


class Affine:
    """z = (x − shift) · exp(−log_scale): Gaussian conditionals.

    Papamakarios et al. 2017, eqs. 3–5 (MAF); Dinh et al. 2017, eq. 5 (RealNVP).

    Args:
        bound: |log_scale| stays below it, by bound · tanh(raw / bound), so that no layer can
            scale a coordinate beyond e^±bound and training cannot run away through one.
    """

    size = 2

    def __init__(self, bound: float = 4.0) -> None:
        self.bound = bound

    def shift_and_log_scale(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Theta (…, 2) → mean and log standard deviation of the conditional Gaussian."""
        return theta[..., 0], self.bound * torch.tanh(theta[..., 1] / self.bound)

    def encode(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """x, theta (…, 2) → z, log|dz/dx|."""
        shift, log_scale = self.shift_and_log_scale(theta)
        return (x - shift) * torch.exp(-log_scale), -log_scale

    def decode(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """z, theta (…, 2) → x, log|dx/dz|."""
        shift, log_scale = self.shift_and_log_scale(theta)
        return z * torch.exp(log_scale) + shift, log_scale
