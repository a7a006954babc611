"""Coupling layers: one part of a row passes through and parameterizes the map of the other."""

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from models.bijection import Bijection, sum_event
from models.networks import MLP, Conditioner, ConvNet
from models.numerics import UnivariateMap


class _FirstAxisCoupling(Bijection):
    """A coupling that splits a row along its first axis, by the indices that pass through."""

    passed: Tensor
    mapped: Tensor
    merge: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        count: int,
        univariate: UnivariateMap,
        passed: Sequence[int],
        context_shape: Sequence[int] | None,
    ) -> None:
        super().__init__(event_shape, context_shape=context_shape)
        mapped = sorted(set(range(count)) - set(passed))
        if not mapped or not set(passed) <= set(range(count)):
            raise ValueError(
                f"passed must be a proper subset of 0 … {count - 1}, got {list(passed)}"
            )
        self.univariate = univariate
        self.register_buffer("passed", torch.tensor(passed, dtype=torch.long), persistent=False)
        self.register_buffer("mapped", torch.tensor(mapped), persistent=False)
        self.register_buffer("merge", torch.tensor([*passed, *mapped]).argsort(), persistent=False)

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        entries = self._entries(x)
        passed = entries[:, self.passed]
        z, log_det = self.univariate.encode(entries[:, self.mapped], self._theta(passed, context))
        return self._merge(passed, z).view_as(x), sum_event(log_det)

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        entries = self._entries(z)
        passed = entries[:, self.passed]
        x, log_det = self.univariate.decode(entries[:, self.mapped], self._theta(passed, context))
        return self._merge(passed, x).view_as(z), sum_event(log_det)

    def _merge(self, passed: Tensor, mapped: Tensor) -> Tensor:
        return torch.cat([passed, mapped], 1)[:, self.merge]

    @abstractmethod
    def _entries(self, x: Tensor) -> Tensor:
        """Rows in the shape whose first axis is split."""

    @abstractmethod
    def _theta(self, passed: Tensor, context: Tensor | None) -> Tensor:
        """Parameters of the map of each element, computed from what passes through."""


class Coupling(_FirstAxisCoupling):
    """Coupling layer; NICE with an additive map, RealNVP with an affine one.

    Dinh et al. 2014, eqs. 7–8; Dinh et al. 2017, eqs. 4–5. Both directions cost one pass.

    Args:
        event_shape: shape of one row; D is its number of elements.
        univariate: the map of each coordinate that does not pass through.
        passed: the coordinates that pass through, a proper subset of 0 … D−1; empty for D = 1.
        conditioner: shape of the network.
        context_shape: shape of the conditioning vector, or None.

    Raises:
        ValueError: `passed` holds an index outside 0 … D−1, or all of them.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        univariate: UnivariateMap,
        passed: Sequence[int],
        conditioner: Conditioner,
        context_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(event_shape, math.prod(event_shape), univariate, passed, context_shape)
        inputs = len(passed) + self.context_features
        self.network = MLP(inputs, len(self.mapped) * univariate.size, conditioner)

    def _entries(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def _theta(self, passed: Tensor, context: Tensor | None) -> Tensor:
        inputs = passed if context is None else torch.cat([passed, context.flatten(1)], 1)
        theta: Tensor = self.network(inputs)
        return theta.view(-1, len(self.mapped), self.univariate.size)


class ChannelCoupling(_FirstAxisCoupling):
    """Coupling layer of an image: a convolutional network of some channels maps the others.

    Dinh et al. 2017, §3.4; Kingma & Dhariwal 2018, §3.3. Both directions cost one pass.

    Args:
        event_shape: C × H × W.
        univariate: the map of each element of the other channels.
        passed: the channels that pass through, a proper subset of 0 … C−1.
        conditioner: hidden channels of the network.
        context_shape: shape of the conditioning vector, or None; the network reads it as constant
            channels.

    Raises:
        ValueError: `passed` holds a channel outside 0 … C−1, or all of them.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        univariate: UnivariateMap,
        passed: Sequence[int],
        conditioner: Conditioner,
        context_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(event_shape, event_shape[0], univariate, passed, context_shape)
        # where no channel passes, the network reads an empty image, in which it can tell the border
        inputs = max(1, len(passed)) + self.context_features
        outputs = len(self.mapped) * univariate.size
        self.network = ConvNet(inputs, outputs, event_shape[1:], conditioner)

    def _entries(self, x: Tensor) -> Tensor:
        return x

    def _theta(self, passed: Tensor, context: Tensor | None) -> Tensor:
        if len(self.passed) == 0:
            passed = passed.new_zeros(passed.shape[0], 1, *self.event_shape[1:])
        theta: Tensor = self.network(_with_context(passed, context))
        shape = (self.univariate.size, len(self.mapped), *self.event_shape[1:])
        return theta.view(-1, *shape).movedim(1, -1)


class MaskCoupling(Bijection):
    """Coupling layer of an image by a mask, such as a checkerboard (`images.checkerboard`).

    Dinh et al. 2017, §3.4: z = b ⊙ x + (1 − b) ⊙ map(x; network(b ⊙ x)).

    Args:
        event_shape: C × H × W.
        univariate: the map of each element that does not pass through.
        mask: C × H × W, True where an element passes through.
        conditioner: hidden channels of the network.
        context_shape: shape of the conditioning vector, or None; the network reads it as constant
            channels.

    Raises:
        ValueError: a mask of another shape, or one that passes every element through.
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
            raise ValueError(
                f"a mask of shape {tuple(mask.shape)} does not fit images {self.event_shape}"
            )
        if bool(mask.all()):
            raise ValueError(f"the mask of images {self.event_shape} passes every element through")
        self.univariate = univariate
        self.register_buffer("mask", mask.clone(), persistent=False)
        channels = self.event_shape[0]
        inputs = channels + self.context_features
        outputs = channels * univariate.size
        self.network = ConvNet(inputs, outputs, event_shape[1:], conditioner)

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, log_det = self.univariate.encode(x, self._theta(x, context))
        return self._merge(x, z), self._sum_mapped(log_det)

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, log_det = self.univariate.decode(z, self._theta(z, context))
        return self._merge(z, x), self._sum_mapped(log_det)

    def _theta(self, x: Tensor, context: Tensor | None) -> Tensor:
        theta: Tensor = self.network(_with_context(torch.where(self.mask, x, 0), context))
        return theta.view(-1, self.univariate.size, *self.event_shape).movedim(1, -1)

    def _merge(self, passed: Tensor, mapped: Tensor) -> Tensor:
        return torch.where(self.mask, passed, mapped)

    def _sum_mapped(self, log_det: Tensor) -> Tensor:
        return sum_event(torch.where(self.mask, 0, log_det))


def _with_context(image: Tensor, context: Tensor | None) -> Tensor:
    """Append the context to an image as constant channels."""
    if context is None:
        return image
    constant = context.flatten(1)[:, :, None, None].expand(-1, -1, *image.shape[2:])
    return torch.cat([image, constant], 1)
