"""Bands that the plots of a right model lie in.

A band is the global envelope of many plots of random numbers (Myllymäki et al. 2017, "Global
envelope tests for spatial processes"): 95 plots in 100 of a right model lie in it from end to end.
"""

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

COVERAGE = 0.95
SIMULATIONS = 1999
SEED = 0


def envelope(simulated: Float64) -> tuple[Float64, Float64]:
    """The narrowest pair of the k-th smallest and k-th largest values that holds `COVERAGE` plots.

    Args:
        simulated: plots × values.

    Returns:
        Lower and upper values.
    """
    ascending = np.sort(simulated, axis=0)
    # how many plots reach as far out as each, in its most extreme value
    ranks = np.empty(simulated.shape, np.int64)
    for i, column in enumerate(ascending.T):
        below = np.searchsorted(column, simulated[:, i], side="right")
        above = len(column) - np.searchsorted(column, simulated[:, i], side="left")
        ranks[:, i] = np.minimum(below, above)
    extreme = ranks.min(1)
    # one step further out: a new plot beyond the k-th would itself be the k-th
    k = max(1, int(np.quantile(extreme, 1 - COVERAGE, method="lower")) - 1)
    return ascending[k - 1], ascending[-k]


def uniform_order_statistics(n: int) -> tuple[Float64, Float64]:
    """The band of n sorted uniform numbers."""
    rng = np.random.default_rng(SEED)
    return envelope(np.sort(rng.random((SIMULATIONS, n)), axis=1))


def histogram_counts(n: int, bins: int, draws: int | None = None) -> tuple[Float64, Float64]:
    """The band of the counts of n uniform numbers in bins of the same width.

    Args:
        n: how many.
        bins: of the histogram.
        draws: where the numbers are ranks among so many draws, the same for all: the bins have the
            probabilities that lie between these, sums of spacings, which are a Dirichlet's.
    """
    rng = np.random.default_rng(SEED)
    equal = np.full(bins, 1 / bins)
    if draws is None:
        return envelope(rng.multinomial(n, equal, SIMULATIONS).astype(np.float64))
    probabilities = rng.dirichlet((draws + 1) * equal, SIMULATIONS)
    return envelope(rng.multinomial(n, probabilities).astype(np.float64))
