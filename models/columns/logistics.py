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

    def components_of(self, theta: Tensor) -> Components:
        """The mixtures of unconstrained parameters: theta (…, size) → each (…, components + 1)."""
        return self._components(theta)

    def _components(self, theta: Tensor) -> Components:
        learned = super()._components(theta)
        return Components(
            F.pad(learned.log_weight + math.log1p(-self.floor), (0, 1), value=math.log(self.floor)),
            F.pad(learned.mean, (0, 1)),
            F.pad(learned.log_scale, (0, 1), value=math.log(BROAD_SCALE)),
        )

    def log_cdf(self, t: Tensor, components: Components) -> tuple[Tensor, Tensor]:
        """Log F(t) and log(1 − F(t))."""
        log_weight, mean, log_scale = components
        a = (t[..., None] - mean) * torch.exp(-log_scale)
        below, above = log_weight + log_sigmoid(a), log_weight + log_sigmoid(-a)
        return below.logsumexp(-1), above.logsumexp(-1)

    def log_density(self, t: Tensor, components: Components) -> Tensor:
        """Log F′(t)."""
        log_weight, mean, log_scale = components
        a = (t[..., None] - mean) * torch.exp(-log_scale)
        return (log_weight + log_sigmoid(a) + log_sigmoid(-a) - log_scale).logsumexp(-1)

    def log_cell(self, low: Tensor, high: Tensor, width: Tensor, components: Components) -> Tensor:
        """log(F(high) − F(low)) with width = high − low > 0, which is exact where those cancel.

        Of logistics, σ(b) − σ(a) = σ(b) · σ(−a) · (1 − exp(−(b − a))).
        """
        log_weight, mean, log_scale = components
        precision = torch.exp(-log_scale)
        a, b = (low[..., None] - mean) * precision, (high[..., None] - mean) * precision
        share = torch.log(-torch.expm1(-width[..., None] * precision))
        return (log_weight + log_sigmoid(b) + log_sigmoid(-a) + share).logsumexp(-1)

    def quantile(self, y: Tensor, components: Components) -> Tensor:
        """The t with logit F(t) = y."""
        return self._quantile(y, y, components)
