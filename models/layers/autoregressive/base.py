"""What autoregressive layers have in common: each value is mapped, given those before it."""

from abc import abstractmethod

import torch
from torch import Tensor

from models.bijection import Bijection
from models.layers.autoregressive.sequential_inverse import Inverse
from models.numerics import UnivariateMap


class Autoregressive(Bijection):
    """A bijection that maps each value monotonically, given the values before it in an order.

    Its attribute `inverse` says how it decodes, which has the same result in any way.
    """

    decode_cost = "sequential"
    univariate: UnivariateMap
    inverse: Inverse

    @abstractmethod
    def theta(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Parameters of each value's map, in row-major order: batch × D × univariate.size."""

    def decode_from(
        self, z: Tensor, start: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Decode from a first guess, which sweeps start from and steps have no use for.

        Args:
            z: batch × latent shape.
            start: guesses of x, batch × event shape; any numbers.
            context: batch × context shape, exactly when the bijection has one.

        Returns:
            What `decode` returns.

        Raises:
            ValueError: a shape is not the stated one; both are named.
        """
        self._check(z, self.latent_shape, "z", context)
        self._check(start, self.event_shape, "start", context)
        return self._decode_from(z, start, context)

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._decode_from(z, None, context)

    @abstractmethod
    def _decode_from(
        self, z: Tensor, start: Tensor | None, context: Tensor | None
    ) -> tuple[Tensor, Tensor]: ...

    def _current_inverse(self) -> Inverse:
        """How it decodes now: sweeps stop when x has converged, when its derivatives may not."""
        if torch.is_grad_enabled():
            return Inverse("sequential", self.inverse.width)
        return self.inverse
