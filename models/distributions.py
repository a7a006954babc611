"""Base distributions: the densities of latents."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.bijection import Shape, sum_event
from models.numerics import log_sigmoid


class Base(nn.Module, ABC):
    """A density over latents.

    Args:
        event_shape: shape of one latent row.
    """

    name: str

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.event_shape: Shape = tuple(event_shape)

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density in nats: batch × event shape → batch."""

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n latents, n × event shape, in float32."""
        return self._draw((n, *self.event_shape), generator)

    def describe(self) -> dict[str, Any]:
        """The parameters of this density, as JSON values by name."""
        return {}

    @abstractmethod
    def _draw(self, shape: Shape, generator: torch.Generator | None) -> Tensor: ...


class Factorised(Base):
    """Independent coordinates with the same density."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density in nats: batch × event shape → batch."""
        return sum_event(self._log_density(z))

    @abstractmethod
    def _log_density(self, z: Tensor) -> Tensor: ...


class Normal(Factorised):
    """Standard normal coordinates."""

    name = "normal"

    def _log_density(self, z: Tensor) -> Tensor:
        return -0.5 * (z * z + math.log(2 * math.pi))

    def _draw(self, shape: Shape, generator: torch.Generator | None) -> Tensor:
        return torch.randn(shape, generator=generator)


class Logistic(Factorised):
    """Standard logistic coordinates, the prior of NICE (Dinh et al. 2014, eq. 4)."""

    name = "logistic"

    def _log_density(self, z: Tensor) -> Tensor:
        # -z - 2 log(1 + e^-z), in a symmetric form that loses no digits in either tail
        return log_sigmoid(z) + log_sigmoid(-z)

    def _draw(self, shape: Shape, generator: torch.Generator | None) -> Tensor:
        u = _uniform(shape, generator)
        return (torch.log(u) - torch.log1p(-u)).float()


class Uniform(Factorised):
    """Uniform coordinates in a box, for flows that map a box onto itself.

    Outside the box the log-density is −inf, so that training rows must lie inside from the start.
    It is for splines with identity tails whose `bound` is that of the box, on data scaled into it.

    Args:
        event_shape: shape of one latent row.
        bound: each coordinate lies between −bound and bound.

    Raises:
        ValueError: a bound that is not above zero.
    """

    name = "uniform"

    def __init__(self, event_shape: Sequence[int], bound: float = 5.0) -> None:
        super().__init__(event_shape)
        if not bound > 0:
            raise ValueError(f"bound must be above zero, got {bound}")
        self.bound = bound

    def describe(self) -> dict[str, Any]:
        """The ends of the box."""
        return {"low": -self.bound, "high": self.bound}

    def _log_density(self, z: Tensor) -> Tensor:
        inside = torch.full_like(z, -math.log(2 * self.bound))
        return torch.where(z.abs() <= self.bound, inside, -torch.inf)

    def _draw(self, shape: Shape, generator: torch.Generator | None) -> Tensor:
        return self.bound * (2 * torch.rand(shape, generator=generator) - 1)


class StudentT(Factorised):
    """Student's t in each coordinate, whose heavy tails hold outliers.

    A Lipschitz flow preserves the tails of its base (Jaini et al. 2020, theorem 4).

    Args:
        event_shape: shape of one latent row.
        df: degrees of freedom.

    Raises:
        ValueError: the degrees of freedom are not above zero.
    """

    name = "student-t"

    def __init__(self, event_shape: Sequence[int], df: float = 5.0) -> None:
        super().__init__(event_shape)
        if not df > 0:
            raise ValueError(f"df must be above zero, got {df}")
        self.df = df

    def describe(self) -> dict[str, Any]:
        """Degrees of freedom."""
        return {"df": self.df}

    def _log_density(self, z: Tensor) -> Tensor:
        df = self.df
        constant = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
        return constant - 0.5 * (df + 1) * torch.log1p(z * z / df)

    def _draw(self, shape: Shape, generator: torch.Generator | None) -> Tensor:
        # Bailey 1994, "Polar generation of random variates with the t-distribution", in its
        # trigonometric form: two uniform numbers a draw, for any degrees of freedom
        radius = torch.sqrt(self.df * torch.expm1(-2 / self.df * _uniform(shape, generator).log()))
        return (radius * torch.cos(2 * math.pi * _uniform(shape, generator))).float()


class Mixture(Base):
    """A learned mixture of Gaussians with diagonal covariances, for data that forms clusters.

    Args:
        event_shape: shape of one latent row.
        components: number of Gaussians.

    Raises:
        ValueError: no component.
    """

    name = "mixture"

    def __init__(self, event_shape: Sequence[int], components: int = 8) -> None:
        super().__init__(event_shape)
        if components < 1:
            raise ValueError(f"components is at least 1, got {components}")
        n = math.prod(self.event_shape)
        self.logits = nn.Parameter(torch.zeros(components))
        # random, because components with equal means would have equal gradients
        self.means = nn.Parameter(0.5 * torch.randn(components, n))
        self.log_scales = nn.Parameter(torch.zeros(components, n))

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density in nats: batch × event shape → batch."""
        flat = z.flatten(1)[:, None]
        standard = (flat - self.means) * torch.exp(-self.log_scales)
        densities = -0.5 * (standard**2 + math.log(2 * math.pi)) - self.log_scales
        return torch.logsumexp(self.logits.log_softmax(0) + densities.sum(-1), 1)

    def describe(self) -> dict[str, Any]:
        """Log-weights (K), means and log-deviations (K × D) of the components."""
        return {
            "log_weights": self.logits.log_softmax(0).tolist(),
            "means": self.means.tolist(),
            "log_scales": self.log_scales.tolist(),
        }

    def _draw(self, shape: Shape, generator: torch.Generator | None) -> Tensor:
        weights = self.logits.detach().softmax(0).cpu()
        draws = torch.multinomial(weights, max(shape[0], 1), True, generator=generator)
        component = draws[: shape[0]]
        means, scales = (t.detach().float().cpu() for t in (self.means, self.log_scales.exp()))
        noise = torch.randn(shape[0], means.shape[1], generator=generator)
        return (means[component] + scales[component] * noise).view(shape)


BASES: dict[str, Callable[..., Base]] = {
    base.name: base for base in (Normal, Logistic, Uniform, StudentT, Mixture)
}
"""The bases by the names that families use; `service.bundle` draws from each by the same name."""


def _uniform(shape: Shape, generator: torch.Generator | None) -> Tensor:
    """Uniform numbers in (0, 1), float64, never 0."""
    return torch.rand(shape, generator=generator, dtype=torch.float64).clamp(min=2.0**-53)
