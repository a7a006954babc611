"""How far from the data rows still come back: the graphs encode and decode rows ever farther out.

In float32 a flow's two directions are inverse to each other where it has seen data. Far out the
latents grow without bound, and what decoding makes of them is off by any amount. A server knows
such rows by their latents and log_prob alone, from bounds that are measured here.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from service.bundle import Residual, RoundTrip
from training.data import Float32
from training.errors import ExportError
from training.export.reference import REFERENCE_ROWS, Float64, Reference
from training.export.served_graph import ServedGraph
from training.export.verify import BARS
from training.preprocessing import per_coordinate

T = TypeVar("T", bound=np.generic)

# Rows come back if each coordinate does within this part of its range, and so many have to.
RESIDUAL_TOLERANCE, MIN_WITHIN = 1e-3, 0.99

# Rows that are tried; of many coordinates fewer, since each may take a second to decode.
MAX_ROWS, MIN_ROWS, MAX_VALUES = 240, 120, 2**14
# How far out they are: from a tenth of the data's range to thousands of it.
NEAREST, FARTHEST = 0.1, 3000.0


def measured_residual(
    reference: Reference, encode: ServedGraph, decode: ServedGraph, accept: bool
) -> Residual:
    """How well held-out rows come back through both graphs, latents being float32 between them.

    Args:
        reference: the flow and its held-out rows.
        encode, decode: the graphs.
        accept: whether a flow from whose latents rows do not come back is exported all the same.

    Raises:
        ExportError: less than `MIN_WITHIN` of the rows come back, and that is not accepted.
    """
    feed = reference.rows
    context = {k: v for k, v in feed.items() if k == "context"}
    with np.errstate(all="ignore"):
        z, _ = encode.answers(feed)
        back, _ = decode.answers({"z": z} | context)
    return residual_of(feed["x"], back, accept)


def residual_of(x: Float32, back: Float32, accept: bool) -> Residual:
    """How far rows that were encoded and decoded are from what they were.

    Args:
        x, back: N × event shape, before and after.
        accept: see `measured_residual`.

    Raises:
        ExportError: see `measured_residual`.
    """
    with np.errstate(all="ignore"):
        span = np.ptp(_flat(x).astype(np.float64), axis=0)
        error = np.abs(_flat(back).astype(np.float64) - _flat(x)) / np.where(span > 0, span, 1)
        largest = np.where(np.isnan(error), np.inf, error).max(1)
    within = float((largest <= RESIDUAL_TOLERANCE).mean())
    p99 = float(np.quantile(largest, 0.99, method="higher"))
    if within < MIN_WITHIN and not accept:
        raise ExportError(
            f"{within:.1%} of {len(x)} held-out rows come back from their latents "
            f"within {RESIDUAL_TOLERANCE:g} of the range, and {MIN_WITHIN:.0%} are wanted: it is "
            "too steep for latents in float32. Train it longer or with a lower learning rate; "
            "--accept-residual exports it as it is, for log_prob and /sample alone"
        )
    return Residual(
        rows=len(x),
        tolerance=RESIDUAL_TOLERANCE,
        within=within,
        p99=p99 if np.isfinite(p99) else None,
    )


def measured_round_trip(
    reference: Reference, encode: ServedGraph, decode: ServedGraph
) -> RoundTrip:
    """Bounds beyond which rows were seen not to come back.

    Args:
        reference: the flow and its held-out rows.
        encode, decode: the graphs.

    Returns:
        The bounds, between the held-out rows and the first row that did not come back, and how many
        of these rows lie within.
    """
    expected = reference.held_out
    held_out = expected.feed["x"]
    scale = np.ptp(_flat(reference.expected["decode"].value), axis=0)
    scale = np.where(scale > 0, scale, 1)
    count = int(np.clip(MAX_VALUES // scale.size, MIN_ROWS, MAX_ROWS))
    # as much fewer as held-out rows are: of a WaveNet 120 take 36 s of a core
    count = count * len(reference.rows["x"]) // REFERENCE_ROWS
    taken = np.arange(count) % len(held_out)
    context = {k: v[taken] for k, v in expected.feed.items() if k == "context"}
    starts = _flat(held_out[taken]).astype(np.float64)
    rows = _far_rows(starts, scale).reshape(count, *held_out.shape[1:])
    noise = np.resize(reference.expected["decode"].feed["z"], (count, *expected.value.shape[1:]))
    rows[::6] = _decoded_far_latents(noise, {k: v[::6] for k, v in context.items()}, decode)
    with np.errstate(all="ignore"):
        x = rows.astype(np.float32)
        z, log_prob = encode.answers({"x": x} | context)
        finite = np.isfinite(log_prob) & np.isfinite(_flat(z)).all(1) & _inside(reference, x)
        if not finite.any():
            return RoundTrip(
                tolerance=BARS["x_relative"],
                z=float(np.abs(expected.value).max()),
                log_prob=None,
                scale=per_coordinate(scale),
                rows=0,
                inexact=0,
                unflagged=0,
            )
        kept = {k: v[finite] for k, v in context.items()}
        back, _ = decode.answers({"z": z[finite]} | kept)
        given = _flat(x[finite]).astype(np.float64)
        error = (np.abs(_flat(back) - given) / np.maximum(scale, np.abs(given))).max(1)
    return _bounds(
        np.abs(_flat(z[finite])).max(1),
        log_prob[finite].astype(np.float64),
        ~(error <= BARS["x_relative"]),  # NaN does not come back
        expected.value,
        expected.log_prob,
        scale,
    )


def _bounds(
    z: Float64,
    log_prob: Float64,
    inexact: NDArray[np.bool_],
    held_out_z: Float64,
    held_out_log_prob: Float64,
    scale: Float64,
) -> RoundTrip:
    """The bounds, from the largest |z| and log_prob of each row and whether it comes back."""
    usual_z, usual_log_prob = float(np.abs(held_out_z).max()), float(held_out_log_prob.min())
    far = inexact & (z > usual_z)
    # a quarter of the way, in the logarithm: of few rows the first that fails is not the nearest
    z_bound = float(usual_z**0.75 * z[far].min() ** 0.25 if far.any() else max(usual_z, z.max()))
    rest = inexact & (z <= z_bound) & (log_prob < usual_log_prob)
    log_prob_bound = (usual_log_prob + float(log_prob[rest].max())) / 2 if rest.any() else None
    unflagged = inexact & (z <= z_bound)
    if log_prob_bound is not None:
        unflagged &= log_prob >= log_prob_bound
    return RoundTrip(
        tolerance=BARS["x_relative"],
        z=z_bound,
        log_prob=log_prob_bound,
        scale=per_coordinate(scale),
        rows=len(z),
        inexact=int(inexact.sum()),
        unflagged=int(unflagged.sum()),
    )


def _far_rows(starts: Float64, scale: Float64) -> Float64:
    """Rows moved away from where they are, in five ways, each row by a distance of its own."""
    rng = np.random.default_rng(0)
    rows, (count, size) = starts.copy(), starts.shape
    distance = np.exp(rng.uniform(np.log(NEAREST), np.log(FARTHEST), (count, 1)))
    middle = np.median(starts, axis=0)
    kind = np.arange(count) % 6
    one = np.zeros_like(rows)
    one[np.arange(count), rng.integers(0, size, count)] = rng.choice([-1.0, 1.0], count)
    moved = {
        1: middle + distance * (starts - middle),
        2: starts + distance * scale * rng.uniform(-1, 1, rows.shape),
        3: starts + distance * scale * one,
        4: starts + 0.1 * distance * scale * rng.standard_cauchy(rows.shape),
        # near the data in each coordinate, and not in all
        5: rng.permuted(starts, axis=1) * np.minimum(distance, 10),
    }
    for number, far in moved.items():
        rows[kind == number] = far[kind == number]
    return rows


def _decoded_far_latents(
    noise: Float32, context: dict[str, Float32], decode: ServedGraph
) -> Float32:
    """What every sixth row of noise, up to a hundredfold, decodes to; zero if not finite."""
    rng = np.random.default_rng(1)
    stretch = np.exp(rng.uniform(0, np.log(100), (len(noise), *[1] * (noise.ndim - 1))))
    with np.errstate(all="ignore"):
        x, _ = decode.answers({"z": (noise * stretch)[::6].astype(np.float32)} | context)
    return np.where(np.isfinite(x), x, np.float32(0))


def _inside(reference: Reference, x: Float32) -> NDArray[np.bool_]:
    """Which rows lie within the support of the flow."""
    box = reference.flow.bijection.support
    if box is None:
        return np.ones(len(x), bool)
    low, high = (np.asarray(edge, np.float32) for edge in box)
    inside: NDArray[np.bool_] = np.asarray(_flat((x > low) & (x < high)).all(axis=1))
    return inside


def _flat(values: NDArray[T]) -> NDArray[T]:
    return values.reshape(len(values), -1)
