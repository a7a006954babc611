"""Conditioner networks: they read one part of a row and steer the map of another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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

    Raises:
        ValueError: no such activation, a width below one, or a dropout outside [0, 1).
    """

    hidden: tuple[int, ...]
    activation: str = "relu"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation is one of {sorted(ACTIVATIONS)}, not {self.activation!r}")
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden widths are at least 1, got {list(self.hidden)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is in [0, 1), got {self.dropout}")

    def activate(self, h: Tensor, training: bool) -> Tensor:
        """What follows each hidden layer: the activation and, in training, dropout."""
        return F.dropout(ACTIVATIONS[self.activation](h), self.dropout, training)


class MLP(nn.Module):
    """A fully connected network whose last layer starts at zero.

    Args:
        inputs, outputs: features in and out.
        conditioner: hidden widths, activation, dropout.
    """

    def __init__(self, inputs: int, outputs: int, conditioner: Conditioner) -> None:
        super().__init__()
        widths = [inputs, *conditioner.hidden, outputs]
        self.linears = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))
        self.conditioner = conditioner
        zero_(self.linears[-1])

    def forward(self, x: Tensor) -> Tensor:
        """Batch × inputs → batch × outputs."""
        *hidden, last = self.linears
        for linear in hidden:
            x = self.conditioner.activate(linear(x), self.training)
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
        """Write the mask into the weights and forget it: what export does before tracing."""
        with torch.no_grad():
            self.weight.copy_(self.masked_weight())
        self.mask = None


class MaskedMLP(nn.Module):
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
        zero_(self.linears[-1])

    def weights(self) -> list[Tensor]:
        """The masked weights, to be computed once where the network runs many times."""
        return [linear.masked_weight() for linear in self.linears]  # type: ignore[operator]

    def forward(self, x: Tensor, context: Tensor | None, weights: Sequence[Tensor]) -> Tensor:
        """Batch × D (and batch × context) → batch × D × size, with `weights` from `weights()`."""
        n = x.shape[1]
        h = x if context is None else torch.cat([context, x], 1)
        last = len(weights) - 1
        for i, (linear, weight) in enumerate(zip(self.linears, weights, strict=True)):
            h = F.linear(h, weight, linear.bias)  # type: ignore[arg-type]
            if i < last:
                h = self.conditioner.activate(h, self.training)
        return h.view(-1, n, self.size)


def zero_(linear: nn.Module) -> None:
    """Set a linear layer to zero, so that the map it steers starts as the identity."""
    assert isinstance(linear, nn.Linear)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
