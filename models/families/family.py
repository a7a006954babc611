"""The base class of all families."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from models.bijection import Bijection, Shape
from models.networks import Conditioner

# So many layers can start at random: float64 could not invert 64 of them.
FULL_SCALE_LAYERS = 8


def with_current_names(
    values: Mapping[str, Any], former_names: Mapping[str, str]
) -> dict[str, Any]:
    """The same options or keys by their current names.

    Args:
        values: by current or former names.
        former_names: former name → current name.

    Raises:
        ValueError: a value is there by both of its names.
    """
    renamed = dict(values)
    for former, current in former_names.items():
        if former in renamed:
            if current in renamed:
                raise ValueError(f"{former!r} is the former name of {current!r}: give one")
            renamed[current] = renamed.pop(former)
    return renamed


@dataclass(frozen=True, kw_only=True)
class Family(ABC):
    """The options of a family, and the layers that it builds from them.

    Args:
        transforms: number of learned layers.
        hidden, activation, dropout, residual: of the conditioner networks
            (`networks.Conditioner`).
        zero_start: whether the output layers of those networks start at zero, so that the flow
            starts as (nearly) the identity; otherwise they start at random, scaled down where
            there are more than `FULL_SCALE_LAYERS`.
        base: a key of `zoo.BASES`.
        base_options: arguments of the base distribution; its defaults if left out.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid", "allow_inf_nan": False}
    without_gradients: ClassVar[bool] = False
    """Whether it is fitted step by step (`training.fit.iterative`), not by gradients."""
    former_names: ClassVar[Mapping[str, str]] = {}
    """Options that were renamed: former name → current name. Stored runs have the former ones."""

    transforms: int = 5
    hidden: tuple[int, ...] = (256, 256)
    activation: str = "relu"
    dropout: float = 0.0
    residual: bool = False
    zero_start: bool = True
    base: str = "normal"
    base_options: dict[str, int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.transforms < 1:
            raise ValueError(f"transforms is at least 1, got {self.transforms}")
        _ = self.conditioner  # checks its own options

    @property
    def conditioner(self) -> Conditioner:
        """The shape of the network in each layer."""
        scale = 0.0 if self.zero_start else min(1.0, FULL_SCALE_LAYERS / self.transforms)
        hidden = tuple(self.hidden)
        return Conditioner(hidden, self.activation, self.dropout, scale, self.residual)

    @abstractmethod
    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """The learned layers, in the order of encoding."""
