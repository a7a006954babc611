"""What every family of the zoo has."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

from models.bijection import Bijection, Shape
from models.networks import Conditioner


@dataclass(frozen=True, kw_only=True)
class Family(ABC):
    """Options of a family, and the layers that they make.

    Args:
        transforms: number of learned layers.
        hidden, activation, dropout: of the conditioner networks (`networks.Conditioner`).
        zero_start: whether those start at zero, and so the flow as (nearly) the identity.
        base: a key of `zoo.BASES`.
        base_options: arguments of the base distribution; its defaults where left out.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    without_gradients: ClassVar[bool] = False
    """Fitted step by step (`training.gaussianize`), not by following gradients."""

    transforms: int = 5
    hidden: tuple[int, ...] = (256, 256)
    activation: str = "relu"
    dropout: float = 0.0
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
        return Conditioner(tuple(self.hidden), self.activation, self.dropout, self.zero_start)

    @abstractmethod
    def layers(self, event_shape: Shape, context_shape: Shape | None) -> list[Bijection]:
        """The learned layers, in the order of encoding."""
