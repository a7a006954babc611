"""Fixed maps that make the values of a column about standard normal."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from models.columns.descriptions import NumberColumn
from models.numerics import Knots, spline, spline_inverse

# Beyond its end knots a warp is t_end ± TAIL · log(1 + slope · distance / TAIL), so that densities
# with exponential tails in t have power laws in x. Of a logistic of scale s the exponent is
# −1 − TAIL / s.
TAIL = 2.0

# An exponential of at most this is finite, and so is its product with any width of a column.
_LARGEST_LOG = 300.0


class Warp(NamedTuple):
    """The warps of C columns: v → t, as monotone splines with logarithmic tails."""

    x: Tensor
    """Knots, C × K; behind the last knot of a column are others that are not used."""
    y: Tensor
    slope: Tensor
    ends: Tensor
    """C × 2 × 3: x, y and slope of the first and the last knot."""

    @property
    def knots(self) -> Knots:
        """The splines."""
        return Knots(self.x, self.y, self.slope)

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """… × C → t and log dt/dv, … × C each."""
        (low, _, low_slope), (high, _, high_slope) = self._ends()
        inside = torch.minimum(torch.maximum(v, low), high)
        t, log_slope = spline(inside, self.knots)
        beyond = v - inside
        stretch = torch.log1p(torch.where(beyond < 0, -low_slope, high_slope) * beyond / TAIL)
        return t + TAIL * torch.where(beyond < 0, -stretch, stretch), log_slope - stretch

    def inverse(self, t: Tensor) -> Tensor:
        """… × C → v."""
        (_, low, low_slope), (_, high, high_slope) = self._ends()
        inside = torch.minimum(torch.maximum(t, low), high)
        beyond = t - inside
        slope = torch.where(beyond < 0, -low_slope, high_slope)
        distance = torch.expm1((beyond.abs() / TAIL).clamp(max=_LARGEST_LOG))
        return spline_inverse(inside, self.knots)[0] + TAIL * distance / slope

    def _ends(self) -> list[tuple[Tensor, ...]]:
        """The x, y and slope, C each, of the first knots, and of the last."""
        return [end.unbind(-1) for end in self.ends.unbind(-2)]


def warp_of(columns: Sequence[NumberColumn]) -> Warp:
    """The warps of columns, in float64."""
    count = max(len(column.warp["x"]) for column in columns)
    knots, ends = [], []
    for column in columns:
        own = torch.tensor([column.warp[name] for name in Knots._fields], dtype=torch.float64)
        more = torch.arange(1, count - own.shape[1] + 1, dtype=torch.float64)
        # equally spaced, so that they increase in float64 whatever the last knot is
        step = (own[:, -1:] - own[:, -2:-1]).abs()
        rest = own[:, -1:] + step * more
        knots.append(torch.cat([own, rest], 1))
        ends.append(own[:, [0, -1]].T)
    x, y, slope = torch.stack(knots, 1)
    return Warp(x, y, slope, torch.stack(ends))
