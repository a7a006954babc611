"""The densities that the toys of `training.data` are drawn from, as far as they are known."""

import math
from collections.abc import Callable, Iterable

import numpy as np

from training.plots.subject import Float64

# Arcs are taken as so many points with normal noise: less than half of its deviation apart.
ARC_POINTS = 400

POINTS_AT_ONCE = 4096


def moons(x: Float64) -> Float64:
    """Two half circles with normal noise of deviation 0.1: N × 2 → N, log-density in nats."""
    angle = (np.arange(ARC_POINTS) + 0.5) * math.pi / ARC_POINTS
    outer = np.stack([np.cos(angle), np.sin(angle)], 1)
    inner = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], 1)
    return _round_gaussians(x, np.concatenate([outer, inner]), 0.1)


def eight_gaussians(x: Float64) -> Float64:
    """Eight round Gaussians of deviation 0.2 on a circle of radius 2."""
    angle = np.arange(8) * math.pi / 4
    return _round_gaussians(x, 2 * np.stack([np.cos(angle), np.sin(angle)], 1), 0.2)


def checkerboard(x: Float64) -> Float64:
    """The dark squares of a 4 × 4 board on [−2, 2]²: eight of area one."""
    column, row = np.floor(x + 2).T
    dark = (column % 2 == row % 2) & (np.abs(x) <= 2).all(1)
    return np.where(dark, -math.log(8), -np.inf)


def rings(x: Float64) -> Float64:
    """Four circles of radius ½, 1, 1½, 2 with radial noise 0.08."""
    radius = np.hypot(*x.T)[:, None]
    of_radius = np.logaddexp.reduce(_log_normal(radius - np.arange(1, 5) / 2, 0.08), axis=1)
    circumference = 2 * math.pi * np.maximum(radius[:, 0], 1e-300)
    log_density: Float64 = of_radius - math.log(4) - np.log(circumference)
    return log_density


def two_spirals(x: Float64) -> Float64:
    """Two arms of one and a half turns with noise 0.1."""
    angle = 3 * math.pi * np.sqrt((np.arange(ARC_POINTS) + 0.5) / ARC_POINTS)
    arm = (angle / math.pi)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    return _round_gaussians(x, np.concatenate([arm, -arm]), 0.1)


TRUTHS: dict[str, Callable[[Float64], Float64]] = {
    each.__name__: each for each in (moons, eight_gaussians, checkerboard, rings, two_spirals)
}
"""By the names of `training.data.toy`; the blades of `pinwheel` have no density in closed form."""


def _round_gaussians(x: Float64, centres: Float64, deviation: float) -> Float64:
    """The mean of round Gaussians: N × 2 → N, in nats."""

    def parts() -> Iterable[Float64]:
        for first in range(0, len(x), POINTS_AT_ONCE):
            square = ((x[first : first + POINTS_AT_ONCE, None] - centres) ** 2).sum(2)
            exponent = -0.5 * square / deviation**2
            largest = exponent.max(1, keepdims=True)
            yield largest[:, 0] + np.log(np.exp(exponent - largest).mean(1))

    return np.concatenate([*parts(), np.empty(0)]) - math.log(2 * math.pi * deviation**2)


def _log_normal(x: Float64, deviation: float) -> Float64:
    return -0.5 * (x / deviation) ** 2 - math.log(deviation * math.sqrt(2 * math.pi))
