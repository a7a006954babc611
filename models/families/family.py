"""What every family of the zoo has."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

from models.bijection import Bijection, Shape
from models.networks import Conditioner

# So many layers may start at random: 64 were beyond inversion, even in float64.
FREE_LAYERS = 8


@dataclass(frozen=True, kw_only=True)
class Family(ABC):
    """Options of a family, and the layers that they make.

    Args:
        transforms: number of learned layers.
        hidden, activation, dropout, residual: of the conditioner networks
            (`networks.Conditioner`).
        zero_start: whether those start at zero, and so the flow as (nearly) the identity; if not,
            many layers start nearer to it than few.
        base: a key of `zoo.BASES`.
        base_options: arguments of the base distribution; its defaults where left out.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    without_gradients: ClassVar[bool] = False
    """Fitted step by step (`training.fit.iterative`), not by following gradients."""

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
        _ = self.conditioner  # which checks its own

    @property
    def conditioner(self) -> Conditioner:
        """The shape of each layer's network."""
        scale = 0.0 if self.zero_start else min(1.0, FREE_LAYERS / self.transforms)
        hidden = tuple(self.hidden)
        return Conditioner(hidden, self.activation, self.dropout, scale, self.residual)

    @abstractmethod
    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """The learned layers, in the order of encoding."""
