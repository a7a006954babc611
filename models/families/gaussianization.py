"""Families that transform each coordinate to a normal one, then mix the coordinates."""

from dataclasses import dataclass

from models.bijection import Bijection, Shape
from models.families.family import Family
from models.layers import Householder, IterativeGaussianization, MarginalMixture

ROTATIONS = ("mixed", "random", "pca", "none")


@dataclass(frozen=True, kw_only=True)
class Gaussianization(Family):
    """Marginal maps by mixtures of logistics and rotations, in turn (Meng et al. 2020).

    Args:
        components: number of components of each coordinate's mixture.
        reflections: number of Householder reflections of a rotation; as many as coordinates if
            left out.
    """

    components: int = 8
    reflections: int | None = None

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` marginal maps, with a rotation between each two."""
        layers: list[Bijection] = []
        for i in range(self.transforms):
            if i > 0:
                layers.append(Householder(event_shape, self.reflections))
            layers.append(
                MarginalMixture(event_shape, self.components, self.conditioner, context_shape)
            )
        return layers


@dataclass(frozen=True, kw_only=True)
class IterativelyGaussianized(Family):
    """Gaussianization fitted step by step, without gradients (Laparra et al. 2011, RBIG).

    With `transforms = 1` and `rotation = "none"` it is the Gaussian copula. The fit stops at the
    step after which validation rows score no better.

    Args:
        transforms: largest number of steps.
        knots: number of knots of each coordinate's splines.
        rotation: the linear map of a step: `pca`, `random`, the two in turn (`mixed`), or `none`,
            which only whitens.
    """

    without_gradients = True

    transforms: int = 100
    knots: int = 32
    rotation: str = "mixed"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rotation not in ROTATIONS:
            raise ValueError(f"rotation is one of {', '.join(ROTATIONS)}, not {self.rotation!r}")

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """The layer that holds the steps, of which there are none before the fit."""
        return [IterativeGaussianization(event_shape, self.knots, context_shape)]
