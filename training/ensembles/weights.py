"""Weights of a mixture: those under which validation rows are the most likely."""

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

# Steps at most, and the gain of a step in nats per row below which there is none more.
MAX_STEPS, SMALLEST_GAIN = 2000, 1e-10


def log_mixture(log_probs: Float64, weights: Float64) -> Float64:
    """Log of Σ w_k p_k: members × anything, members → anything, in nats."""
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights).reshape(-1, *[1] * (log_probs.ndim - 1))
    mixed: Float64 = np.logaddexp.reduce(log_probs + log_weights, axis=0)
    return mixed


def fitted_weights(log_probs: Float64) -> Float64:
    """The weights of the largest likelihood, by expectation-maximisation from equal ones.

    The likelihood is concave in the weights, and no step lowers it (Dempster et al. 1977): the
    result is never worse on these rows than equal weights.

    Args:
        log_probs: members × rows, in nats; rows without a finite density under any do not count.

    Returns:
        As many weights as members, one together.
    """
    k = len(log_probs)
    rows = log_probs[:, np.isfinite(log_probs).any(0)]
    # of each row as a part of its largest density: the same weights, and no logarithms in a step
    parts = np.exp(rows - rows.max(0))
    weights = np.full(k, 1 / k)
    if rows.shape[1] == 0:
        return weights
    mixed = weights @ parts
    for _ in range(MAX_STEPS):
        better = weights * (parts / mixed).mean(1)
        better /= better.sum()
        mixed_better = better @ parts
        gain = float(np.log(mixed_better / mixed).mean())
        if gain <= 0:  # by rounding
            break
        weights, mixed = better, mixed_better
        if gain < SMALLEST_GAIN:
            break
    return weights
