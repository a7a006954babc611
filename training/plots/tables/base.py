"""The distribution of latents of a right model, coordinate by coordinate."""

import numpy as np
from numpy.typing import NDArray

from service.bundle import LatentDraw, RandomStreams
from training.plots.subject import Array, Float64, Subject

SEED = 0

# Of the base, to know its distribution by: the error of a probability is 0.001.
DRAWS = 2**18


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
