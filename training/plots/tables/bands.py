"""Bands that the plots of a right model lie in, and the base density of latents.

A band is the global envelope of many plots of random numbers (Myllymäki et al. 2017, "Global
envelope tests for spatial processes"): 95 plots in 100 of a right model lie in it from end to end.
"""

import numpy as np
from numpy.typing import NDArray

from service.bundle import LatentDraw, RandomStreams
from training.plots.subject import Array, Float64, Subject

COVERAGE = 0.95
SIMULATIONS = 1999
SEED = 0

# Of the base, to know its distribution by: the error of a probability is 0.001.
DRAWS = 2**18


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


def histogram_counts(n: int, bins: int) -> tuple[Float64, Float64]:
    """The band of the counts of n uniform numbers in bins of the same width."""
    rng = np.random.default_rng(SEED)
    return envelope(rng.multinomial(n, [1 / bins] * bins, SIMULATIONS).astype(np.float64))


class Base:
    """The distribution of each latent coordinate, from many draws of the base.

    Draws know every base by what the server draws it with; a base of independent coordinates is
    known by one of them.
    """

    def __init__(self, subject: Subject) -> None:
        traits = subject.traits
        has_own = any(isinstance(value, list) for value in traits.base_parameters.values())
        shape = (DRAWS, traits.dimensions if has_own else 1)
        asked = LatentDraw(RandomStreams.of_seed(SEED), shape, traits.base_parameters, 1.0, None)
        self._draws: Float64 = np.sort(traits.base.draw(asked), axis=0)

    def _of(self, coordinate: int) -> NDArray[np.float64]:
        return self._draws[:, min(coordinate, self._draws.shape[1] - 1)]

    def places(self, z: Array, coordinate: int) -> Float64:
        """The probabilities of values below these, in (0, 1)."""
        return (np.searchsorted(self._of(coordinate), z) + 0.5) / (DRAWS + 1)

    def quantiles(self, probabilities: Float64, coordinate: int) -> Float64:
        """The values of these probabilities."""
        return np.quantile(self._of(coordinate), probabilities)
