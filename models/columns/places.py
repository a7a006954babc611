"""Places of values in their distributions, by the logarithms of probabilities.

A place is computed from both sides, as log P(less) and log P(more), so that no tail underflows and
no probability is a difference of others.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

LOG_ZERO = -1e30
"""The logarithm of no probability. Finite, because −inf − (−inf) is NaN, in gradients too."""

LARGEST_LOG = 700.0
"""Its exponential is finite in float64."""


class Place(NamedTuple):
    """The cell of a value in its distribution, elementwise, in nats.

    The cell of a discrete value is an interval of the distribution function; that of a continuous
    value is a point.
    """

    below: Tensor
    """Log-probability of all values below it."""
    above: Tensor
    """Log-probability of all values above it."""
    mass: Tensor
    """Log-probability of the value itself: `LOG_ZERO` of a continuous value."""

    @property
    def ends(self) -> tuple[Tensor, Tensor]:
        """The logits of both ends of the cell."""
        left = self.below - log_add(self.mass, self.above)
        return left, log_add(self.below, self.mass) - self.above

    def logit(self, u: Tensor, tolerance: float) -> Tensor:
        """The logit of the point at fraction u of the cell, with 0 < u < 1.

        Args:
            u: of the shape of the place.
            tolerance: relative error of probabilities. Points stay so far from both ends of the
                cell that rounding does not move them out of it: u is moved towards ½ where needed.
        """
        half = self.mass - math.log(2)
        side = torch.minimum(log_add(self.below, half), log_add(self.above, half))
        # relative errors of a probability grow with its logarithm
        error = tolerance * (1 + side.abs()) * torch.exp((side - self.mass).clamp(max=LARGEST_LOG))
        margin = error.clamp(max=0.5).detach()
        u = margin + (1 - 2 * margin) * u
        below, above = self.mass + torch.log(u), self.mass + torch.log1p(-u)
        return log_add(self.below, below) - log_add(self.above, above)


def log_add(a: Tensor, b: Tensor) -> Tensor:
    """log(eᵃ + eᵇ), elementwise; that of torch has no translation to ONNX."""
    larger, smaller = torch.maximum(a, b), torch.minimum(a, b)
    return larger + torch.log1p(torch.exp(smaller - larger))


def log_subtract(a: Tensor, b: Tensor) -> Tensor:
    """log(eᵃ − eᵇ), elementwise; `a` − 36.7 where the difference is smaller, or negative.

    A difference below 2⁻⁵³ of the minuend is rounding.
    """
    return a + torch.log(-torch.expm1((b - a).clamp(max=-(2.0**-53))))


def log_sum(log_p: Tensor, among: Tensor) -> Tensor:
    """The logarithm of the sum of those of the last axis' probabilities where `among` is true."""
    return torch.where(among, log_p, LOG_ZERO).logsumexp(-1)


def floored(log_p: Tensor, log_floor: Tensor, floor: float) -> Tensor:
    """The log-probabilities of a mixture: (1 − floor) · p + floor · p_floor."""
    return log_add(log_p + math.log1p(-floor), log_floor + math.log(floor))
