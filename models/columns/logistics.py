"""Mixtures of logistics with probabilities of cells."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from models.numerics import Components, LogisticMixture, log_sigmoid

# Scale of the broad component, in deviations: at 4 deviations its density is still a quarter of its
# largest.
BROAD_SCALE = 2.0


class FlooredLogistics(LogisticMixture):
    """A mixture of logistics and one more component, broad and fixed, of a small weight.

    The broad component bounds the log-density of all values between the training values from below,
    whatever the network gives.

    Args:
        components: number of learned components; theta has 3 numbers for each.
        floor: weight of the broad component.
    """

    def __init__(self, components: int, floor: float) -> None:
        super().__init__(components, normal=True)
        self.floor = floor

    def learned(self, theta: Tensor) -> Components:
        """The learned components of unconstrained parameters: theta (…, size) → each (…, K)."""
        log_weight, mean, log_scale = super()._components(theta)
        return Components(log_weight + math.log1p(-self.floor), mean, log_scale)

    def components_of(self, theta: Tensor) -> Components:
        """The mixtures of unconstrained parameters: theta (…, size) → each (…, K + 1)."""
        return self._components(theta)

    def _components(self, theta: Tensor) -> Components:
        learned = self.learned(theta)
        padded = zip(learned, self._broad, strict=True)
        return Components(*(F.pad(values, (0, 1), value=value) for values, value in padded))

    @property
    def _broad(self) -> tuple[float, float, float]:
        """Log-weight, mean and log-scale of the broad component."""
        return math.log(self.floor), 0.0, math.log(BROAD_SCALE)

    def log_cdf(self, t: Tensor, components: Components) -> tuple[Tensor, Tensor]:
        """Log F(t) and log(1 − F(t))."""
        log_weight, mean, log_scale = components
        a = (t[..., None] - mean) * torch.exp(-log_scale)
        below, above = log_weight + log_sigmoid(a), log_weight + log_sigmoid(-a)
        return below.logsumexp(-1), above.logsumexp(-1)

    def log_density(self, t: Tensor, components: Components) -> Tensor:
        """Log F′(t)."""
        return self.density_terms(t, components).logsumexp(-1)

    def density_terms(self, t: Tensor, components: Components) -> Tensor:
        """What each component adds to F′(t), as a logarithm: (…, components)."""
        log_weight, mean, log_scale = components
        a = (t[..., None] - mean) * torch.exp(-log_scale)
        return log_weight + log_sigmoid(a) + log_sigmoid(-a) - log_scale

    def log_cell(self, low: Tensor, high: Tensor, width: Tensor, components: Components) -> Tensor:
        """log(F(high) − F(low)) with width = high − low > 0, which is exact where those cancel."""
        return self.cell_terms(low, high, width, components).logsumexp(-1)

    def cell_terms(
        self, low: Tensor, high: Tensor, width: Tensor, components: Components
    ) -> Tensor:
        """What each component adds to F(high) − F(low), as a logarithm: (…, components).

        Of logistics, σ(b) − σ(a) = σ(b) · σ(−a) · (1 − exp(−(b − a))).
        """
        log_weight, mean, log_scale = components
        precision = torch.exp(-log_scale)
        a, b = (low[..., None] - mean) * precision, (high[..., None] - mean) * precision
        share = torch.log(-torch.expm1(-width[..., None] * precision))
        return log_weight + log_sigmoid(b) + log_sigmoid(-a) + share

    def broad(self, like: Tensor) -> Components:
        """The broad component alone."""
        return Components(*like.new_tensor(self._broad).unbind())

    def quantile(self, y: Tensor, components: Components) -> Tensor:
        """The t with logit F(t) = y."""
        return self._quantile(y, y, components)[0]
