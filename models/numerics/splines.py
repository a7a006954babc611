"""Monotone rational-quadratic splines (Gregory & Delbourgo 1982; Durkan et al. 2019)."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Knots(NamedTuple):
    """A monotone spline: knots (x, y), increasing in both, and the slopes there, each (…, knots).

    Beyond the end knots it continues as straight lines with the slopes of the end knots.
    """

    x: Tensor
    y: Tensor
    slope: Tensor


def spline(x: Tensor, knots: Knots) -> tuple[Tensor, Tensor]:
    """Evaluate a spline.

    Args:
        x: of any shape.
        knots: one spline for each element: the shape of x × knots, or what broadcasts to it.

    Returns:
        y; log dy/dx in nats (Durkan et al. 2019, eqs. 4 and 5).
    """
    y, log_slope = _y_and_log_slope(*_bin(x, 0, knots))
    return y.view_as(x), log_slope.view_as(x)


def spline_inverse(y: Tensor, knots: Knots) -> tuple[Tensor, Tensor]:
    """Evaluate the inverse of a spline: y and knots as for `spline` → x; log dx/dy in nats."""
    x, log_slope = _x_and_log_slope(*_bin(y, 1, knots))
    return x.view_as(y), log_slope.view_as(y)


Parts = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
"""Of bins: x, width, y, height, slope, other slope."""


def _bin(value: Tensor, row: int, knots: Knots) -> tuple[Tensor, Tensor, Parts]:
    """The bin of each value.

    Args:
        value: x or y of any shape.
        row: whether they are x, 0, or y, 1.
        knots: of the splines.

    Returns:
        The value, the nearest one between the end knots, and its bin. They are × 1 where each value
        has its own spline.
    """
    edges = knots[row]
    if edges.ndim <= value.ndim:
        inside = torch.minimum(torch.maximum(value, edges[..., 0]), edges[..., -1])
        return value, inside, _shared_bin(inside, edges, knots)
    value = value[..., None]
    inside = torch.minimum(torch.maximum(value, edges[..., :1]), edges[..., -1:])
    return value, inside, _own_bin(inside, row, torch.stack(knots, -2))


def _own_bin(value: Tensor, row: int, table: Tensor) -> Parts:
    """The bins of values between the end knots of their own splines, each from its nearer end.

    Measured from its right end a bin has negative width and height. Distances from the nearer end
    keep digits that distances from the left end would lose where the spline is flat.

    Args:
        value: … × 1.
        row: of the table, in which these values are: x or y.
        table: x, y and slopes of the knots, … × 3 × knots.
    """
    left = (value >= table[..., row, 1:-1]).sum(-1, keepdim=True)
    both = torch.arange(2, device=value.device).expand(3, 2)
    table = table.expand(*value.shape[:-1], *table.shape[-2:])
    ends = table.gather(-1, left[..., None] + both)
    is_right = value >= ends[..., row, :].mean(-1, keepdim=True)
    ends = torch.where(is_right[..., None], ends.flip(-1), ends)
    x0, x1, y0, y1, d0, d1 = ends.flatten(-2).chunk(6, -1)
    return x0, x1 - x0, y0, y1 - y0, d0, d1


def _shared_bin(value: Tensor, edges: Tensor, knots: Knots) -> Parts:
    """Bins where all rows share their splines: by bisection, without comparing all knots."""
    *splines, count = edges.shape
    n = math.prod(splines)
    # number of values of a row that share a spline, such as pixels
    sharing = math.prod(value.shape[value.ndim - len(splines) :]) // n
    columns = value.reshape(-1, n, sharing).transpose(0, 1)
    flat = columns.reshape(n, -1)
    steps = count.bit_length()
    middles = 0.5 * (edges[..., 1:] + edges[..., :-1]).reshape(n, -1)
    middles = F.pad(middles, (0, 2**steps - count), value=math.inf)
    near = torch.zeros_like(flat, dtype=torch.long)
    for step in reversed(range(steps)):
        near = near + 2**step * (flat >= middles.gather(1, near + (2**step - 1)))
    edge = edges.reshape(n, -1).gather(1, near)
    far = near + 2 * ((flat >= edge) & (near < count - 1)).long() - 1
    (x0, x1), (y0, y1), (d0, d1) = (
        [
            knot.reshape(n, -1).gather(1, index).view_as(columns).transpose(0, 1).reshape_as(value)
            for index in (near, far)
        ]
        for knot in knots
    )
    return x0, x1 - x0, y0, y1 - y0, d0, d1


def _y_and_log_slope(x: Tensor, inside: Tensor, parts: Parts) -> tuple[Tensor, Tensor]:
    """y; log dy/dx, from what `_bin` returns."""
    x0, width, y0, height, d0, d1 = parts
    # lies in [0, 1] without clamping, because rounding is monotone
    at = (inside - x0) / width
    secant = height / width
    rise = (at * at + (d0 / secant) * (at * (1 - at))) / _denominator(at, secant, d0, d1)
    slope = _slope(at, secant, d0, d1)
    return y0 + height * rise + slope * (x - inside), torch.log(slope)


def _x_and_log_slope(y: Tensor, inside: Tensor, parts: Parts) -> tuple[Tensor, Tensor]:
    """x; log dx/dy, from what `_bin` returns."""
    x0, width, y0, height, d0, d1 = parts
    secant = height / width
    up = (inside - y0) / height
    # (s − b)·at² + b·at − s·up = 0 (Durkan et al. 2019, eqs. 25–29, divided by the height). The
    # discriminant, a difference in the paper, is this sum of squares, which cannot be negative.
    twice = 2 * secant
    b = d0 * (1 - up) + (twice - d1) * up
    difference = d0 * (1 - up) - d1 * up
    root = torch.sqrt(difference * difference + twice * twice * (up * (1 - up)))
    # of the two forms of the root, the one that adds two positive numbers
    q = root + b.abs()
    at = torch.where(b >= 0, twice * up / q, q / (2 * (secant + b.abs())))
    slope = _slope(at, secant, d0, d1)
    return x0 + width * at + (y - inside) / slope, -torch.log(slope)


def _denominator(at: Tensor, secant: Tensor, d0: Tensor, d1: Tensor) -> Tensor:
    """The denominator of the quotient over the secant's slope, in a form without subtraction."""
    return at * at + (1 - at) * (1 - at) + (d0 + d1) / secant * (at * (1 - at))


def _slope(at: Tensor, secant: Tensor, d0: Tensor, d1: Tensor) -> Tensor:
    """dy/dx at a fraction in [0, 1] of a bin's width; exactly d0 at 0 and d1 at 1."""
    rest = 1 - at
    numerator = d1 * (at * at) + 2 * secant * (at * rest) + d0 * (rest * rest)
    denominator = _denominator(at, secant, d0, d1)
    return numerator / (denominator * denominator)


# Slopes lie in [1 / _MAX_SLOPE, _MAX_SLOPE] everywhere, so that float32 can invert them: rounding x
# and z at ±5 costs each an error of 5e-7 · _MAX_SLOPE.
_MAX_SLOPE = 100.0
# Fraction of the other axis' partition in the width and height of each bin: the mean slopes of bins
# lie between 1/8 and 8. Their ratio must stay below _MAX_SLOPE, or no slope is possible at a knot
# between two bins.
_MIXED_FRACTION = 0.11
# Smallest bin before mixing, in units of the mean bin.
_MIN_BIN = 1e-2


class RationalQuadratic:
    """Spline on [−bound, bound] with linear tails (neural spline flows, Durkan et al. 2019).

    Unlike in the paper, the slope is bounded everywhere, inside the bins too, by 1e-2 and 1e2: the
    error of a round trip in float32 is at most 1e-4 whatever the parameters. The end knots are
    (−bound, −bound) and (bound, bound); zero parameters give the identity.

    Args:
        bins: number of bins; theta has 3 · bins − 1 numbers, 3 · bins + 1 with linear tails.
        bound: half the width of the spline's interval, in data and in latents.
        tails: beyond the interval, "identity" has slope 1, "linear" has learned slopes.

    Raises:
        ValueError: fewer than two bins, a bound that is not positive, or an unknown kind of tails.
    """

    def __init__(
        self, bins: int = 8, bound: float = 5.0, tails: Literal["identity", "linear"] = "identity"
    ) -> None:
        if bins < 2:
            raise ValueError(f"bins is at least 2, got {bins}")
        if not bound > 0:
            raise ValueError(f"bound is positive, got {bound}")
        if tails not in ("identity", "linear"):
            raise ValueError(f'tails is "identity" or "linear", not {tails!r}')
        self.bins, self.bound, self.tails = bins, bound, tails
        self.size = 3 * bins + (1 if tails == "linear" else -1)

    def encode(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """x, theta (…, size) → z, log|dz/dx|."""
        y, log_slope = _y_and_log_slope(*self._bins(x, 0, theta))
        return y.view_as(x), log_slope.view_as(x)

    def decode(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """z, theta (…, size) → x, log|dx/dz|."""
        x, log_slope = _x_and_log_slope(*self._bins(z, 1, theta))
        return x.view_as(z), log_slope.view_as(z)

    def _bins(self, value: Tensor, row: int, theta: Tensor) -> tuple[Tensor, Tensor, Parts]:
        """What `_bin` returns, with ends that are known."""
        value = value[..., None]
        inside = value.clamp(-self.bound, self.bound)
        return value, inside, _own_bin(inside, row, self._table(theta))

    def knots(self, theta: Tensor) -> Knots:
        """The splines of unconstrained parameters: theta (…, size) → three of (…, bins + 1)."""
        return Knots(*self._table(theta).unbind(-2))

    def _table(self, theta: Tensor) -> Tensor:
        """The same, (…, 3, bins + 1)."""
        n = self.bins
        shares = F.softmax(theta[..., : 2 * n].reshape(*theta.shape[:-1], 2, n), -1)
        sizes = _MIN_BIN / n + (1 - _MIN_BIN) * shares
        sizes = torch.lerp(sizes, sizes.flip(-2), _MIXED_FRACTION)
        width, height = sizes.unbind(-2)
        log_secant = torch.log(height / width)
        # A flat bin between steep knots is even flatter inside: if both knots have slope d, the
        # slope in the middle of a bin of mean slope s is 2s²/(s + d). With knots below
        # _MAX_SLOPE · s² it is above 1 / _MAX_SLOPE in the whole bin. The lower bound of the knots
        # is the same for the inverse. So the middle of their range between two equal bins is the
        # slope of the bins.
        both = F.pad(log_secant, (1, 1), "replicate") if self.tails == "linear" else log_secant
        lower = torch.minimum(both[..., 1:], both[..., :-1])
        upper = torch.maximum(both[..., 1:], both[..., :-1])
        # of the range of log-slopes, from 2 · steep − log _MAX_SLOPE to 2 · flat + log _MAX_SLOPE,
        # half the width; its middle is the sum
        flat, steep = lower.clamp(max=0), upper.clamp(min=0)
        half = math.log(_MAX_SLOPE) + (flat - steep)
        slope = torch.exp(flat + steep + half * torch.tanh(theta[..., 2 * n :] / half))
        if self.tails == "identity":
            slope = F.pad(slope, (1, 1), value=1.0)
        inner = 2 * self.bound * sizes.cumsum(-1)[..., :-1] - self.bound
        places = F.pad(F.pad(inner, (1, 0), value=-self.bound), (0, 1), value=self.bound)
        return torch.cat([places, slope[..., None, :]], -2)
