"""The base class of families with multi-scale layers for images."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from models.bijection import Bijection, Shape
from models.families.family import Family
from models.layers import LayerFactory, is_image, levels_allowed, multi_scale
from models.networks import Conditioner


@dataclass(frozen=True, kw_only=True)
class MultiScale(Family):
    """A family that halves images, C × H × W, level by level, and keeps every latent.

    Args:
        levels: how often both sides are halved; None for as often as the shape allows, at most
            `max_levels` times.
        positional_bias: whether the networks have a bias for each pixel, for images that are
            framed alike, such as centred digits.
    """

    former_names: ClassVar[Mapping[str, str]] = {"places": "positional_bias"}

    levels: int | None = None
    positional_bias: bool = False
    max_levels: ClassVar[int] = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.levels is not None and self.levels < 0:
            raise ValueError(f"levels is at least 0, got {self.levels}")

    @property
    def conditioner(self) -> Conditioner:
        """The shape of the network in each layer."""
        return replace(super().conditioner, positional_bias=self.positional_bias)

    def takes_image(self, event_shape: Shape) -> bool:
        """Whether rows are images.

        Raises:
            ValueError: they are not, but `levels` or `positional_bias` is set.
        """
        image = is_image(event_shape)
        if self.positional_bias and not image:
            raise ValueError(
                f"positional_bias is for images, C × H × W, not for rows of {event_shape}"
            )
        if self.levels is not None and not image:
            raise ValueError(f"levels is for images, C × H × W, not for rows of {event_shape}")
        return image

    def image_layers(
        self, event_shape: Shape, before: LayerFactory, after: LayerFactory
    ) -> list[Bijection]:
        """The layers of `images.multi_scale`."""
        allowed = min(levels_allowed(event_shape), self.max_levels)
        levels = allowed if self.levels is None else self.levels
        return multi_scale(event_shape, levels, before, after)
