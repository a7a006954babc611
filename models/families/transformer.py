"""Families of causal transformers over tokens: columns of a row, or patches of an image."""

import math
from dataclasses import dataclass, replace

from models.bijection import Bijection, Inverted, Shape
from models.families.univariate import UnivariateFamily
from models.layers import LU, TransformerAutoregressive, is_image
from models.networks import Conditioner


@dataclass(frozen=True, kw_only=True)
class Transformer(UnivariateFamily):
    """The conditional of each value given the tokens before its own (TarFlow, Zhai et al. 2024).

    Tokens are columns of a row, or square patches of an image in raster order; every second layer
    has the opposite order. `hidden` are the widths of the attention blocks of a layer, all equal.

    Args:
        heads: of each attention; they divide the width.
        patch: side of the patches of an image, which divides its sides; of other rows, how many
            values in sequence are a token.
        patch_hidden: widths of the masked network with which a value also reads those before it in
            its own token; without any, it reads them linearly.
        linear: whether a learned linear map (`linear.LU`) comes before each layer, for images one
            of their channels.
    """

    transforms: int = 4
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "gelu"
    heads: int = 4
    patch: int = 1
    patch_hidden: tuple[int, ...] = ()
    linear: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patch < 1:
            raise ValueError(f"patch is at least 1, got {self.patch}")
        try:
            _ = self.inner  # checks its own options
        except ValueError as error:
            raise ValueError(f"patch_hidden: {error}") from None

    @property
    def inner(self) -> Conditioner:
        """The shape of the masked network within a token."""
        return replace(self.conditioner, hidden=tuple(self.patch_hidden), dropout=0.0)

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` layers, with linear maps between them if `linear`."""
        order, values = self._tokens(event_shape)
        layers: list[Bijection] = []
        for i in range(self.transforms):
            if self.linear:
                layers.append(LU(event_shape))
            layers.append(
                TransformerAutoregressive(
                    event_shape,
                    self.univariate_map(self.univariate),
                    order if i % 2 == 0 else order[::-1],
                    values,
                    self.conditioner,
                    self.heads,
                    self.inner,
                    context_shape,
                )
            )
        return layers

    def _tokens(self, event_shape: Shape) -> tuple[list[int], int]:
        """The values of a row, token after token, and how many are a token.

        Raises:
            ValueError: tokens do not fill the row.
        """
        size = self.patch
        if not is_image(event_shape):
            count = math.prod(event_shape)
            if count % size:
                raise ValueError(f"patch divides the {count} values of a row, got {size}")
            return list(range(count)), size
        channels, height, width = event_shape
        if height % size or width % size:
            raise ValueError(f"patch divides both sides of {height} × {width}, got {size}")
        order = [
            (channel * height + y + dy) * width + x + dx
            for y in range(0, height, size)
            for x in range(0, width, size)
            for dy in range(size)
            for dx in range(size)
            for channel in range(channels)
        ]
        return order, channels * size * size


@dataclass(frozen=True, kw_only=True)
class ParallelTransformer(Transformer):
    """Transformer with each of its layers inverted: samples in one pass.

    Linear maps are not inverted, so that a student can copy those of a teacher
    (`training.distill`).
    """

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` inverted layers, with linear maps between them if `linear`."""
        return [
            Inverted(layer) if isinstance(layer, TransformerAutoregressive) else layer
            for layer in super().layers(event_shape, context_shape)
        ]
