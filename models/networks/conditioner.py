"""Conditioner networks: their shape, activations, precision and initialization."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def silu8(x: Tensor) -> Tensor:
    """SiLU clipped at 8, as ReLU6 clips ReLU at 6: deep networks stay bounded far from all data.

    A flow that is inverted or drawn value by value reads its own outputs. With unbounded units,
    one value far from the data can drive the following values to infinity.
    """
    # silu is never below -1; the gradient of hardtanh is one kernel, that of clamp four
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
    """The shape of a conditioner network, whatever its inputs and outputs are.

    Args:
        hidden: widths of the hidden layers.
        activation: a key of `ACTIVATIONS`.
        dropout: fraction of the hidden units that training drops.
        initial_scale: factor of the initial values of the last layer. At zero the map that the
            network parameterizes starts as the identity.
        residual: whether each hidden layer after the first adds its input to its output.
        positional_bias: whether the first layer of a convolutional network has a bias for each
            pixel, or for each time.

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
        """Scale the initial values of the last layer of a network."""
        with torch.no_grad():
            for parameter in last.parameters():
                parameter.mul_(self.initial_scale)

    def hidden_units(
        self, preactivation: Tensor, before: Tensor | None, training: bool = False
    ) -> Tensor:
        """The units of a hidden layer: activation, dropout in training, and skip connection.

        Args:
            preactivation: output of the layer's linear map.
            before: units of the previous hidden layer; None for the first.
            training: whether dropout is applied.
        """
        units = F.dropout(ACTIVATIONS[self.activation](preactivation), self.dropout, training)
        return units + before if self.residual and before is not None else units

    def run(
        self, layers: Iterable[Callable[[Tensor], Tensor]], x: Tensor, training: bool
    ) -> Tensor:
        """Apply these linear maps with hidden units between them; the last gives the output."""
        *hidden, last = layers
        units: Tensor | None = None
        for layer in hidden:
            units = self.hidden_units(layer(x if units is None else units), units, training)
        return last(x if units is None else units)


class Network(nn.Module, ABC):
    """A conditioner network, which may compute in a narrower number type in training.

    Only the inside of the network is narrowed (`set_precision`): its inputs and outputs, the maps
    that it parameterizes, log-determinants and sums keep the number type of the flow.
    """

    precision: torch.dtype | None = None

    def forward(self, *inputs: Any) -> Tensor:
        """The result of `_forward`, in the number type of the first input."""
        if self.precision is None or not self.training:
            return self._forward(*inputs)
        first: Tensor = inputs[0]
        with torch.autocast(first.device.type, self.precision):
            return self._forward(*inputs).to(first.dtype)

    @abstractmethod
    def _forward(self, *inputs: Any) -> Tensor: ...


def set_precision(module: nn.Module, precision: torch.dtype | None) -> None:
    """Train the conditioner networks of a flow in bfloat16 or float16; None for its own type."""
    for submodule in module.modules():
        if isinstance(submodule, Network):
            submodule.precision = precision


def accept_former_name(module: nn.Module, former: str, current: str) -> None:
    """Load a parameter from state dicts that have it by its former name, as stored runs do."""

    def rename(_: nn.Module, state: dict[str, Tensor], prefix: str, *__: object) -> None:
        if prefix + former in state:
            state[prefix + current] = state.pop(prefix + former)

    module.register_load_state_dict_pre_hook(rename)  # type: ignore[no-untyped-call]
