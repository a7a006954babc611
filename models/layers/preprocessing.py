"""Fixed maps from raw data to values that flows learn well, each with its log-determinant."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from models.bijection import Bijection, sum_event
from models.layers.linear import LinearMap
from models.numerics import Knots, log_sigmoid, spline, spline_inverse

Values = float | Sequence[float]

# Largest condition number of a whitening matrix: float32 rounds x and z by 1e-7 of their size.
LARGEST_CONDITION = 1e5


class Standardize(Bijection):
    """z = (x − mean) / scale.

    Args:
        event_shape: shape of one row.
        mean, scale: one number, or one for each coordinate in row-major order.

    Raises:
        ValueError: the wrong number of values, or a scale that is not positive.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, event_shape: Sequence[int], mean: Values, scale: Values) -> None:
        super().__init__(event_shape)
        self.register_buffer("mean", _coordinates(mean, event_shape, "mean"), persistent=False)
        self.register_buffer("scale", _coordinates(scale, event_shape, "scale"), persistent=False)
        if not bool((self.scale > 0).all()):
            raise ValueError("scale must be positive in every coordinate")

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return (x - self.mean) / self.scale, (-self.scale.log().sum()).expand(x.shape[0])

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return z * self.scale + self.mean, self.scale.log().sum().expand(z.shape[0])


class Logit(Bijection):
    """z = log((x − low) / (high − x)): a box onto all of space.

    Args:
        event_shape: shape of one row.
        low, high: ends of the open box, one number or one for each coordinate in row-major order.

    Raises:
        ValueError: the wrong number of values, or low ≥ high in a coordinate.
    """

    low: Tensor
    high: Tensor
    first: Tensor
    last: Tensor

    def __init__(self, event_shape: Sequence[int], low: Values, high: Values) -> None:
        super().__init__(event_shape)
        box = _box(event_shape, low, high)
        self.register_buffer("low", box[0], persistent=False)
        self.register_buffer("high", box[1], persistent=False)
        # the outermost float32 values inside the box
        for name, edge, towards in (("first", self.low, self.high), ("last", self.high, self.low)):
            self.register_buffer(name, torch.nextafter(edge, towards), persistent=False)

    @property
    def support(self) -> tuple[Tensor, Tensor]:
        """The open box."""
        return self.low, self.high

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        # one logarithm for each side: x − low and high − x are exact near their own side, where
        # 1 − (x − low) / (high − low) loses its digits
        below, above = torch.log(x - self.low), torch.log(self.high - x)
        log_width = torch.log(self.high - self.low)
        return below - above, sum_event(log_width - below - above)

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        width = self.high - self.low
        # log(s(z) s(−z)), without a sigmoid that could underflow before the logarithm
        log_det = torch.log(width) + log_sigmoid(z) + log_sigmoid(-z)
        # measured from the nearer side; clamped into the box, whose edge rounding could reach
        shorter = width * torch.sigmoid(-z.abs())
        x = torch.where(z < 0, self.low + shorter, self.high - shorter)
        return torch.clamp(x, self.first, self.last), sum_event(log_det)


class SoftLogit(Bijection):
    """The logit between two edges, continued beyond them by its tangents, with unbounded support.

    `Logit` is so steep near the ends of its box that a float32 x does not determine its z; this map
    is nowhere steeper than at the edges. It fits data between the edges equally well, and every row
    has a density.

    Args:
        event_shape: shape of one row.
        low, high: the edges, one number or one for each coordinate in row-major order.
        margin: how far the box of the logit extends beyond the edges, as a fraction of their
            distance; the slope at the edges is about 1 / margin of that of a straight line.

    Raises:
        ValueError: the wrong number of values, low ≥ high in a coordinate, or margin ≤ 0.
    """

    low: Tensor
    high: Tensor
    pad: Tensor

    def __init__(
        self, event_shape: Sequence[int], low: Values, high: Values, margin: float
    ) -> None:
        super().__init__(event_shape)
        if not margin > 0:
            raise ValueError(f"margin must be above zero, got {margin}")
        box = _box(event_shape, low, high)
        self.register_buffer("low", box[0], persistent=False)
        self.register_buffer("high", box[1], persistent=False)
        pad = margin * (self.high - self.low)
        self.register_buffer("pad", pad, persistent=False)

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        inside = torch.clamp(x, self.low, self.high)
        below, above = inside - self.low + self.pad, self.high - inside + self.pad
        slope = 1 / below + 1 / above
        z = torch.log(below) - torch.log(above) + (x - inside) * slope
        return z, sum_event(torch.log(slope))

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        width = self.high - self.low + 2 * self.pad
        edge = torch.log(width - self.pad) - torch.log(self.pad)
        inside = torch.clamp(z, -edge, edge)
        below, above = width * torch.sigmoid(inside), width * torch.sigmoid(-inside)
        slope = 1 / below + 1 / above
        x = self.low - self.pad + below + (z - inside) / slope
        return x, -sum_event(torch.log(slope))


class Whiten(LinearMap):
    """z = W x with a fixed matrix, such as one that decorrelates the data.

    Args:
        event_shape: shape of one row, of one axis.
        matrix: W, D × D.

    Raises:
        ValueError: rows of several axes, a matrix that is not D × D, or one that is singular.
    """

    weight: Tensor

    def __init__(self, event_shape: Sequence[int], matrix: Sequence[Sequence[float]]) -> None:
        super().__init__(event_shape)
        exact = torch.tensor(matrix, dtype=torch.float64)
        if len(self.event_shape) != 1 or exact.shape != (self.n, self.n):
            raise ValueError(
                f"rows of shape {self.event_shape} cannot be whitened by a matrix of shape "
                f"{tuple(exact.shape)}"
            )
        if not bool(torch.linalg.cond(exact) < LARGEST_CONDITION):
            raise ValueError("the whitening matrix is singular, or nearly so")
        self.register_buffer("weight", exact.to(torch.get_default_dtype()))

    def matrix(self) -> Tensor:
        """W, n × n."""
        return self.weight

    def inverse_matrix(self) -> Tensor:
        """The inverse of W, n × n."""
        inverse: Tensor = torch.linalg.inv(self.weight)
        return inverse

    def log_abs_det(self) -> Tensor:
        """log|det W|, in nats."""
        log_abs_det: Tensor = torch.linalg.slogdet(self.weight).logabsdet
        return log_abs_det


class NormalMarginals(Bijection):
    """A monotone spline in each coordinate, such as one that maps the data's marginals to normals.

    Args:
        event_shape: shape of one row; D is its number of elements.
        x, slope: values at the knots, D × K each, in row-major order; or C × K for images,
            C × H × W, whose pixels share one spline in each channel.
        y: values at the knots, K, the same in all splines.

    Raises:
        ValueError: the wrong number of values, or knots that do not increase.
    """

    x: Tensor
    y: Tensor
    slope: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        x: Sequence[Sequence[float]],
        y: Sequence[float],
        slope: Sequence[Sequence[float]],
    ) -> None:
        super().__init__(event_shape)
        knots = Knots(*map(torch.tensor, (x, y, slope)))
        shape = self.event_shape
        if len(shape) == 3 and len(x) == shape[0]:
            shape = (shape[0], 1, 1)
        expected = (math.prod(shape), len(y))
        if not knots.x.shape == knots.slope.shape == expected or len(y) < 3:
            raise ValueError(
                f"x and slope of splines for rows of shape {self.event_shape} and {len(y)} knots "
                f"(at least 3) have the shape {expected}: got {tuple(knots.x.shape)} and "
                f"{tuple(knots.slope.shape)}"
            )
        rises = (knots.x.diff() > 0).all() & (knots.y.diff() > 0).all() & (knots.slope > 0).all()
        if not bool(rises):
            raise ValueError("x and y of a spline's knots increase, and its slopes are positive")
        self.register_buffer("x", knots.x.view(*shape, -1), persistent=False)
        self.register_buffer("y", knots.y, persistent=False)
        self.register_buffer("slope", knots.slope.view(*shape, -1), persistent=False)

    @property
    def knots(self) -> Knots:
        """The splines: event shape × K each, or C × 1 × 1 × K."""
        return Knots(self.x, self.y.expand_as(self.x), self.slope)

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, log_slope = spline(x, self.knots)
        return z, sum_event(log_slope)

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, log_slope = spline_inverse(z, self.knots)
        return x, sum_event(log_slope)


PREPROCESSING: dict[str, Callable[..., Bijection]] = {
    "standardize": Standardize,
    "logit": Logit,
    "soft-logit": SoftLogit,
    "whiten": Whiten,
    "normal-marginals": NormalMarginals,
}
"""The layers by the names that recipes and runs use."""


def _box(event_shape: Sequence[int], low: Values, high: Values) -> tuple[Tensor, Tensor]:
    """Both ends of a box, each in event shape."""
    box = _coordinates(low, event_shape, "low"), _coordinates(high, event_shape, "high")
    if not bool((box[0] < box[1]).all()):
        raise ValueError("low must be below high in every coordinate")
    return box


def _coordinates(values: Values, event_shape: Sequence[int], name: str) -> Tensor:
    """One value for each coordinate, in event shape."""
    if isinstance(values, int | float):
        return torch.full(tuple(event_shape), float(values))
    if len(values) != math.prod(event_shape):
        raise ValueError(
            f"{name} has {len(values)} values for the {math.prod(event_shape)} coordinates of "
            f"event shape {tuple(event_shape)}"
        )
    return torch.tensor([float(v) for v in values]).view(tuple(event_shape))
