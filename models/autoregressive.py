"""Masked autoregressive flows; the inverse autoregressive flow is the same class, `Inverted`."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.bijection import Bijection, sum_event
from models.elementwise import UnivariateMap
from models.linear import permutation
from models.loops import loop
from models.networks import Conditioner, MaskedMLP


class MaskedAutoregressive(Bijection):
    """MAF: each coordinate is mapped monotonically given those before it.

    Papamakarios et al. 2017. Encoding costs one pass of the network, decoding D passes of it.
    `Inverted(MaskedAutoregressive(…))` is the inverse autoregressive flow (Kingma et al. 2016).

    Args:
        event_shape: shape of one row; D is its number of elements.
        univariate: the map of each coordinate.
        order: coordinates in the order they are decoded, a permutation of 0 … D−1.
        conditioner: shape of the masked network.
        context_shape: shape of the conditioning vector, or None.

    Raises:
        ValueError: `order` is not a permutation of the coordinates.
    """

    decode_cost = "sequential"
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

    def theta(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Parameters of each coordinate's map: batch × D → batch × D × univariate.size."""
        context = None if context is None else context.flatten(1)
        theta: Tensor = self.network(x.flatten(1), context, self.network.weights())
        return theta

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, log_det = self.univariate.encode(x.flatten(1), self.theta(x, context))
        return z.view_as(x), sum_event(log_det)

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        flat = z.flatten(1)
        context = None if context is None else context.flatten(1)
        weights = self.network.weights()

        def step(x: Tensor, row: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
            (chosen,) = row
            # what the other coordinates get here is not yet right, and never looked at
            theta = self.network(x, context, weights)
            return torch.where(chosen > 0, self.univariate.decode(flat, theta)[0], x), []

        one_hot = torch.eye(flat.shape[1], dtype=z.dtype, device=z.device)[self.order]
        x, _ = loop(step, torch.zeros_like(flat), [one_hot])
        _, log_det = self.univariate.decode(flat, self.network(x, context, weights))
        return x.view_as(z), sum_event(log_det)
