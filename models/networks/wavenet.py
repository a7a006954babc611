"""The causal convolutional network of WaveNet (van den Oord et al. 2016)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.conditioner import Conditioner, Network

# Steps that a decode goes through before its long queues move.
BLOCK_STEPS = 64


Recall = Callable[[int, Tensor], Tensor]
"""The number of a hidden layer and what it reads now → what it read `dilation` steps ago."""


class CausalConvNet(Network):
    """Dilated convolutions over time whose output at t sees the values before t and no other.

    Van den Oord et al. 2016, "WaveNet", §2.1, with residual connections (§2.4) between hidden
    layers of equal width and a context that moves every hidden layer's biases (§2.5). Hidden layer
    i = 0, 1, … reads the layer before it now and 2^(i mod cycle) steps ago; the first one reads
    the values, one step late. Before its start everything is zeros. An output sees the last
    1 + Σ 2^(i mod cycle) values.

    A layer is a linear map of what it reads, not `conv1d`: whole sequences and single steps then
    run the same code, and onnxruntime has no convolutions in float64.

    Args:
        length: T, of the sequences.
        size: outputs at each time.
        context: features that every output may see, or 0.
        conditioner: channels of the hidden layers, activation, dropout; with `positional_bias`, the first
            layer has biases of each time's own.
        cycle: after so many layers dilations start from 1 again.

    Raises:
        ValueError: no hidden layer, a cycle of none, or a conditioner that is residual too.
    """

    def __init__(
        self, length: int, size: int, context: int, conditioner: Conditioner, cycle: int
    ) -> None:
        super().__init__()
        self.widths = list(conditioner.hidden)
        if not self.widths:
            raise ValueError("a causal network reads by its hidden layers: it has at least one")
        if conditioner.residual:
            raise ValueError("a causal network is residual anyway: leave `residual` out")
        if cycle < 1:
            raise ValueError(f"cycle is at least 1, got {cycle}")
        # no value is longer ago than T steps, and no queue need be longer
        self.dilations = [min(2 ** (i % cycle), length) for i in range(len(self.widths))]
        read = [1, *self.widths[:-1]]
        self.hidden = nn.ModuleList(
            nn.Linear(2 * before, after) for before, after in zip(read, self.widths, strict=True)
        )
        self.positional_bias: nn.Parameter | None = None
        if conditioner.positional_bias:
            self.positional_bias = nn.Parameter(torch.zeros(length, self.widths[0]))
        self.context = nn.Linear(context, sum(self.widths), bias=False) if context else None
        self.last = nn.Linear(self.widths[-1], size)
        self.conditioner = conditioner
        conditioner.initialize(self.last)

    def moves(self, context: Tensor | None) -> Tensor | None:
        """What a context adds to the biases of all hidden layers: batch × Σ channels."""
        if self.context is None or context is None:
            return None
        moves: Tensor = self.context(context.flatten(1))
        return moves

    def sequence(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Outputs at all times at once: batch × T, and a context → batch × T × size."""
        moves = self.moves(context)
        theta: Tensor = self(
            _delayed(x[..., None], 1),
            None if moves is None else moves[:, None],
            lambda i, h: _delayed(h, self.dilations[i]),
            self.positional_bias,
        )
        return theta

    def _forward(
        self, before: Tensor, moves: Tensor | None, recall: Recall, place: Tensor | None = None
    ) -> Tensor:
        """Value one step before, batch (× T) × 1 → outputs, batch (× T) × size."""
        h = before
        moved = None if moves is None else torch.split(moves, self.widths, -1)
        for i, layer in enumerate(self.hidden):
            sums = layer(torch.cat([recall(i, h), h], -1))
            if moved is not None:
                sums = sums + moved[i].to(sums.dtype)
            if place is not None and i == 0:
                sums = sums + place.to(sums.dtype)
            units = self.conditioner.hidden_units(sums, None, self.training)
            h = h + units if i > 0 and h.shape[-1] == units.shape[-1] else units
        theta: Tensor = self.last(h)
        return theta


def _delayed(h: Tensor, steps: int) -> Tensor:
    delayed: Tensor = F.pad(h, (0, 0, steps, 0))[:, : h.shape[1]]
    return delayed
