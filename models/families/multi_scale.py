"""What families that can halve images have."""

from dataclasses import dataclass, replace
from typing import ClassVar

from models.bijection import Bijection, Shape
from models.families.family import Family
from models.layers import Layers, is_image, levels_allowed, multi_scale
from models.networks import Conditioner


@dataclass(frozen=True, kw_only=True)
class MultiScale(Family):
    """A family that halves images, C × H × W, level by level; every latent is kept.

    Args:
        levels: how often both sides are halved. None for as often as the shape allows, at most
            `most_levels` times.
        places: whether each pixel has biases of its own in the networks, for images that are
            framed alike, such as centred digits.
    """

    levels: int | None = None
    places: bool = False
    most_levels: ClassVar[int] = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.levels is not None and self.levels < 0:
            raise ValueError(f"levels is at least 0, got {self.levels}")

    @property
    def conditioner(self) -> Conditioner:
        """The shape of each layer's network."""
        return replace(super().conditioner, places=self.places)

    def takes_image(self, event_shape: Shape) -> bool:
        """Whether rows are images.

        Raises:
            ValueError: they are not, but levels or places were asked for.
        """
        image = is_image(event_shape)
        if self.places and not image:
            raise ValueError(f"places are for images, C × H × W, not for rows of {event_shape}")
        if self.levels is not None and not image:
            raise ValueError(f"levels are for images, C × H × W, not for rows of {event_shape}")
        return image

    def image_layers(self, event_shape: Shape, before: Layers, after: Layers) -> list[Bijection]:
        """The layers of `images.multi_scale`."""
        allowed = min(levels_allowed(event_shape), self.most_levels)
        levels = allowed if self.levels is None else self.levels
        return multi_scale(event_shape, levels, before, after)
