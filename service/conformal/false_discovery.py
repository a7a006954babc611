"""Decisions on many rows at once, at a bounded rate of false discoveries among them."""

from collections.abc import Callable, Iterable

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


BINS = 2**16
"""Of p-values, which are counted; those of one bin at a time are looked at one by one."""


def discovery_limit(pieces: Callable[[], Iterable[Float64]], rate: float) -> float:
    """The largest p-value of a discovery of `benjamini_hochberg`, of rows of any number.

    It holds counts, and the different p-values of a bin, in memory: about n / 65,536 where no two
    are equal.

    Args:
        pieces: the p-values of all rows, in pieces; called twice or more.
        rate: in (0, 1).

    Returns:
        The limit, −∞ where nothing is a discovery.

    Raises:
        ValueError: another rate.
    """
    if not 0 < rate < 1:
        raise ValueError(f"expected a rate between 0 and 1, got {rate:g}")
    counts = np.zeros(BINS, np.int64)
    for values in pieces():
        counts += np.bincount(_bins(values), minlength=BINS)
    up_to, n = np.cumsum(counts), int(counts.sum())
    # its smallest value is at most the bound of its largest, or nothing in a bin is at most its own
    may_hold = (counts > 0) & (np.arange(BINS) / BINS <= rate * up_to / max(n, 1))
    for chosen in np.flatnonzero(may_hold)[::-1].tolist():
        found = [_counted(values[_bins(values) == chosen]) for values in pieces()]
        p, place = np.unique(np.concatenate([each for each, _ in found]), return_inverse=True)
        of = np.bincount(place, np.concatenate([count for _, count in found])).astype(np.int64)
        below = np.flatnonzero(p <= rate * (up_to[chosen] - counts[chosen] + np.cumsum(of)) / n)
        if len(below):
            return float(p[below[-1]])
    return -np.inf


def _bins(p_values: Float64) -> NDArray[np.intp]:
    return np.minimum(p_values * BINS, BINS - 1).astype(np.intp)


def _counted(p_values: Float64) -> tuple[Float64, NDArray[np.int64]]:
    values, counts = np.unique(p_values, return_counts=True)
    return values, counts.astype(np.int64)
