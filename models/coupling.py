"""Coupling layers: one part of a row passes through and steers the map of the other."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from models.bijection import Bijection, sum_event
from models.elementwise import UnivariateMap
from models.networks import MLP, Conditioner, ConvNet


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


class ImageCoupling(Bijection):
    """Coupling layer of an image, steered by a convolutional network.

    Dinh et al. 2017, §3.4: z = b ⊙ x + (1 − b) ⊙ map(x; network(b ⊙ x)), with b a checkerboard or
    a part of the channels (`images.checkerboard`, `images.half_of_channels`).

    Args:
        event_shape: C × H × W.
        univariate: the map of each steered element.
        mask: C × H × W, True where an element passes through.
        conditioner: hidden channels of the network.
        context_shape: shape of the conditioning vector, or None; the network reads it as constant
            channels.

    Raises:
        ValueError: a mask of another shape, or one that leaves nothing to be mapped.
    """

    mask: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        univariate: UnivariateMap,
        mask: Tensor,
        conditioner: Conditioner,
        context_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(event_shape, context_shape=context_shape)
        if mask.ndim != 3 or mask.shape != self.event_shape:
            raise ValueError(f"a mask of shape {tuple(mask.shape)} for images {self.event_shape}")
        if bool(mask.all()):
            raise ValueError(f"the mask of images {self.event_shape} passes every element through")
        self.univariate = univariate
        self.register_buffer("mask", mask.clone(), persistent=False)
        channels = self.event_shape[0]
        inputs = channels + self.context_features
        self.network = ConvNet(inputs, channels * univariate.size, conditioner)

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, log_det = self.univariate.encode(x, self._theta(x, context))
        return self._merge(x, z), self._sum_mapped(log_det)

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, log_det = self.univariate.decode(z, self._theta(z, context))
        return self._merge(z, x), self._sum_mapped(log_det)

    def _theta(self, x: Tensor, context: Tensor | None) -> Tensor:
        seen = torch.where(self.mask, x, 0)
        if context is not None:
            constant = context.flatten(1)[:, :, None, None].expand(-1, -1, *x.shape[2:])
            seen = torch.cat([seen, constant], 1)
        theta: Tensor = self.network(seen)
        return theta.view(-1, self.univariate.size, *self.event_shape).movedim(1, -1)

    def _merge(self, passed: Tensor, mapped: Tensor) -> Tensor:
        return torch.where(self.mask, passed, mapped)

    def _sum_mapped(self, log_det: Tensor) -> Tensor:
        return sum_event(torch.where(self.mask, 0, log_det))
