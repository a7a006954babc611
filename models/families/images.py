"""Families made for images, which take other rows too."""

import itertools
import math
from dataclasses import dataclass

from models.bijection import Bijection, Shape
from models.families.multi_scale import MultiScale
from models.layers import (
    LU,
    ActNorm,
    ChannelCoupling,
    Coupling,
    MaskedConvolution,
    half_of_channels,
    opposite_pixels,
)
from models.numerics import Affine, RationalQuadratic, UnivariateMap


@dataclass(frozen=True, kw_only=True)
class Glow(MultiScale):
    """Steps of normalisation, a linear map of the channels and an affine coupling.

    Kingma & Dhariwal 2018. Rows that are no images have the same steps with a linear map of all
    coordinates. `transforms` is the number of steps, of images: at each level; `hidden` are
    channels there.

    Args:
        seed: of the random rotations that the linear maps start as.
        linear: whether there are linear maps; without them every second coupling maps what the one
            before it passed on, of images a checkerboard of the pixels that were squeezed together.
            Splines of values that pile up, such as dark pixels, fit them best unmixed.
    """

    seed: int = 0
    linear: bool = True

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` steps, at each level."""
        seeds = itertools.count(self.seed)

        def steps(shape: Shape) -> list[Bijection]:
            made: list[Bijection] = []
            for i in range(self.transforms):
                made.append(ActNorm(shape))
                if self.linear:
                    made.append(LU(shape, seed=next(seeds)))
                made.append(self._coupling(shape, i, context_shape))
            return made

        if self.takes_image(event_shape):
            return self.image_layers(event_shape, lambda _: [], steps)
        return steps(event_shape)

    def _coupling(self, shape: Shape, i: int, context_shape: Shape | None) -> Bijection:
        turn = 0 if self.linear else i % 2
        if len(shape) == 3:
            half = (half_of_channels if self.linear else opposite_pixels)(shape, turn)
            return ChannelCoupling(shape, self._map(), half, self.conditioner, context_shape)
        half = half_of_channels((math.prod(shape),), turn)
        return Coupling(shape, self._map(), half, self.conditioner, context_shape)

    def _map(self) -> UnivariateMap:
        return Affine(bound=2.0)


@dataclass(frozen=True, kw_only=True)
class Nsf(Glow):
    """Glow's steps with spline couplings, RQ-NSF (C) (Durkan et al. 2019).

    Args:
        bins, bound: of `splines.RationalQuadratic`.
    """

    bins: int = 8
    bound: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._map()  # which checks its options

    def _map(self) -> UnivariateMap:
        return RationalQuadratic(self.bins, self.bound)


@dataclass(frozen=True, kw_only=True)
class MintNet(MultiScale):
    """Masked convolutions, their order reversed from layer to layer (Song et al. 2019).

    Images, C × H × W, are squeezed once where their sides are even; `transforms` is the number
    of layers at each level. Rows of one axis are images of one pixel.
    """

    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    most_levels = 1

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` masked convolutions after a normalisation each, at each level."""

        def steps(shape: Shape) -> list[Bijection]:
            made: list[Bijection] = []
            for i in range(self.transforms):
                made.append(ActNorm(shape))
                made.append(MaskedConvolution(shape, self.conditioner, i % 2 == 1, context_shape))
            return made

        if self.takes_image(event_shape):
            return self.image_layers(event_shape, lambda _: [], steps)
        return steps(event_shape)
