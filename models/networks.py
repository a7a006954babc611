"""Conditioner networks: they read one part of a row and steer the map of another."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "silu": F.silu,
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
        start_scale: what the last layer's first values are scaled by; at zero, what it steers
            starts as its identity.

    Raises:
        ValueError: no such activation, a width below one, or a dropout outside [0, 1).
    """

    hidden: tuple[int, ...]
    activation: str = "relu"
    dropout: float = 0.0
    start_scale: float = 0.0

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation is one of {sorted(ACTIVATIONS)}, not {self.activation!r}")
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden widths are at least 1, got {list(self.hidden)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is in [0, 1), got {self.dropout}")

    def start(self, last: nn.Module) -> None:
        """Scale the first values of a network's last layer."""
        with torch.no_grad():
            for parameter in last.parameters():
                parameter.mul_(self.start_scale)

    def activate(self, h: Tensor, training: bool) -> Tensor:
        """What follows each hidden layer: the activation and, in training, dropout."""
        return F.dropout(ACTIVATIONS[self.activation](h), self.dropout, training)


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


class MLP(Network):
    """A fully connected network.

    Args:
        inputs, outputs: features in and out.
        conditioner: hidden widths, activation, dropout.
    """

    def __init__(self, inputs: int, outputs: int, conditioner: Conditioner) -> None:
        super().__init__()
        widths = [inputs, *conditioner.hidden, outputs]
        self.linears = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))
        self.conditioner = conditioner
        conditioner.start(self.linears[-1])

    def _forward(self, x: Tensor) -> Tensor:
        """Batch × inputs → batch × outputs."""
        *hidden, last = self.linears
        for linear in hidden:
            x = self.conditioner.activate(linear(x), self.training)
        output: Tensor = last(x)
        return output


class ConvNet(Network):
    """Convolutions over an image, 3 × 3 first and last and 1 × 1 between.

    Kingma & Dhariwal 2018, §3.3. Pixels at a border can be told from others: there the last
    convolution reads padding of zeros, elsewhere hidden units with their biases.

    Args:
        inputs, outputs: channels in and out.
        conditioner: channels of the hidden layers, activation, dropout.
    """

    def __init__(self, inputs: int, outputs: int, conditioner: Conditioner) -> None:
        super().__init__()
        widths = [inputs, *conditioner.hidden, outputs]
        last = len(widths) - 2
        self.convolutions = nn.ModuleList(
            nn.Conv2d(widths[i], widths[i + 1], 3 if i in (0, last) else 1, padding="same")
            for i in range(last + 1)
        )
        self.conditioner = conditioner
        conditioner.start(self.convolutions[-1])

    def _forward(self, x: Tensor) -> Tensor:
        """Batch × inputs × H × W → batch × outputs × H × W."""
        *hidden, last = self.convolutions
        for convolution in hidden:
            x = self.conditioner.activate(convolution(x), self.training)
        output: Tensor = last(x)
        return output


class MaskedLinear(nn.Linear):
    """A linear layer some of whose weights are held at zero.

    Args:
        mask: outputs × inputs, True where a weight is free.
    """

    mask: Tensor | None

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(self.weight.dtype), persistent=False)

    def masked_weight(self) -> Tensor:
        """The weights in force: outputs × inputs."""
        return self.weight if self.mask is None else self.weight * self.mask

    def fold(self) -> None:
        """Write the mask into the weights and forget it (`folding.Foldable`)."""
        with torch.no_grad():
            self.weight.copy_(self.masked_weight())
        self.mask = None


class MaskedMLP(Network):
    """MADE: a network whose k-th group of outputs sees only inputs that come before k.

    Germain et al. 2015, eqs. 12–13; hidden units are kept sorted by degree.

    Args:
        position: for each of the D inputs, its place 0 … D−1 in the autoregressive order.
        size: outputs for each input; the output is batch × D × size.
        context: features that every output may see.
        conditioner: hidden widths, activation, dropout.
    """

    def __init__(
        self, position: Sequence[int], size: int, context: int, conditioner: Conditioner
    ) -> None:
        super().__init__()
        n = len(position)
        self.size = size
        # A unit of degree d sees the first d inputs; an output at place k sees units of degree
        # ≤ k. Degree 0 is of use only where there is a context for it to see.
        places = torch.tensor(position)
        lowest = 0 if context else min(1, n - 1)
        degrees = torch.cat([torch.zeros(context, dtype=torch.long), places + 1])
        self.linears = nn.ModuleList()
        for width in conditioner.hidden:
            spread = torch.arange(width) * (n - lowest) // width + lowest
            self.linears.append(MaskedLinear(spread[:, None] >= degrees[None, :]))
            degrees = spread
        outputs = places.repeat_interleave(size)
        self.linears.append(MaskedLinear(outputs[:, None] >= degrees[None, :]))
        self.conditioner = conditioner
        conditioner.start(self.linears[-1])

    def weights(self) -> list[Tensor]:
        """The masked weights, to be computed once where the network runs many times."""
        return [linear.masked_weight() for linear in self.linears]  # type: ignore[operator]

    def _forward(self, x: Tensor, context: Tensor | None, weights: Sequence[Tensor]) -> Tensor:
        """Batch × D (and batch × context) → batch × D × size, with `weights` from `weights()`."""
        n = x.shape[1]
        h = x if context is None else torch.cat([context, x], 1)
        last = len(weights) - 1
        for i, (linear, weight) in enumerate(zip(self.linears, weights, strict=True)):
            h = F.linear(h, weight, linear.bias)  # type: ignore[arg-type]
            if i < last:
                h = self.conditioner.activate(h, self.training)
        return h.view(-1, n, self.size)


class Parameters(nn.Module):
    """Parameters of a layer; where there is a context, a network of it moves them row by row.

    Args:
        size: how many.
        context: features of the context, or 0.
        conditioner: shape of the network.
    """

    def __init__(self, size: int, context: int, conditioner: Conditioner) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(size))
        self.network = MLP(context, size, conditioner) if context else None

    def forward(self, context: Tensor | None) -> Tensor:
        """Batch × context features, or None → batch × size, or 1 × size."""
        if self.network is None or context is None:
            return self.value[None]
        moved: Tensor = self.network(context.flatten(1))
        return self.value + moved
