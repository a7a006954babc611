"""Families for images, which take vectors too."""

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

    Kingma & Dhariwal 2018. Vectors have the same steps with a linear map of all coordinates.
    `transforms` is the number of steps, for images at each level; there `hidden` are channels.

    Args:
        seed: seed of the random rotations that the linear maps are initialized to.
        linear: whether there are linear maps. Without them every second coupling maps what the
            coupling before it passed through; for images, a checkerboard of the pixels that were
            squeezed together. Splines fit values that repeat, such as dark pixels, best when
            these are not mixed.
    """

    seed: int = 0
    linear: bool = True

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` steps, at each level."""
        seeds = itertools.count(self.seed)

        def steps(shape: Shape) -> list[Bijection]:
            layers: list[Bijection] = []
            for i in range(self.transforms):
                layers.append(ActNorm(shape))
                if self.linear:
                    layers.append(LU(shape, seed=next(seeds)))
                layers.append(self._coupling(shape, i, context_shape))
            return layers

        if self.takes_image(event_shape):
            return self.image_layers(event_shape, lambda _: [], steps)
        return steps(event_shape)

    def _coupling(self, shape: Shape, i: int, context_shape: Shape | None) -> Bijection:
        parity = 0 if self.linear else i % 2
        if len(shape) == 3:
            half = (half_of_channels if self.linear else opposite_pixels)(shape, parity)
            return ChannelCoupling(shape, self._map(), half, self.conditioner, context_shape)
        half = half_of_channels((math.prod(shape),), parity)
        return Coupling(shape, self._map(), half, self.conditioner, context_shape)

    def _map(self) -> UnivariateMap:
        return Affine(bound=2.0)


@dataclass(frozen=True, kw_only=True)
class Nsf(Glow):
    """Glow's steps with spline couplings, RQ-NSF (C) (Durkan et al. 2019).

    Args:
        bins, bound: options of `splines.RationalQuadratic`.
    """

    bins: int = 8
    bound: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._map()  # checks its options

    def _map(self) -> UnivariateMap:
        return RationalQuadratic(self.bins, self.bound)


@dataclass(frozen=True, kw_only=True)
class MintNet(MultiScale):
    """Masked convolutions whose order is reversed from layer to layer (Song et al. 2019).

    Images, C × H × W, are squeezed once if their sides are even; `transforms` is the number of
    layers at each level. Vectors are treated as images of one pixel.
    """

    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    max_levels = 1

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` masked convolutions at each level, each after a normalisation."""

        def steps(shape: Shape) -> list[Bijection]:
            layers: list[Bijection] = []
            for i in range(self.transforms):
                reverse = i % 2 == 1
                layers.append(ActNorm(shape))
                layers.append(MaskedConvolution(shape, self.conditioner, reverse, context_shape))
            return layers

        if self.takes_image(event_shape):
            return self.image_layers(event_shape, lambda _: [], steps)
        return steps(event_shape)
