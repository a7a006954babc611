"""The base class of families whose layers use a univariate map, named by an option."""

from dataclasses import dataclass
from typing import ClassVar

from models.families.family import Family
from models.numerics import (
    Additive,
    Affine,
    GaussianMixture,
    LogisticMixture,
    RationalQuadratic,
    UnivariateMap,
)


@dataclass(frozen=True, kw_only=True)
class UnivariateFamily(Family):
    """A family whose layers map each coordinate by a univariate map.

    Args:
        univariate: one of `UNIVARIATE`.
        bins, bound: of `spline`: number of bins, and half the width of the interval they divide.
        components: number of components of the mixtures.
    """

    UNIVARIATE: ClassVar[tuple[str, ...]] = (
        "additive",
        "affine",
        "spline",
        "logistic-mixture",
        "gaussian-mixture",
    )

    univariate: str = "affine"
    bins: int = 8
    bound: float = 5.0
    components: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        self.univariate_map(self.univariate)  # checks its options

    def univariate_map(self, name: str) -> UnivariateMap:
        """The map of that name, with the options of this family.

        Raises:
            ValueError: no such map.
        """
        if name == "additive":
            return Additive()
        if name == "affine":
            return Affine()
        if name == "spline":
            return RationalQuadratic(self.bins, self.bound)
        if name == "logistic-mixture":
            return LogisticMixture(self.components)
        if name == "gaussian-mixture":
            return GaussianMixture(self.components)
        raise ValueError(f"univariate is one of {', '.join(self.UNIVARIATE)}, not {name!r}")
