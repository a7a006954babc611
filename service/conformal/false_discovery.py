"""Decisions on many rows at once, at a bounded rate of false discoveries among them."""

import numpy as np
from numpy.typing import NDArray

from service.types import Float64


def benjamini_hochberg(p_values: Float64, rate: float) -> NDArray[np.bool_]:
    """Which of n rows are discoveries: those of the k smallest p-values.

    k is the largest for which the k-th is at most `rate` k / n. The expected share of normal rows
    among the discoveries is at most `rate` times the share of normal rows among all, where the
    p-values are independent or positively dependent (Benjamini and Hochberg, 1995; Benjamini and
    Yekutieli, 2001), as conformal ones of independent rows are (Bates et al., Testing for Outliers
    with Conformal p-values, 2023).

    Args:
        p_values: n; NaN of what is no row.
        rate: in (0, 1).

    Raises:
        ValueError: another rate.
    """
    if not 0 < rate < 1:
        raise ValueError(f"expected a rate between 0 and 1, got {rate:g}")
    ordered = np.sort(p_values[~np.isnan(p_values)])
    n = len(ordered)
    below = np.flatnonzero(ordered <= rate * np.arange(1, n + 1) / max(n, 1))
    limit = ordered[below[-1]] if len(below) else -np.inf
    return np.asarray(p_values <= limit)
