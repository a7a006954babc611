"""Paths between two latents."""

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidInputError, TooLargeError
from service.operations.answer import Answer
from service.operations.checked_runs import ENCODED, CheckedRuns
from service.operations.requests import Path, PathRequest
from service.operations.rows.faults import RowFaults
from service.store import Model
from service.types import Floats

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

    def __init__(self, start: Floats, end: Floats, steps: int, kind: Path) -> None:
        self._shape, self._dtype = start.shape, start.dtype
        self._a, self._b = (point.ravel().astype(np.float64) for point in (start, end))
        self._t = np.linspace(0, 1, steps)[:, None]
        self._kind = kind
        self._norms = np.linalg.norm(self._a), np.linalg.norm(self._b)
        self._angle = 0.0 if kind == "linear" else _angle(self._a, self._b)
        if self._angle > np.pi - SMALLEST_ANGLE or (kind != "linear" and min(self._norms) == 0):
            raise InvalidInputError(
                f"path {kind}: the two latents are opposite, or one is zero; use linear"
            )

    def points(self, start: int, stop: int) -> Floats:
        """Some of the points, (stop − start) × latent shape."""
        a, b, t = self._a, self._b, self._t[start:stop]
        line = (1 - t) * a + t * b
        if self._kind != "linear":
            (norm_a, norm_b), angle = self._norms, self._angle
            if self._kind == "geodesic" and angle > SMALLEST_ANGLE:
                line = np.sin((1 - t) * angle) * a / norm_a + np.sin(t * angle) * b / norm_b
            line *= ((1 - t) * norm_a + t * norm_b) / np.linalg.norm(line, axis=1, keepdims=True)
        return line.reshape(-1, *self._shape).astype(self._dtype)


def check_path(
    runs: CheckedRuns, model: Model, request: PathRequest, ends: dict[str, Floats]
) -> None:
    """See that a model has such a path.

    Args:
        runs: of the model's graphs.
        model: whose latents it is through.
        request: how it is to be.
        ends: start and end, each of event shape.

    Raises:
        InvalidInputError: it has not, or an end is of another shape.
        TooLargeError: the path has too many points.
    """
    if request.steps > runs.max_rows:
        raise TooLargeError(f"steps is {request.steps}, more than the {runs.max_rows} allowed")
    for name, row in ends.items():
        if row.shape != model.event_shape:
            raise InvalidInputError(
                f"{name}: expected one row of shape {model.event_shape}, got {row.shape}"
            )
    if request.path != "linear" and not model.density.base_density.spherical:
        raise InvalidInputError(
            f"path {request.path} needs a spherical base, this model's is "
            f"{model.density.base}: use linear"
        )


async def along_path(
    runs: CheckedRuns,
    model: Model,
    request: PathRequest,
    x: Floats,
    deadline: float,
    u: Floats | None = None,
) -> Answer:
    """The points of a path between two rows, of which all has been checked.

    Args:
        runs: of the model's graphs.
        model: whose latents it is through.
        request: how it is to be.
        x: start and end, 2 × event shape.
        deadline: on `time.monotonic`'s clock.
        u: where in their cells their values are taken, of typed columns.
    """
    steps, run = request.steps, runs.threads.run
    # one context for the whole path
    both = await runs.context_rows(model, request.context, RowFaults(1), deadline)
    every_step = both
    if both is not None:
        both, every_step = (np.broadcast_to(both, (k, both.shape[1])) for k in (2, steps))
    ends = await runs.run_encode(model, x, both, ENCODED, deadline, u)
    faults, check, name = RowFaults(2), runs.check_encoded, "start and end"
    await run(x.size, check, model, ends, name, faults, deadline=deadline)
    path = LatentPath(ends["z"][0], ends["z"][1], steps, request.path)
    z = np.empty((steps, *model.latent_shape), ends["z"].dtype)

    def fill(start: int, stop: int) -> None:
        z[start:stop] = path.points(start, stop)

    await runs.threads.run_in_blocks(steps, z[0].size, fill, deadline)
    faults = RowFaults(steps, request.partial)
    decoded = await runs.run_decode(model, z, every_step, faults, deadline)
    answer = await runs.answer(decoded | {"z": z}, faults, deadline)
    await runs.remark_inexact(model, answer, z, deadline)
    return answer


def _angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Angle between two directions in radians, accurate near 0 and π (Kahan 2006)."""
    a, b = a * np.linalg.norm(b), b * np.linalg.norm(a)
    return float(2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b)))
