"""Paths between two latents."""

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidInputError
from service.operations.requests import Path
from service.types import Float32

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
        InvalidInputError: the ends are opposite, so that the path has no direction somewhere.
    """

    def __init__(self, start: Float32, end: Float32, steps: int, kind: Path) -> None:
        self._shape = start.shape
        self._a, self._b = (point.ravel().astype(np.float64) for point in (start, end))
        self._t = np.linspace(0, 1, steps)[:, None]
        self._kind = kind
        self._norms = np.linalg.norm(self._a), np.linalg.norm(self._b)
        self._angle = 0.0 if kind == "linear" else _angle(self._a, self._b)
        if self._angle > np.pi - SMALLEST_ANGLE or (kind != "linear" and min(self._norms) == 0):
            raise InvalidInputError(
                f"path {kind}: the two latents are opposite, or one is zero; use linear"
            )

    def points(self, start: int, stop: int) -> Float32:
        """Some of the points, (stop − start) × latent shape."""
        a, b, t = self._a, self._b, self._t[start:stop]
        line = (1 - t) * a + t * b
        if self._kind != "linear":
            (norm_a, norm_b), angle = self._norms, self._angle
            if self._kind == "geodesic" and angle > SMALLEST_ANGLE:
                line = np.sin((1 - t) * angle) * a / norm_a + np.sin(t * angle) * b / norm_b
            line *= ((1 - t) * norm_a + t * norm_b) / np.linalg.norm(line, axis=1, keepdims=True)
        return line.reshape(-1, *self._shape).astype(np.float32)


def _angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Angle between two directions in radians, accurate near 0 and π (Kahan 2006)."""
    a, b = a * np.linalg.norm(b), b * np.linalg.norm(a)
    return float(2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b)))
