"""Where a model's density is zero: outside the box of its data, or of its base."""

import numpy as np
from numpy.typing import NDArray

from service.errors import InvalidInputError
from service.operations.row_faults import Fault, RowFaults
from service.store import Model
from service.types import Float32


def outside(x: Float32, model: Model) -> NDArray[np.bool_]:
    """Which values lie outside the support of the data: N × event shape."""
    if model.support is None:
        return np.zeros(x.shape, dtype=bool)
    low, high = model.support
    return (x <= low) | (x >= high)


def beyond_base(z: Float32, model: Model) -> NDArray[np.bool_]:
    """Which latents lie outside the box of a uniform base: N × latent shape."""
    if model.manifest.base_box is None:
        return np.zeros(z.shape, dtype=bool)
    low, high = map(np.float32, model.manifest.base_box)
    beyond: NDArray[np.bool_] = (z < low) | (z > high)
    return beyond


def is_marked(values: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of each row, whether any of its values is marked."""
    marked: NDArray[np.bool_] = np.asarray(values.any(axis=tuple(range(1, values.ndim))))
    return marked


def check_inside(x: Float32, model: Model, name: str, faults: RowFaults) -> None:
    """Find rows outside the support: they have no latents.

    Args:
        x: rows that are kept, N × event shape.
        model: whose support it is.
        name: of the rows, for people.
        faults: of the request.

    Raises:
        InvalidInputError: what `RowFaults.check` raises; says row, column and bounds.
    """
    if model.support is None:
        return
    places = outside(x, model)
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

    faults.check(is_marked(places), InvalidInputError, describe)


def check_has_density(z: Float32, model: Model, name: str, faults: RowFaults) -> None:
    """Find rows whose latents lie outside the base's box: they have no density.

    Args:
        z: latents of the rows that are kept, N × latent shape.
        model: whose base it is.
        name: of the rows, for people.
        faults: of the request.

    Raises:
        InvalidInputError: what `RowFaults.check` raises.
    """
    if model.manifest.base_box is None:
        return
    places = beyond_base(z, model)
    low, high = model.manifest.base_box

    def describe(place: int, row: int) -> Fault:
        value = z[place][places[place]][0]
        detail = (
            f"{name}: row {row} has no density: its latent holds {value}, outside the model's "
            f"{model.manifest.base} base, {low:g} to {high:g}"
        )
        return Fault(detail, {})

    faults.check(is_marked(places), InvalidInputError, describe)
