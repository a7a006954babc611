"""Rows that do not come back from their latents as they were: float32 has its limits far out."""

import numpy as np

from service.store import Model
from service.types import Float64, Floats, Whole

# Of bundles from before it was measured at export.
USUAL_TOLERANCE = 1e-4


def rows_far_out(
    model: Model, z: Floats, log_prob: Floats, member: Whole | None = None
) -> list[int]:
    """Rows beyond the bounds within which rows were seen to come back; none of older bundles.

    Args:
        model: whose bounds they are.
        z: latents, N × latent shape.
        log_prob: of each row.
        member: of an ensemble, whose latents they are.
    """
    bounds = model.manifest.round_trip
    if bounds is None or z.size == 0:
        return []
    if bounds.log_prob is None and max(z.max(), -z.min()) <= bounds.z:  # as of all usual requests
        return []
    largest: float | Float64 = bounds.z
    if member is not None and model.ensemble is not None:
        largest = np.array([each.largest_z for each in model.ensemble.members])[member]
    far = np.abs(z.reshape(len(z), -1)).max(1) > largest
    if bounds.log_prob is not None:
        far |= log_prob < bounds.log_prob
    rows: list[int] = np.flatnonzero(far).tolist()
    return rows


def residual_of_data(model: Model, x: Floats, back: Floats) -> Floats:
    """How far rows are from what became of them: of each the largest difference of a coordinate.

    Args:
        model: whose data they are.
        x, back: N × event shape, before and after.

    Returns:
        N, as a part of the coordinate's range or, if that is larger, of its size; infinite where
        nothing finite came back.
    """
    bounds = model.manifest.round_trip
    flat = x.reshape(len(x), -1).astype(np.float64)
    size = np.abs(flat)
    # without a range the largest coordinate of a row is the measure of all: in any unit the same
    scale = size.max(1, keepdims=True) if bounds is None else np.asarray(bounds.scale)
    return _largest(flat, back, np.maximum(size, scale))


def residual_of_latents(z: Floats, back: Floats) -> Floats:
    """The same of latents, whose range counts as 1."""
    flat = z.reshape(len(z), -1).astype(np.float64)
    return _largest(flat, back, np.maximum(np.abs(flat), 1))


def rows_off(model: Model, residual: Floats) -> list[int]:
    """Rows whose residual is more than the tolerance."""
    bounds = model.manifest.round_trip
    tolerance = USUAL_TOLERANCE if bounds is None else bounds.tolerance
    rows: list[int] = np.flatnonzero(residual > tolerance).tolist()
    return rows


def _largest(flat: np.ndarray, back: Floats, scale: np.ndarray) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        off = np.abs(back.reshape(len(back), -1) - flat) / scale
        off[flat == back.reshape(len(back), -1)] = 0  # of nothing but zeros too
        largest: Floats = off.max(1).astype(np.float32)
    largest[np.isnan(largest)] = np.inf
    return largest
