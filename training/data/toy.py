"""The classic 2-D densities, sampled in raw coordinates."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]


def moons(n: int, seed: int) -> Rows:
    """Two interleaved half circles: scikit-learn's `make_moons(noise=0.1)`."""
    from sklearn.datasets import make_moons  # half a second that a table need not wait for

    rows: Rows = make_moons(n, noise=0.1, random_state=seed)[0]
    return rows


def eight_gaussians(n: int, seed: int) -> Rows:
    """Eight round Gaussians of deviation 0.2 on a circle of radius 2."""
    rng = np.random.default_rng(seed)
    angle = rng.integers(8, size=n) * np.pi / 4
    return 2 * _on_circle(angle) + 0.2 * rng.standard_normal((n, 2))


def checkerboard(n: int, seed: int) -> Rows:
    """The dark squares of a 4 × 4 board on [−2, 2]²."""
    rng = np.random.default_rng(seed)
    column = rng.integers(4, size=n)
    row = 2 * rng.integers(2, size=n) + column % 2
    return np.stack([column, row], 1) - 2 + rng.random((n, 2))


def rings(n: int, seed: int) -> Rows:
    """Four concentric circles of radius ½, 1, 1½, 2 with radial noise 0.08."""
    rng = np.random.default_rng(seed)
    radius = rng.integers(1, 5, size=n) / 2 + 0.08 * rng.standard_normal(n)
    return radius[:, None] * _on_circle(rng.uniform(0, 2 * np.pi, n))


def two_spirals(n: int, seed: int) -> Rows:
    """Two arms of one and a half turns with noise 0.1."""
    rng = np.random.default_rng(seed)
    angle = 3 * np.pi * np.sqrt(rng.random(n))
    arm = 2 * rng.integers(2, size=n)[:, None] - 1
    return arm * (angle / np.pi)[:, None] * _on_circle(angle) + 0.1 * rng.standard_normal((n, 2))


def pinwheel(n: int, seed: int) -> Rows:
    """Five radial blades, each sheared around the origin."""
    rng = np.random.default_rng(seed)
    radial = 1 + 0.3 * rng.standard_normal(n)
    tangential = 0.1 * rng.standard_normal(n)
    angle = rng.integers(5, size=n) * 2 * np.pi / 5 + 0.25 * np.exp(radial)
    along, across = _on_circle(angle), _on_circle(angle + np.pi / 2)
    return 2 * (radial[:, None] * along + tangential[:, None] * across)


def _on_circle(angle: Rows) -> Rows:
    return np.stack([np.cos(angle), np.sin(angle)], 1)


DENSITIES: dict[str, Callable[[int, int], Rows]] = {
    "moons": moons,
    "eight_gaussians": eight_gaussians,
    "checkerboard": checkerboard,
    "rings": rings,
    "two_spirals": two_spirals,
    "pinwheel": pinwheel,
}
