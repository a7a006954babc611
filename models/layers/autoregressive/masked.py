"""Masked autoregressive flows; the inverse autoregressive flow is the same class, `Inverted`."""

from collections.abc import Sequence

from torch import Tensor

from models.bijection import sum_event
from models.layers.autoregressive.base import Autoregressive
from models.layers.autoregressive.sequential_inverse import default_inverse, invert
from models.layers.permutation import permutation
from models.networks import Conditioner, MaskedMLP
from models.numerics import UnivariateMap


class MaskedAutoregressive(Autoregressive):
    """MAF: a monotone map of each coordinate, given the coordinates before it.

    Papamakarios et al. 2017. Encoding costs one pass of the network. Decoding costs little more
    arithmetic, in as many steps as there are coordinates or fewer (`sequential_inverse.invert`).
    `Inverted(MaskedAutoregressive(…))` is the inverse autoregressive flow (Kingma et al. 2016).

    Args:
        event_shape: shape of one row; D is its number of elements.
        univariate: the map of each coordinate.
        order: coordinates in the order of decoding, a permutation of 0 … D−1.
        conditioner: shape of the masked network.
        context_shape: shape of the conditioning vector, or None.

    Raises:
        ValueError: `order` is not a permutation of the coordinates.
    """

    order: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        univariate: UnivariateMap,
        order: Sequence[int],
        conditioner: Conditioner,
        context_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(event_shape, context_shape=context_shape)
        self.univariate = univariate
        self.register_buffer("order", permutation(order, self.event_shape), persistent=False)
        position = self.order.argsort().tolist()
        self.network = MaskedMLP(position, univariate.size, self.context_features, conditioner)
        self.inverse = default_inverse(len(self.order))

    def theta(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Parameters of each coordinate's map: batch × D → batch × D × univariate.size."""
        context = None if context is None else context.flatten(1)
        theta: Tensor = self.network(x.flatten(1), context)
        return theta

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, log_det = self.univariate.encode(x.flatten(1), self.theta(x, context))
        return z.view_as(x), sum_event(log_det)

    def _decode_from(
        self, z: Tensor, start: Tensor | None, context: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        context = None if context is None else context.flatten(1)
        flat = z.flatten(1).index_select(1, self.order)
        guess = None if start is None else start.flatten(1).index_select(1, self.order)
        inverse = self._current_inverse()
        x, log_slope = invert(self.network, self.univariate, flat, context, inverse, guess)
        return x.index_select(1, self.network.position).view_as(z), sum_event(log_slope)
