"""The one registry: a family's name and options → a flow.

Recipes, checkpoints, export and the law tests all build flows here and nowhere else.
"""

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from models.autoregressive import MaskedAutoregressive
from models.bijection import Bijection, Compose, Inverted, Shape
from models.coupling import Coupling
from models.distributions import Base, Logistic, Normal
from models.elementwise import Additive, Affine, UnivariateMap
from models.flow import Flow
from models.linear import Rescale
from models.networks import Conditioner
from models.preprocessing import Logit, SoftLogit, Standardize


@dataclass(frozen=True, kw_only=True)
class Family(ABC):
    """Options of a family, and the layers that they make.

    Args:
        transforms: number of learned layers.
        hidden, activation, dropout: of the conditioner networks (`networks.Conditioner`).
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    base: ClassVar[type[Base]] = Normal

    transforms: int = 5
    hidden: tuple[int, ...] = (256, 256)
    activation: str = "relu"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.transforms < 1:
            raise ValueError(f"transforms is at least 1, got {self.transforms}")
        _ = self.conditioner  # which checks its own

    @property
    def conditioner(self) -> Conditioner:
        """The shape of each layer's network."""
        return Conditioner(tuple(self.hidden), self.activation, self.dropout)

    @abstractmethod
    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """The learned layers, in the order of encoding."""


@dataclass(frozen=True, kw_only=True)
class RealNVP(Family):
    """Affine couplings of bounded scale (Dinh et al. 2017).

    Args:
        seed: of the random halves; every second layer maps what the one before it passed on.
    """

    seed: int = 0
    univariate: ClassVar[UnivariateMap] = Affine()

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` couplings."""
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
    """Additive couplings, one learned rescaling, logistic base (Dinh et al. 2014)."""

    base = Logistic
    univariate = Additive()

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` couplings and the rescaling."""
        return [*super().layers(event_shape, context_shape), Rescale(event_shape)]


@dataclass(frozen=True, kw_only=True)
class Maf(Family):
    """Gaussian conditionals, the order reversed from layer to layer (Papamakarios et al. 2017)."""

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` masked autoregressive layers."""
        order = list(range(math.prod(event_shape)))
        return [
            MaskedAutoregressive(
                event_shape,
                Affine(),
                order if i % 2 == 0 else order[::-1],
                self.conditioner,
                context_shape,
            )
            for i in range(self.transforms)
        ]


@dataclass(frozen=True, kw_only=True)
class Iaf(Maf):
    """MAF with every layer inverted: decoding is the parallel direction (Kingma et al. 2016)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dropout:
            # each pass of the sequential encode would drop other units: no one function is left
            raise ValueError("iaf takes no dropout: its encode runs the network many times")

    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """`transforms` inverted masked autoregressive layers."""
        return [Inverted(layer) for layer in super().layers(event_shape, context_shape)]


FAMILIES: dict[str, type[Family]] = {"nice": Nice, "realnvp": RealNVP, "maf": Maf, "iaf": Iaf}

PREPROCESSING: dict[str, Callable[..., Bijection]] = {
    "standardize": Standardize,
    "logit": Logit,
    "soft-logit": SoftLogit,
}


def build(
    family: str,
    event_shape: Sequence[int],
    *,
    context_shape: Sequence[int] | None = None,
    preprocessing: Sequence[Mapping[str, Any]] = (),
    options: Mapping[str, Any] | None = None,
) -> Flow:
    """Build a flow, freshly initialised, close to the identity after its preprocessing.

    Args:
        family: a key of `FAMILIES`.
        event_shape: shape of one data row.
        context_shape: shape of the conditioning vector of one row, or None.
        preprocessing: fixed first layers, each {"kind": a key of `PREPROCESSING`, …its arguments}.
        options: fields of the family's class; its defaults where left out.

    Raises:
        ValueError: an unknown family, preprocessing or option, or a value that makes no flow.
    """
    if family not in FAMILIES:
        raise ValueError(f"unknown family {family!r}: the zoo has {', '.join(sorted(FAMILIES))}")
    event = tuple(event_shape)
    context = None if context_shape is None else tuple(context_shape)
    try:
        chosen = FAMILIES[family](**(options or {}))
        fixed = [fixed_layer(event, **step) for step in preprocessing]
    except TypeError as error:  # an argument that is not there, or one left out
        raise ValueError(f"{family}: {error}") from None
    bijection = Compose([*fixed, *chosen.layers(event, context)])
    return Flow(chosen.base(bijection.latent_shape), bijection)


def fixed_layer(event_shape: Sequence[int], kind: str, **arguments: Any) -> Bijection:
    """Build one step of a flow's `preprocessing`.

    Raises:
        ValueError: an unknown kind, or values that make no layer.
    """
    if kind not in PREPROCESSING:
        raise ValueError(f"unknown preprocessing {kind!r}: one of {', '.join(PREPROCESSING)}")
    return PREPROCESSING[kind](event_shape, **arguments)
