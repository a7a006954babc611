"""Families of autoregressive layers."""

import math
import random
from dataclasses import dataclass

from models.bijection import Bijection, Inverted, Shape
from models.families.univariate import UnivariateFamily
from models.layers import LU, MaskedAutoregressive


@dataclass(frozen=True, kw_only=True)
class Maf(UnivariateFamily):
    """Masked autoregressive layers, Gaussian conditionals by default (Papamakarios et al. 2017).

    Args:
        order: `reverse` reverses the order of the coordinates from layer to layer; `random`
            draws a new order for each layer.
        seed: seed of the random orders, and of the initial values of the linear maps.
        last: the univariate map of the layer next to the base; None for that of the other layers.
        linear: whether a learned linear map (`linear.LU`) comes before each layer.
    """

    order: str = "reverse"
    seed: int = 0
    last: str | None = None
    linear: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order not in ("reverse", "random"):
            raise ValueError(f"order is reverse or random, not {self.order!r}")
        if self.last is not None and self.last not in self.UNIVARIATE:
            raise ValueError(f"last is one of {', '.join(self.UNIVARIATE)}, not {self.last!r}")
        self.univariate_map(self.last or self.univariate)

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` masked autoregressive layers, with linear maps between them if `linear`."""
        layers: list[Bijection] = []
        for i, order in enumerate(self._orders(math.prod(event_shape))):
            name = self.last if self.last and i == self.transforms - 1 else self.univariate
            if self.linear:
                layers.append(LU(event_shape))
            layers.append(
                MaskedAutoregressive(
                    event_shape, self.univariate_map(name), order, self.conditioner, context_shape
                )
            )
        return layers

    def _orders(self, n: int) -> list[list[int]]:
        """The order of the n coordinates in each layer."""
        forward, shuffler = list(range(n)), random.Random(self.seed)
        if self.order == "random":
            return [shuffler.sample(forward, n) for _ in range(self.transforms)]
        return [forward if i % 2 == 0 else forward[::-1] for i in range(self.transforms)]


@dataclass(frozen=True, kw_only=True)
class Iaf(Maf):
    """MAF with each masked layer inverted: decoding is the parallel direction (Kingma et al. 2016).

    Linear maps are not inverted, so that a student can copy those of a MAF (`training.distill`).
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dropout:
            # each pass of the sequential encode would drop other units
            raise ValueError("iaf takes no dropout: its encode runs the network many times")

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` inverted masked layers, with linear maps between them if `linear`."""
        return [
            Inverted(layer) if isinstance(layer, MaskedAutoregressive) else layer
            for layer in super().layers(event_shape, context_shape)
        ]


@dataclass(frozen=True, kw_only=True)
class NsfAutoregressive(Maf):
    """Autoregressive neural spline flow, RQ-NSF (AR) (Durkan et al. 2019)."""

    univariate: str = "spline"
    linear: bool = True


@dataclass(frozen=True, kw_only=True)
class MafLogistic(Maf):
    """MAF whose conditionals are mixtures of logistics, on a logistic base.

    Ho et al. 2019 (Flow++), eq. 9, with autoregressive conditioners.
    """

    univariate: str = "logistic-mixture"
    base: str = "logistic"


@dataclass(frozen=True, kw_only=True)
class MafMog(Maf):
    """MAF MoG: mixtures of Gaussians in the layer next to the base (Papamakarios et al. 2017)."""

    last: str | None = "gaussian-mixture"
