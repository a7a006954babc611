"""Monotone rational-quadratic splines (Gregory & Delbourgo 1982; Durkan et al. 2019)."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Knots(NamedTuple):
    """A monotone spline: knots at (x, y) with slopes there, each (…, knots), increasing in both.

    Beyond the end knots it goes on as a straight line of the end knot's slope.
    """

    x: Tensor
    y: Tensor
    slope: Tensor


def spline(x: Tensor, knots: Knots) -> tuple[Tensor, Tensor]:
    """Evaluate a spline.

    Args:
        x: of any shape.
        knots: one spline for each element: x's shape × knots, or what broadcasts to it.

    Returns:
        y; log dy/dx in nats (Durkan et al. 2019, eqs. 4 and 5).
    """
    inside = torch.minimum(torch.maximum(x, knots.x[..., 0]), knots.x[..., -1])
    x0, width, y0, height, d0, d1 = _bin(inside, knots.x, knots)
    # within [0, 1] without clipping: rounding is monotone
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
    # discriminant, there a difference, is this sum of squares: it cannot be negative.
    b = d0 * (1 - up) + (2 * secant - d1) * up
    difference = d0 * (1 - up) - d1 * up
    root = torch.sqrt(difference * difference + 4 * secant * secant * up * (1 - up))
    # of the root's two forms the one that adds two positive numbers
    q = root + b.abs()
    at = torch.where(b >= 0, 2 * secant * up / q, q / (2 * (secant + b.abs())))
    slope = _slope(at, secant, d0, d1)
    return x0 + width * at + (y - inside) / slope, -torch.log(slope)


def _bin(value: Tensor, edges: Tensor, knots: Knots) -> tuple[Tensor, ...]:
    """The bin of each value, seen from its nearer end: x, width, y, height, slope, other slope.

    Seen from its right end a bin has negative width and height. Distances from the nearer end keep
    digits that distances from the left end lose where the spline is flat.
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
    """The same where all rows have the same splines, by halving: no value meets a whole spline."""
    *splines, count = edges.shape
    n, others = math.prod(splines), math.prod(value.shape[value.ndim - len(splines) :])
    others //= n  # values of a row that share a spline, such as pixels
    columns = value.reshape(-1, n, others).transpose(0, 1)
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
    """The share of a bin's height that is reached at a place in [0, 1] of its width."""
    return (at * at + (d0 / secant) * at * (1 - at)) / _denominator(at, secant, d0, d1)


def _denominator(at: Tensor, secant: Tensor, d0: Tensor, d1: Tensor) -> Tensor:
    """The quotient's denominator over the secant's slope, in a form that only adds."""
    return at * at + (1 - at) * (1 - at) + (d0 + d1) / secant * at * (1 - at)


def _slope(at: Tensor, secant: Tensor, d0: Tensor, d1: Tensor) -> Tensor:
    """dy/dx at a place in [0, 1] of a bin; exactly d0 at 0 and d1 at 1."""
    numerator = d1 * at * at + 2 * secant * at * (1 - at) + d0 * (1 - at) * (1 - at)
    denominator = _denominator(at, secant, d0, d1)
    return numerator / (denominator * denominator)


# Slopes stay within [1 / _STEEPEST, _STEEPEST] everywhere, so that float32 inverts them: x and z,
# rounded at ±5, are each good for 5e-7 · _STEEPEST.
_STEEPEST = 100.0
# Share of the other axis' partition in each bin's width and height: bins' slopes stay within 1/8
# and 8. Their ratio must stay below _STEEPEST, or a knot between two bins has no slope left.
_SHARE = 0.11
# smallest bin before that, in mean bins
_SMALLEST = 1e-2


class RationalQuadratic:
    """Spline on [−bound, bound], a line beyond (neural spline flows, Durkan et al. 2019).

    Unlike theirs its slope is bounded everywhere, inside the bins too, by 1e-2 and 1e2: both
    directions keep a round trip of 1e-4 in float32 whatever the parameters. Its end knots are
    (−bound, −bound) and (bound, bound); zero parameters give the identity.

    Args:
        bins: number of bins; theta holds 3 · bins − 1 numbers, 3 · bins + 1 with linear tails.
        bound: half the width of the spline's interval, in data and in latents.
        tails: "identity" beyond the interval, or "linear" with learned slopes.

    Raises:
        ValueError: fewer than two bins, a bound that is not positive, or another kind of tails.
    """

    def __init__(
        self, bins: int = 8, bound: float = 5.0, tails: Literal["identity", "linear"] = "identity"
    ) -> None:
        if bins < 2:
            raise ValueError(f"a spline has at least 2 bins, got {bins}")
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
            _SMALLEST / n + (1 - _SMALLEST) * F.softmax(part, -1)
            for part in (theta[..., :n], theta[..., n : 2 * n])
        )
        width, height = torch.lerp(p, q, _SHARE), torch.lerp(q, p, _SHARE)
        log_secant = torch.log(height / width)
        # Between steep knots a flat bin is flatter still: where both have slope d, the slope in
        # the middle of a bin of slope s falls to 2s²/(s + d). Knots below _STEEPEST · s² keep it
        # above 1 / _STEEPEST all over the bin. Their lower bound is the same law of the inverse:
        # with it the middle of the range between two equal bins is their own slope.
        both = F.pad(log_secant, (1, 1), "replicate") if self.tails == "linear" else log_secant
        lower = torch.minimum(both[..., 1:], both[..., :-1])
        upper = torch.maximum(both[..., 1:], both[..., :-1])
        log_most = math.log(_STEEPEST) + 2 * lower.clamp(max=0)
        log_least = -math.log(_STEEPEST) + 2 * upper.clamp(min=0)
        half = 0.5 * (log_most - log_least)
        raw = theta[..., 2 * n :]
        slope = torch.exp(0.5 * (log_most + log_least) + half * torch.tanh(raw / half))
        if self.tails == "identity":
            slope = F.pad(slope, (1, 1), value=1.0)
        return Knots(self._positions(width), self._positions(height), slope)

    def _positions(self, parts: Tensor) -> Tensor:
        inner = self.bound * (2 * parts.cumsum(-1)[..., :-1] - 1)
        return F.pad(F.pad(inner, (1, 0), value=-self.bound), (0, 1), value=self.bound)
