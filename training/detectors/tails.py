"""Scores of several parts as one, by how rare each of them is among normal rows."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

# Shares of normal rows that score less, at whose quantiles a line ends; beyond the last one −log p
# grows by the mean excess over it, as an exponential tail does.
LEVELS = (0.5, 0.75, 0.9, 0.95, 0.98)

# A quantile counts where so many normal rows score more.
MIN_ABOVE = 5

# Lines are at least so wide, in distances of the first and the last quantile: where many scores are
# equal no line rises without bound.
MIN_WIDTH = 1e-3


class Tails(nn.Module):
    """Scores of parts → one score: the log of the weighted mean of 1 / p over the parts.

    p is the share of normal rows with such a score or a larger one, as far as lines between
    quantiles say. A row that one part alone finds strange keeps nearly the score which that part
    gives it, whereas in a sum the other parts outvote it. The reciprocal is the harmonic mean
    p-value (Wilson, 2019), which parts that depend on each other may have.

    Args:
        weights: of the parts.
    """

    knots: Tensor
    slopes: Tensor
    log_weights: Tensor

    def __init__(self, weights: Sequence[float]) -> None:
        super().__init__()
        shape = len(weights), len(LEVELS)
        self.register_buffer("knots", torch.zeros(shape, dtype=torch.float64))
        # of the line that ends at the first knot, and what each knot adds
        self.register_buffer("slopes", torch.zeros(shape[0], shape[1] + 1, dtype=torch.float64))
        log_weights = torch.tensor(weights, dtype=torch.float64).log()
        self.register_buffer("log_weights", log_weights - torch.logsumexp(log_weights, 0), False)

    def fit(self, scores: Tensor) -> None:
        """Take the lines from scores of normal rows: N × parts."""
        levels = [q for q in LEVELS if (1 - q) * len(scores) >= MIN_ABOVE] or LEVELS[:1]
        rises = -np.diff(np.log1p(-np.array(levels)))
        for i, values in enumerate(scores.T.numpy()):
            knots = np.quantile(values, levels)
            span = knots[-1] - knots[0] or values.max() - knots[0] or 1.0
            above = values[values > knots[-1]]
            excess = above.mean() - knots[-1] if len(above) else span
            widths = np.maximum([*np.diff(knots), excess], MIN_WIDTH * span)
            slopes = np.array([*rises, 1.0]) / widths
            self.knots[i, : len(knots)] = torch.from_numpy(knots)
            self.slopes[i, 0] = slopes[0]
            self.slopes[i, 2 : len(knots) + 1] = torch.from_numpy(np.diff(slopes))

    def forward(self, scores: Tensor) -> Tensor:
        """Combine: N × parts → N."""
        start = scores - self.knots[:, 0]
        above = (scores[:, :, None] - self.knots).clamp(min=0.0)
        rarity = -math.log1p(-LEVELS[0]) + self.slopes[:, 0] * start
        rarity = rarity + (self.slopes[:, 1:] * above).sum(2)
        return torch.logsumexp(rarity + self.log_weights, 1)
