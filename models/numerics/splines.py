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
    inside = torch.minimum(torch.maximum(x, knots.x[..., 0]), knots.x[..., -1])
    x0, width, y0, height, d0, d1 = _bin(inside, knots.x, knots)
    # lies in [0, 1] without clamping, because rounding is monotone
    at = (inside - x0) / width
    secant = height / width
    slope = _slope(at, secant, d0, d1)
    return y0 + height * _rise(at, secant, d0, d1) + slope * (x - inside), torch.log(slope)


def spline_inverse(y: Tensor, knots: Knots) -> tuple[Tensor, Tensor]:
    """Evaluate the inverse of a spline: y and knots as for `spline` → x; log dx/dy in nats."""
    inside = torch.minimum(torch.maximum(y, knots.y[..., 0]), knots.y[..., -1])
    x0, width, y0, height, d0, d1 = _bin(inside, knots.y, knots)
    secant = height / width
    up = (inside - y0) / height
    # (s − b)·at² + b·at − s·up = 0 (Durkan et al. 2019, eqs. 25–29, divided by the height). The
    # discriminant, a difference in the paper, is this sum of squares, which cannot be negative.
    b = d0 * (1 - up) + (2 * secant - d1) * up
    difference = d0 * (1 - up) - d1 * up
    root = torch.sqrt(difference * difference + 4 * secant * secant * up * (1 - up))
    # of the two forms of the root, the one that adds two positive numbers
    q = root + b.abs()
    at = torch.where(b >= 0, 2 * secant * up / q, q / (2 * (secant + b.abs())))
    slope = _slope(at, secant, d0, d1)
    return x0 + width * at + (y - inside) / slope, -torch.log(slope)


def _bin(value: Tensor, edges: Tensor, knots: Knots) -> tuple[Tensor, ...]:
    """The bin of each value, from its nearer end: x, width, y, height, slope, other slope.

    Measured from its right end a bin has negative width and height. Distances from the nearer end
    keep digits that distances from the left end would lose where the spline is flat.
    """
    if knots.x.ndim <= value.ndim:
        return _shared_bin(value, edges, knots)
    left = (value[..., None] >= edges[..., 1:-1]).sum(-1)
    near = (value[..., None] >= 0.5 * (edges[..., 1:] + edges[..., :-1])).sum(-1)
    table = torch.stack(knots, -2)
    table = table.expand(*value.shape, *table.shape[-2:])
    index = torch.stack([near, 2 * left + 1 - near], -1)[..., None, :]
    ends = table.gather(-1, index.expand(*value.shape, len(knots), 2))
    (x0, x1), (y0, y1), (d0, d1) = (end.unbind(-1) for end in ends.unbind(-2))
    return x0, x1 - x0, y0, y1 - y0, d0, d1


def _shared_bin(value: Tensor, edges: Tensor, knots: Knots) -> tuple[Tensor, ...]:
    """The same where all rows share their splines: by bisection, without comparing all knots."""
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


def _rise(at: Tensor, secant: Tensor, d0: Tensor, d1: Tensor) -> Tensor:
    """The fraction of a bin's height at a fraction in [0, 1] of its width."""
    return (at * at + (d0 / secant) * at * (1 - at)) / _denominator(at, secant, d0, d1)


def _denominator(at: Tensor, secant: Tensor, d0: Tensor, d1: Tensor) -> Tensor:
    """The denominator of the quotient over the secant's slope, in a form without subtraction."""
    return at * at + (1 - at) * (1 - at) + (d0 + d1) / secant * at * (1 - at)


def _slope(at: Tensor, secant: Tensor, d0: Tensor, d1: Tensor) -> Tensor:
    """dy/dx at a fraction in [0, 1] of a bin's width; exactly d0 at 0 and d1 at 1."""
    numerator = d1 * at * at + 2 * secant * at * (1 - at) + d0 * (1 - at) * (1 - at)
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
        return spline(x, self.knots(theta))

    def decode(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """z, theta (…, size) → x, log|dx/dz|."""
        return spline_inverse(z, self.knots(theta))

    def knots(self, theta: Tensor) -> Knots:
        """The splines of unconstrained parameters: theta (…, size) → three of (…, bins + 1)."""
        n = self.bins
        p, q = (
            _MIN_BIN / n + (1 - _MIN_BIN) * F.softmax(raw_sizes, -1)
            for raw_sizes in (theta[..., :n], theta[..., n : 2 * n])
        )
        width, height = torch.lerp(p, q, _MIXED_FRACTION), torch.lerp(q, p, _MIXED_FRACTION)
        log_secant = torch.log(height / width)
        # A flat bin between steep knots is even flatter inside: if both knots have slope d, the
        # slope in the middle of a bin of mean slope s is 2s²/(s + d). With knots below
        # _MAX_SLOPE · s² it is above 1 / _MAX_SLOPE in the whole bin. The lower bound of the knots
        # is the same for the inverse. So the middle of their range between two equal bins is the
        # slope of the bins.
        both = F.pad(log_secant, (1, 1), "replicate") if self.tails == "linear" else log_secant
        lower = torch.minimum(both[..., 1:], both[..., :-1])
        upper = torch.maximum(both[..., 1:], both[..., :-1])
        log_max = math.log(_MAX_SLOPE) + 2 * lower.clamp(max=0)
        log_min = -math.log(_MAX_SLOPE) + 2 * upper.clamp(min=0)
        half = 0.5 * (log_max - log_min)
        raw = theta[..., 2 * n :]
        slope = torch.exp(0.5 * (log_max + log_min) + half * torch.tanh(raw / half))
        if self.tails == "identity":
            slope = F.pad(slope, (1, 1), value=1.0)
        return Knots(self._positions(width), self._positions(height), slope)

    def _positions(self, sizes: Tensor) -> Tensor:
        """Positions of the knots, from the fractions of the interval between them."""
        inner = self.bound * (2 * sizes.cumsum(-1)[..., :-1] - 1)
        return F.pad(F.pad(inner, (1, 0), value=-self.bound), (0, 1), value=self.bound)
