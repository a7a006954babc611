"""Conditioner networks: they read one part of a row and steer the map of another."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def silu8(x: Tensor) -> Tensor:
    """SiLU cut off at 8, as ReLU6 is at 6: far from all data, deep networks stay bounded.

    What is inverted or drawn value by value reads its own output: through units without a bound,
    one value that is far off drives those after it to infinity.
    """
    # silu is never below -1; hardtanh has one kernel for its gradient where clamp has four
    return F.hardtanh(F.silu(x), -1.0, 8.0)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "silu": F.silu,
    "silu8": silu8,
    "gelu": F.gelu,
    "tanh": torch.tanh,
}


@dataclass(frozen=True)
class Conditioner:
    """The shape of a conditioner network, free of what it reads and steers.

    Args:
        hidden: widths of the hidden layers.
        activation: a key of `ACTIVATIONS`.
        dropout: share of hidden units left out in training.
        residual: each hidden layer after the first adds what it computes to what it reads.
        places: a convolutional network's first layer has biases of each pixel's own, or time's.
        initial_scale: what the last layer's first values are scaled by; at zero, what it steers
            starts as its identity.

    Raises:
        ValueError: no such activation, a width below one, a dropout outside [0, 1), or residual
            layers of unequal widths.
    """

    hidden: tuple[int, ...]
    activation: str = "relu"
    dropout: float = 0.0
    initial_scale: float = 0.0
    residual: bool = False
    positional_bias: bool = False

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation is one of {sorted(ACTIVATIONS)}, not {self.activation!r}")
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden widths are at least 1, got {list(self.hidden)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is in [0, 1), got {self.dropout}")
        if self.residual and len(set(self.hidden)) > 1:
            raise ValueError(f"residual layers are of equal widths, got {list(self.hidden)}")

    def initialize(self, last: nn.Module) -> None:
        """Scale the first values of a network's last layer."""
        with torch.no_grad():
            for parameter in last.parameters():
                parameter.mul_(self.initial_scale)

    def hidden_units(
        self, preactivation: Tensor, before: Tensor | None, training: bool = False
    ) -> Tensor:
        """What a hidden layer gives: activation, dropout in training, and the skip connection.

        Args:
            preactivation: of the layer.
            before: units of the hidden layer before it; None for the first.
            training: whether units are dropped.
        """
        units = F.dropout(ACTIVATIONS[self.activation](preactivation), self.dropout, training)
        return units + before if self.residual and before is not None else units

    def run(
        self, layers: Iterable[Callable[[Tensor], Tensor]], x: Tensor, training: bool
    ) -> Tensor:
        """A network of these layers, the last of which gives the output."""
        *hidden, last = layers
        units: Tensor | None = None
        for layer in hidden:
            units = self.hidden_units(layer(x if units is None else units), units, training)
        return last(x if units is None else units)


class Network(nn.Module, ABC):
    """A conditioner network; in training it may compute in a narrower number type.

    Only what runs inside the network is narrowed: it takes and gives the flow's own type, and
    the maps that it steers, log-determinants and sums never see another (`set_precision`).
    """

    precision: torch.dtype | None = None

    def forward(self, *inputs: Any) -> Tensor:
        """What `_forward` computes, in the type of the first input."""
        if self.precision is None or not self.training:
            return self._forward(*inputs)
        first: Tensor = inputs[0]
        with torch.autocast(first.device.type, self.precision):
            return self._forward(*inputs).to(first.dtype)

    @abstractmethod
    def _forward(self, *inputs: Any) -> Tensor: ...


def set_precision(module: nn.Module, precision: torch.dtype | None) -> None:
    """Let a flow's conditioner networks train in bfloat16 or float16; None for their own type."""
    for part in module.modules():
        if isinstance(part, Network):
            part.precision = precision
