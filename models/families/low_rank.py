"""Families of low-rank maps, each of which moves a row along few directions."""

from dataclasses import dataclass

from models.bijection import Bijection, Shape
from models.families.family import Family
from models.layers import Planar, Radial, Sylvester


@dataclass(frozen=True, kw_only=True)
class PlanarFlow(Family):
    """Planar maps (Rezende & Mohamed 2015, eq. 10).

    `hidden` are the widths of the networks of a context; without a context there are none.
    """

    transforms: int = 16

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` planar maps."""
        return [
            Planar(event_shape, self.conditioner, context_shape) for _ in range(self.transforms)
        ]


@dataclass(frozen=True, kw_only=True)
class RadialFlow(Family):
    """Radial maps (Rezende & Mohamed 2015, eq. 14).

    `hidden` are the widths of the networks of a context; without a context there are none.
    """

    transforms: int = 16

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` radial maps."""
        return [
            Radial(event_shape, self.conditioner, context_shape) for _ in range(self.transforms)
        ]


@dataclass(frozen=True, kw_only=True)
class SylvesterFlow(Family):
    """Sylvester maps (van den Berg et al. 2018).

    `hidden` are the widths of the networks of a context; without a context there are none.

    Args:
        rank: number of directions along which each map moves a row; all if it is larger.
    """

    transforms: int = 8
    rank: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank < 1:
            raise ValueError(f"rank is at least 1, got {self.rank}")

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` Sylvester maps."""
        return [
            Sylvester(event_shape, self.conditioner, rank=self.rank, context_shape=context_shape)
            for _ in range(self.transforms)
        ]
