"""Rows outside a model's support, and rows without an answer that is a number."""

import math

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidInputError
from service.store import Model
from service.types import Arrays, Float32


def is_bounded(model: Model) -> bool:
    """Whether some rows have no density."""
    return model.support is not None or model.manifest.base_box is not None


def bounded_log_prob(model: Model, x: Float32, encoded: Arrays) -> Float32:
    """log_prob of rows of a bounded model: −inf where they have no density, NaN for no answer.

    Args:
        model: which encoded them.
        x: the rows.
        encoded: their `log_prob`, and their `z` where the base is bounded.
    """
    log_prob = encoded["log_prob"]
    beyond = _outside(x, model).reshape(len(x), -1).any(1)
    if model.manifest.base_box is not None:
        beyond |= _beyond_base(encoded["z"], model).reshape(len(x), -1).any(1)
    answered = np.where(np.isfinite(log_prob), log_prob, np.float32(np.nan))
    return np.where(beyond, np.float32(-np.inf), answered)


def check_has_density(z: Float32, model: Model, name: str) -> None:
    """Refuse rows whose latents lie outside the base's box: they have no density."""
    if model.manifest.base_box is None:
        return
    beyond = np.argwhere(_beyond_base(z, model))
    if len(beyond):
        row = int(beyond[0][0])
        low, high = model.manifest.base_box or (-math.inf, math.inf)
        raise InvalidInputError(
            f"{name}: row {row} has no density: its latent holds {z[tuple(beyond[0])]}, outside "
            f"the model's {model.manifest.base} base, {low:g} to {high:g}",
            row=row,
        )


def check_inside(x: Float32, model: Model, name: str) -> None:
    """Refuse rows outside the support: they have no latents."""
    if model.support is None:
        return
    outside = np.argwhere(_outside(x, model))
    if len(outside):
        row, *place = (int(i) for i in outside[0])
        low, high = (float(edge[tuple(place)]) for edge in model.support or ())
        column = place[0] if len(place) == 1 else place
        raise InvalidInputError(
            f"{name}: row {row}, column {column} is {x[tuple(outside[0])]}, outside the model's "
            f"support: more than {low:g} and less than {high:g}",
            row=row,
            column=column,
            bounds=[low, high],
        )


def rows_not_finite(*outputs: Float32) -> NDArray[np.intp]:
    """Rows of which some output, N × anything each, has a value that is not finite."""
    if all(np.isfinite(output).all() for output in outputs):
        return np.array([], np.intp)
    bad = [~np.isfinite(o.reshape(len(o), -1)).all(1) for o in outputs]
    return np.flatnonzero(np.logical_or.reduce(bad))


def _outside(x: Float32, model: Model) -> NDArray[np.bool_]:
    """Which values lie outside the support: N × event shape."""
    if model.support is None:
        return np.zeros(x.shape, dtype=bool)
    low, high = model.support
    return (x <= low) | (x >= high)


def _beyond_base(z: Float32, model: Model) -> NDArray[np.bool_]:
    """Which latents lie outside the box of a uniform base: N × latent shape."""
    low, high = map(np.float32, model.manifest.base_box or (-math.inf, math.inf))
    beyond: NDArray[np.bool_] = (z < low) | (z > high)
    return beyond
