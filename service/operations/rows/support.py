"""Rows outside a model's support, and rows without an answer that is a number."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidInputError
from service.operations.rows.faults import Fault, RowFaults
from service.store import Model
from service.types import Arrays, Floats


def bounded_log_prob(model: Model, x: Floats, encoded: Arrays) -> Floats:
    """log_prob of rows of a bounded model: −inf where they have no density, NaN for no answer.

    Args:
        model: which encoded them.
        x: the rows.
        encoded: their `log_prob`, and their `z` where the base is bounded.
    """
    log_prob = encoded["log_prob"]
    beyond = _any_of_row(_outside(x, model))
    if model.base_box is not None:
        beyond |= _any_of_row(_beyond_base(encoded["z"], model))
    answered = np.where(np.isfinite(log_prob), log_prob, np.float32(np.nan))
    return np.where(beyond, np.float32(-np.inf), answered)


def outside_support(model: Model, log_prob: Floats) -> dict[str, Any]:
    """The remark that names the rows whose density is zero, if there are some."""
    if not model.is_bounded:
        return {}
    rows = np.flatnonzero(np.isneginf(log_prob)).tolist()
    return {"outside_support": rows} if rows else {}


def check_has_density(z: Floats, model: Model, name: str, faults: RowFaults) -> None:
    """Find rows whose latents lie outside the base's box: they have no density.

    Args:
        z: latents of the rows that are kept, N × latent shape.
        model: whose base it is.
        name: of the rows, for people.
        faults: of the request.

    Raises:
        InvalidInputError: what `RowFaults.check` raises.
    """
    if model.base_box is None:
        return
    places = _beyond_base(z, model)
    low, high = model.base_box

    def describe(place: int, row: int) -> Fault:
        value = z[place][places[place]][0]
        detail = (
            f"{name}: row {row} has no density: its latent holds {value}, outside the model's "
            f"{model.density.base} base, {low:g} to {high:g}"
        )
        return Fault(detail, {})

    faults.check(_any_of_row(places), InvalidInputError, describe)


def check_inside(x: Floats, model: Model, name: str, faults: RowFaults) -> None:
    """Find rows outside the support: they have no latents.

    Args:
        x: rows, N × event shape.
        model: whose support it is.
        name: of the rows, for people.
        faults: of the request.

    Raises:
        InvalidInputError: what `RowFaults.check` raises; says row, column and bounds.
    """
    if model.support is None:
        return
    places = _outside(x, model)
    low, high = model.support

    def describe(place: int, row: int) -> Fault:
        where = tuple(int(i) for i in np.argwhere(places[place])[0])
        bounds = [float(low[where]), float(high[where])]
        column = where[0] if len(where) == 1 else list(where)
        detail = (
            f"{name}: row {row}, column {column} is {x[(place, *where)]}, outside the model's "
            f"support: more than {bounds[0]:g} and less than {bounds[1]:g}"
        )
        return Fault(detail, {"column": column, "bounds": bounds})

    faults.check(_any_of_row(places), InvalidInputError, describe)


def are_not_finite(*outputs: Floats) -> NDArray[np.bool_] | None:
    """Of each row, whether an output, N × anything, has values not finite; None if none."""
    for output in outputs:
        # of every request: for few numbers `all` takes three times as long
        if np.count_nonzero(np.isfinite(output)) < output.size:
            break
    else:
        return None
    bad = [~np.isfinite(o.reshape(len(o), -1)).all(1) for o in outputs]
    marked: NDArray[np.bool_] = np.logical_or.reduce(bad)
    return marked


def _any_of_row(values: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of each row, whether any of its values is true."""
    return np.asarray(values.any(axis=tuple(range(1, values.ndim))))


def _outside(x: Floats, model: Model) -> NDArray[np.bool_]:
    """Which values lie outside the support: N × event shape."""
    if model.support is None:
        return np.zeros(x.shape, dtype=bool)
    low, high = model.support
    return (x <= low) | (x >= high)


def _beyond_base(z: Floats, model: Model) -> NDArray[np.bool_]:
    """Which latents lie outside the box of a uniform base: N × latent shape."""
    low, high = map(np.float32, model.base_box or (-math.inf, math.inf))
    beyond: NDArray[np.bool_] = (z < low) | (z > high)
    return beyond
