"""Base densities as a bundle names them: parameters, support, and draws by numpy.

`models.distributions` holds the same densities in torch; a new base is one class in each of the
two files. `draw` multiplies the deviation from the base's centre by a temperature. `LatentPath`
goes from one latent to another.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.bundle.truncated_normal import truncated_normal

Parameters = Mapping[str, Any]


class RandomStreams(NamedTuple):
    """The random numbers of one seed.

    A stream of its own for components keeps the other stream in step: each row takes the same
    number of values from each.
    """

    values: np.random.Generator
    components: np.random.Generator

    @classmethod
    def of_seed(cls, seed: int) -> "RandomStreams":
        """The streams of a Philox generator, which gives the same numbers on every machine."""
        philox = np.random.Philox(seed)
        return cls(np.random.Generator(philox), np.random.Generator(philox.jumped()))


class LatentDraw(NamedTuple):
    """What is to be drawn.

    Args:
        streams: the random numbers to draw from.
        shape: of the latents, rows first.
        parameters: of the density, as the manifest states them.
        temperature: factor on the deviation from the centre.
        truncation: standard deviations beyond which nothing is drawn.
    """

    streams: RandomStreams
    shape: tuple[int, ...]
    parameters: Parameters
    temperature: float
    truncation: float | None


class BaseDensity(ABC):
    """A density of latents; its `parameters` are keys of a manifest's `base_parameters`."""

    name: ClassVar[str]
    parameters: ClassVar[frozenset[str]] = frozenset()
    spherical: ClassVar[bool] = False
    """Whether the density depends on |z| alone."""
    is_learned: ClassVar[bool] = False
    """Whether its parameters are trained, so that members of an ensemble have different ones."""

    def box(self, parameters: Parameters) -> tuple[float, float] | None:
        """The box that latents lie in, the same in every coordinate; None for all of space."""
        return None

    def check_parameters(self, parameters: Parameters, dimensions: int) -> None:
        """See that latents of that many coordinates can be drawn with these parameters.

        Raises:
            ValueError: they cannot; the message names the parameter.
        """
        for name, value in parameters.items():
            if not isinstance(value, float) or not math.isfinite(value):
                raise ValueError(f"base parameter {name} is no finite number")

    def check(self, temperature: float, truncation: float | None) -> None:
        """See that latents can be drawn so.

        Args:
            temperature: factor on the deviation from the centre.
            truncation: standard deviations beyond which nothing is drawn.

        Raises:
            ValueError: they cannot; the message starts with the name of the argument.
        """
        if truncation is not None:
            raise ValueError(f"truncation: needs a normal base, this model's is {self.name}")

    @abstractmethod
    def draw(self, asked: LatentDraw) -> NDArray[np.float64]:
        """The next latents of the streams, of the shape that is asked for."""


class Normal(BaseDensity):
    """Standard normal coordinates; the only base that can be truncated."""

    name = "normal"
    spherical = True

    def check(self, temperature: float, truncation: float | None) -> None:
        """Any temperature, truncated or not."""

    def draw(self, asked: LatentDraw) -> NDArray[np.float64]:
        """Normal numbers, by their quantiles where they are truncated."""
        streams, shape, _, temperature, truncation = asked
        if truncation is None:
            return temperature * streams.values.standard_normal(shape)
        return temperature * truncated_normal(streams.values.random(shape), truncation)


class Logistic(BaseDensity):
    """Standard logistic coordinates."""

    name = "logistic"

    def draw(self, asked: LatentDraw) -> NDArray[np.float64]:
        """Logistic numbers."""
        return asked.temperature * asked.streams.values.logistic(size=asked.shape)


class Uniform(BaseDensity):
    """Uniform coordinates between `low` and `high`."""

    name = "uniform"
    parameters = frozenset({"low", "high"})

    def box(self, parameters: Parameters) -> tuple[float, float]:
        """From `low` to `high`."""
        return parameters["low"], parameters["high"]

    def check_parameters(self, parameters: Parameters, dimensions: int) -> None:
        """Two finite numbers, `low` below `high`."""
        super().check_parameters(parameters, dimensions)
        if not 0 < parameters["high"] - parameters["low"] < math.inf:
            raise ValueError("base parameter low is not below high")

    def check(self, temperature: float, truncation: float | None) -> None:
        """A temperature above one would leave the box."""
        super().check(temperature, truncation)
        if temperature > 1:
            raise ValueError(
                f"temperature: expected at most 1, got {temperature:g}: this model's base is "
                "uniform, and has no density beyond its box"
            )

    def draw(self, asked: LatentDraw) -> NDArray[np.float64]:
        """Uniform numbers about the centre of the box."""
        low, high = self.box(asked.parameters)
        part = asked.temperature * asked.streams.values.uniform(-0.5, 0.5, asked.shape)
        z: NDArray[np.float64] = (low + high) / 2 + part * (high - low)
        return z


class StudentT(BaseDensity):
    """Student's t in each coordinate, of `df` degrees of freedom."""

    name = "student-t"
    parameters = frozenset({"df"})

    def check_parameters(self, parameters: Parameters, dimensions: int) -> None:
        """A finite number above zero."""
        super().check_parameters(parameters, dimensions)
        if not parameters["df"] > 0:
            raise ValueError("base parameter df is not above zero")

    def draw(self, asked: LatentDraw) -> NDArray[np.float64]:
        """Numbers of Student's t."""
        return asked.temperature * asked.streams.values.standard_t(
            asked.parameters["df"], asked.shape
        )


class Mixture(BaseDensity):
    """Gaussians of diagonal covariance: `log_weights` (K), `means` and `log_scales` (K × D)."""

    name = "mixture"
    parameters = frozenset({"log_weights", "means", "log_scales"})
    is_learned = True

    def check_parameters(self, parameters: Parameters, dimensions: int) -> None:
        """Finite numbers: K, and two times K × the dimensions."""
        weights = parameters["log_weights"]
        components = len(weights) if isinstance(weights, list) else 0
        if not components:
            raise ValueError("base parameter log_weights is no list of numbers")
        row = (components, dimensions)
        for name, shape in {"log_weights": row[:1], "means": row, "log_scales": row}.items():
            try:
                values = np.array(parameters[name], np.float64)
            except ValueError:  # rows of several lengths
                values = np.empty(0)
            if values.shape != shape or not np.isfinite(values).all():
                raise ValueError(f"base parameter {name} is not {shape} finite numbers")
        with np.errstate(all="ignore"):
            weight = np.exp(np.array(weights)).sum()
            scale = np.exp(np.array(parameters["log_scales"])).max()
        if not 0 < weight < math.inf or not scale < math.inf:
            raise ValueError("base parameters log_weights and log_scales overflow")

    def draw(self, asked: LatentDraw) -> NDArray[np.float64]:
        """A component for each row, and normal numbers about its mean."""
        streams, shape, parameters, temperature, _ = asked
        steps = np.exp(np.array(parameters["log_weights"])).cumsum()
        uniform = streams.components.random(shape[0]) * steps[-1]
        chosen = np.searchsorted(steps[:-1], uniform, side="right")
        deviation = np.exp(np.array(parameters["log_scales"]))[chosen].reshape(shape)
        centre: NDArray[np.float64] = np.array(parameters["means"])[chosen].reshape(shape)
        z: NDArray[np.float64] = centre + temperature * deviation * streams.values.standard_normal(
            shape
        )
        return z


BASES: dict[str, BaseDensity] = {
    base.name: base for base in (Normal(), Logistic(), Uniform(), StudentT(), Mixture())
}


PathKind = Literal["linear", "normalized", "geodesic"]
"""Of these the latter two need a spherical base."""

Latent = NDArray[np.float32] | NDArray[np.float64]

# Directions closer to opposite than this (in radians) have no one shortest way between them.
SMALLEST_ANGLE = 1e-4


class LatentPath:
    """Points from start to end, both included, evenly spaced in the path's parameter.

    Args:
        start, end: two latents.
        steps: number of points, at least 2.
        kind: `linear`; `normalized`, the linear path with each point rescaled to the norm
            interpolated between the ends' norms; or `geodesic`, the great circle between the
            two directions with the interpolated norm (Shoemake 1985; White 2016).

    Raises:
        ValueError: the ends are opposite, so that the path has no direction somewhere.
    """

    def __init__(self, start: Latent, end: Latent, steps: int, kind: PathKind) -> None:
        self._shape = start.shape
        self._dtype: np.dtype[Any] = start.dtype
        self._a, self._b = (point.ravel().astype(np.float64) for point in (start, end))
        self._t = np.linspace(0, 1, steps)[:, None]
        self._kind = kind
        self._norms = np.linalg.norm(self._a), np.linalg.norm(self._b)
        self._angle = 0.0 if kind == "linear" else _angle(self._a, self._b)
        if self._angle > np.pi - SMALLEST_ANGLE or (kind != "linear" and min(self._norms) == 0):
            raise ValueError(
                f"path {kind}: the two latents are opposite, or one is zero; use linear"
            )

    def points(self, start: int, stop: int) -> Latent:
        """Some of the points, (stop − start) × latent shape."""
        a, b, t = self._a, self._b, self._t[start:stop]
        line = (1 - t) * a + t * b
        if self._kind != "linear":
            (norm_a, norm_b), angle = self._norms, self._angle
            if self._kind == "geodesic" and angle > SMALLEST_ANGLE:
                line = np.sin((1 - t) * angle) * a / norm_a + np.sin(t * angle) * b / norm_b
            line *= ((1 - t) * norm_a + t * norm_b) / np.linalg.norm(line, axis=1, keepdims=True)
        return line.reshape(-1, *self._shape).astype(self._dtype)


def _angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Angle between two directions in radians, accurate near 0 and π (Kahan 2006)."""
    a, b = a * np.linalg.norm(b), b * np.linalg.norm(a)
    return float(2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b)))
