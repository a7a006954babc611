"""Families of coupling layers."""

import math
import random
from dataclasses import dataclass
from typing import ClassVar

from models.bijection import Bijection, Shape
from models.families.multi_scale import MultiScale
from models.layers import (
    ChannelCoupling,
    Coupling,
    MaskCoupling,
    Rescale,
    checkerboard,
    half_of_channels,
)
from models.numerics import Additive, Affine, UnivariateMap


@dataclass(frozen=True, kw_only=True)
class RealNVP(MultiScale):
    """Affine couplings of bounded scale (Dinh et al. 2017).

    Images, C × H × W, have `transforms` couplings by a checkerboard before each squeeze and as
    many by halves of the channels after it; there `hidden` are channels.

    Args:
        seed: seed of the random halves. Every second layer maps the half that the layer before
            it passed through.
    """

    seed: int = 0
    univariate: ClassVar[UnivariateMap] = Affine()
    # Images have many more couplings, and their scales multiply: with e^±4 each, a round trip of a
    # 4 × 4 image through random parameters lost twenty times as much as with e^±2.
    image_univariate: ClassVar[UnivariateMap] = Affine(bound=2.0)

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` couplings; for images, as many of each kind at each level."""
        if self.takes_image(event_shape):
            parities = [i % 2 for i in range(self.transforms)]
            univariate, conditioner = self.image_univariate, self.conditioner
            return self.image_layers(
                event_shape,
                before=lambda shape: [
                    MaskCoupling(
                        shape, univariate, checkerboard(shape, parity), conditioner, context_shape
                    )
                    for parity in parities
                ],
                after=lambda shape: [
                    ChannelCoupling(
                        shape,
                        univariate,
                        half_of_channels(shape, parity),
                        conditioner,
                        context_shape,
                    )
                    for parity in parities
                ],
            )
        n = math.prod(event_shape)
        shuffler = random.Random(self.seed)
        halves: list[list[int]] = []
        while len(halves) < self.transforms:
            order = shuffler.sample(range(n), n)
            halves += [sorted(order[: n // 2]), sorted(order[n // 2 :]) if n > 1 else []]
        return [
            Coupling(event_shape, self.univariate, half, self.conditioner, context_shape)
            for half in halves[: self.transforms]
        ]


@dataclass(frozen=True, kw_only=True)
class Nice(RealNVP):
    """Additive couplings, one learned rescaling and a logistic base (Dinh et al. 2014)."""

    base: str = "logistic"
    univariate = image_univariate = Additive()

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` couplings and the rescaling."""
        return [*super().layers(event_shape, context_shape), Rescale(event_shape)]
