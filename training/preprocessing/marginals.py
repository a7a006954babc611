"""Splines that make each coordinate of data normal."""

import torch
from torch import Tensor

from models.numerics import Knots

# At least this many training rows lie beyond each end of a fitted spline: with fewer, a single row
# would bend it.
MIN_TAIL_ROWS = 20

# At least this share of the training rows does: knots for rarer values would be missing elsewhere.
MIN_TAIL_SHARE = 2e-4

# At most this share of the training rows does.
MAX_TAIL_SHARE = 0.1

# The largest slope of a spline between two knots, in normal deviations per deviation of the data.
MAX_SLOPE = 100.0


def steepest(x: Tensor) -> Tensor:
    """The largest slope of each coordinate's spline: N × D → D. Ties would otherwise make steps.

    The deviation is half the distance between the quantiles that lie one normal deviation on each
    side of the median, which a few rows far out do not move; of a coordinate that is one value
    there, the standard deviation.
    """
    n = len(x)
    ordered = x.sort(0).values
    low, high = (ordered[min(int(n * share), n - 1)] for share in (0.1587, 0.8413))
    deviation = torch.where(high > low, (high - low) / 2, x.std(0))
    return MAX_SLOPE / torch.where(deviation > 0, deviation, 1.0)


def tail_share(n: int) -> float:
    """The share of n rows that lies beyond each end of a fitted spline."""
    return min(max(MIN_TAIL_ROWS / n, MIN_TAIL_SHARE), MAX_TAIL_SHARE)


def normal_marginals(x: Tensor, knots: int, max_slope: Tensor) -> Knots:
    """Splines that make each coordinate normal: N × D → D × knots.

    Knots lie at quantiles that are evenly spaced on the normal scale. Beyond them the spline is a
    straight line, so the tails are Gaussian.

    Args:
        x: N × D.
        knots: number of knots of each coordinate's spline.
        max_slope: D, the largest slope between two knots.
    """
    n = len(x)
    end = float(-torch.special.ndtri(x.new_tensor(tail_share(n))))
    y = torch.linspace(-end, end, knots).to(x)
    rank = (torch.special.ndtr(y) * n - 0.5).clamp(0, n - 1)
    ordered = x.sort(0).values.T
    below, above = ordered[:, rank.floor().long()], ordered[:, rank.ceil().long()]
    quantile = torch.lerp(below, above, rank.frac())
    gaps = torch.maximum(quantile.diff(dim=1), y.diff() / max_slope[:, None])
    placed = torch.cat([torch.zeros_like(gaps[:, :1]), gaps.cumsum(1)], 1)
    middle = knots // 2
    placed = placed + (quantile - placed)[:, middle : middle + 1]
    secant = y.diff() / gaps
    # the harmonic mean of both bins' secants keeps the spline monotone (Fritsch & Butland 1984)
    inner = 2 / (1 / secant[:, 1:] + 1 / secant[:, :-1])
    slope = torch.cat([secant[:, :1], inner, secant[:, -1:]], 1)
    return Knots(placed, y.expand_as(placed), slope)
