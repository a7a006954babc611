"""Fully connected conditioner networks."""

import torch
from torch import Tensor, nn

from models.networks.conditioner import Conditioner, Network


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
        conditioner.initialize(self.linears[-1])

    def _forward(self, x: Tensor) -> Tensor:
        """Batch × inputs → batch × outputs."""
        return self.conditioner.run(self.linears, x, self.training)


class Parameters(nn.Module):
    """Learned parameters of a layer, to which a network of the context adds an offset for each row.

    Args:
        size: number of parameters.
        context: number of features of the context; 0 for no network.
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
        offset: Tensor = self.network(context.flatten(1))
        return self.value + offset
