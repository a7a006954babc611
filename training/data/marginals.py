"""Splines that make each coordinate of data normal."""

import torch
from torch import Tensor

from models.numerics import Knots

# How many training rows lie beyond each end of a fitted spline: fewer, and one row bends it.
TAIL_ROWS = 20

# What part of them does at least: to follow rarer ones is to have fewer knots for the others.
TAIL_SHARE = 2e-4

# The steepest that a spline may be between two knots, in normal deviations a deviation of the data.
STEEPEST = 100.0


def steepest(x: Tensor) -> Tensor:
    """The largest slope of each coordinate's spline: N × D → D. Ties would make steps."""
    return STEEPEST / x.std(0).clamp(min=1e-12)


def tail_share(n: int) -> float:
    """What part of n rows lies beyond each end of a fitted spline."""
    return min(max(TAIL_ROWS / n, TAIL_SHARE), 0.1)


def normal_marginals(x: Tensor, knots: int, steepest: Tensor) -> Knots:
    """Splines that make each coordinate normal: N × D → D × knots.

    Knots lie at quantiles that are evenly spaced on the normal scale; beyond them the spline is a
    straight line, so the tails are Gaussian.

    Args:
        x: N × D.
        knots: of each coordinate's spline.
        steepest: D, the largest slope between two knots.
    """
    n = len(x)
    end = float(-torch.special.ndtri(x.new_tensor(tail_share(n))))
    y = torch.linspace(-end, end, knots).to(x)
    at = (torch.special.ndtr(y) * n - 0.5).clamp(0, n - 1)
    ordered = x.sort(0).values.T
    quantile = torch.lerp(ordered[:, at.floor().long()], ordered[:, at.ceil().long()], at.frac())
    gaps = torch.maximum(quantile.diff(dim=1), y.diff() / steepest[:, None])
    placed = torch.cat([torch.zeros_like(gaps[:, :1]), gaps.cumsum(1)], 1)
    middle = knots // 2
    placed = placed + (quantile - placed)[:, middle : middle + 1]
    secant = y.diff() / gaps
    # the harmonic mean keeps clear of both bins' own extremes (Fritsch & Butland 1984)
    inner = 2 / (1 / secant[:, 1:] + 1 / secant[:, :-1])
    slope = torch.cat([secant[:, :1], inner, secant[:, -1:]], 1)
    return Knots(placed, y.expand_as(placed), slope)
