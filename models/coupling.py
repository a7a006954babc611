"""Coupling layers: one part of a row passes through and steers the map of the other."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from models.bijection import Bijection, sum_event
from models.elementwise import UnivariateMap
from models.networks import MLP, Conditioner


class Coupling(Bijection):
    """Coupling layer; NICE with an additive map, RealNVP with an affine one.

    Dinh et al. 2014, eqs. 7–8; Dinh et al. 2017, eqs. 4–5. Both directions cost one pass.

    Args:
        event_shape: shape of one row; D is its number of elements.
        univariate: the map of each steered coordinate.
        passed: the coordinates that pass through, a proper part of 0 … D−1; none where D = 1.
        conditioner: shape of the network.
        context_shape: shape of the conditioning vector, or None.

    Raises:
        ValueError: `passed` holds a coordinate that is not there, or leaves none to be mapped.
    """

    passed: Tensor
    mapped: Tensor
    merge: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        univariate: UnivariateMap,
        passed: Sequence[int],
        conditioner: Conditioner,
        context_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(event_shape, context_shape=context_shape)
        n = math.prod(self.event_shape)
        mapped = sorted(set(range(n)) - set(passed))
        if not mapped or not set(passed) <= set(range(n)):
            raise ValueError(f"passed must be a proper part of 0 … {n - 1}, got {list(passed)}")
        self.univariate = univariate
        self.register_buffer("passed", torch.tensor(passed, dtype=torch.long), persistent=False)
        self.register_buffer("mapped", torch.tensor(mapped), persistent=False)
        self.register_buffer("merge", torch.tensor([*passed, *mapped]).argsort(), persistent=False)
        inputs = len(passed) + self.context_features
        self.network = MLP(inputs, len(mapped) * univariate.size, conditioner)

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        flat, theta = self._split(x, context)
        z, log_det = self.univariate.encode(flat[:, self.mapped], theta)
        return self._merge(flat, z).view_as(x), sum_event(log_det)

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        flat, theta = self._split(z, context)
        x, log_det = self.univariate.decode(flat[:, self.mapped], theta)
        return self._merge(flat, x).view_as(z), sum_event(log_det)

    def _split(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        flat = x.flatten(1)
        seen = flat[:, self.passed]
        if context is not None:
            seen = torch.cat([seen, context.flatten(1)], 1)
        return flat, self.network(seen).view(-1, len(self.mapped), self.univariate.size)

    def _merge(self, flat: Tensor, mapped: Tensor) -> Tensor:
        return torch.cat([flat[:, self.passed], mapped], 1)[:, self.merge]
