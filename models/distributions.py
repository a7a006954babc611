"""Base distributions: the densities that latents are drawn from."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from models.bijection import Shape, sum_event


class Base(ABC):
    """A factorised density over latents, with independent standard coordinates.

    Args:
        event_shape: shape of one latent row.
    """

    name: str

    def __init__(self, event_shape: Sequence[int]) -> None:
        self.event_shape: Shape = tuple(event_shape)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density in nats: batch × event shape → batch."""
        return sum_event(self._log_density(z))

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n latents, n × event shape, in float32."""
        return self._draw((n, *self.event_shape), generator)

    @abstractmethod
    def _log_density(self, z: Tensor) -> Tensor: ...

    @abstractmethod
    def _draw(self, shape: Shape, generator: torch.Generator | None) -> Tensor: ...


class Normal(Base):
    """Standard normal coordinates."""

    name = "normal"

    def _log_density(self, z: Tensor) -> Tensor:
        return -0.5 * (z * z + math.log(2 * math.pi))

    def _draw(self, shape: Shape, generator: torch.Generator | None) -> Tensor:
        return torch.randn(shape, generator=generator)


class Logistic(Base):
    """Standard logistic coordinates, the prior of NICE (Dinh et al. 2014, eq. 4)."""

    name = "logistic"

    def _log_density(self, z: Tensor) -> Tensor:
        # -z - 2 log(1 + e^-z) written symmetrically: neither tail cancels
        return -z.abs() - 2 * F.softplus(-z.abs())

    def _draw(self, shape: Shape, generator: torch.Generator | None) -> Tensor:
        u = torch.rand(shape, generator=generator, dtype=torch.float64)
        u = u.clamp(min=2.0**-53)
        return (torch.log(u) - torch.log1p(-u)).float()
