"""Fixed reorderings of the coordinates."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from models.bijection import Bijection


class Permutation(Bijection):
    """A fixed reordering of the coordinates; its log-determinant is exactly zero.

    Args:
        event_shape: shape of one row; D is its number of elements.
        order: z[i] = x[order[i]], a permutation of 0 … D−1.

    Raises:
        ValueError: `order` is not a permutation of the coordinates.
    """

    order: Tensor
    inverse: Tensor

    def __init__(self, event_shape: Sequence[int], order: Sequence[int]) -> None:
        super().__init__(event_shape)
        self.register_buffer("order", permutation(order, self.event_shape), persistent=False)
        self.register_buffer("inverse", self.order.argsort(), persistent=False)

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._reorder(x, self.order)

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._reorder(z, self.inverse)

    @staticmethod
    def _reorder(x: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        flat = x.flatten(1)[:, order]
        return flat.view_as(x), torch.zeros_like(flat[:, 0])


def permutation(order: Sequence[int], event_shape: Sequence[int]) -> Tensor:
    """An order as a tensor of D indices.

    Raises:
        ValueError: it is not a permutation of the D coordinates.
    """
    n = math.prod(event_shape)
    if sorted(order) != list(range(n)):
        raise ValueError(f"order must be a permutation of 0 … {n - 1}, got {list(order)}")
    return torch.tensor(order)
