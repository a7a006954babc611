"""Masked networks: outputs in an order, each of which sees only the inputs that come before it."""

from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.conditioner import Conditioner, Network

# A network of at least so many weights is run in so many blocks, each without the weights that are
# zero for all of it. With a million and more, a pass took 0.55 to 0.9 of the time of whole matrices
# (D = 784, two layers of 1024, onnxruntime, 1 to 1024 rows); with a third of a million 0.8 to 1.1,
# with few more.
BLOCKED_FROM_WEIGHTS, BLOCKS_OF_A_PASS = 2**19, 4


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


class Block(NamedTuple):
    """The part of a masked network that belongs to a run of consecutive places.

    What a linear layer reads and gives is counted in levels: inputs (level 0), the units of each
    hidden layer, outputs (the last level).
    """

    before: list[Tensor]
    """For each linear layer, weights from earlier places (and the context): theirs × ours."""
    within: list[Tensor]
    """For each linear layer, weights from this block's own units: ours below × ours above."""
    bias: list[Tensor]
    """For each linear layer."""
    ends: list[list[int]]
    """For each place, and the end, how many of the block's units of each level come before it."""

    def seen(self, place: int, layer: int) -> int:
        """How many of the block's own units a linear layer reads for the units of a place.

        They are those of the places so far, but of inputs only those before.
        """
        return self.ends[place + (layer > 0)][layer]


class MaskedMLP(Network):
    """MADE: a network whose k-th group of outputs sees only inputs that come before k.

    Germain et al. 2015, eqs. 12–13; hidden units are kept sorted by degree.

    Args:
        position: for each of the D inputs, its place 0 … D−1 in the autoregressive order.
        size: outputs for each input; the output is batch × D × size.
        context: features that every output may see.
        conditioner: hidden widths, activation, dropout, whether layers are residual.
    """

    order: Tensor
    position: Tensor

    def __init__(
        self, position: Sequence[int], size: int, context: int, conditioner: Conditioner
    ) -> None:
        super().__init__()
        n = len(position)
        self.size, self.context = size, context
        # A unit of degree d sees the first d inputs; an output at place k sees units of degree
        # ≤ k. Degree 0 is of use only where there is a context for it to see.
        places = torch.tensor(position)
        self.register_buffer("position", places, persistent=False)
        self.register_buffer("order", places.argsort(), persistent=False)
        lowest = 0 if context else min(1, n - 1)
        degrees = torch.cat([torch.zeros(context, dtype=torch.long), places + 1])
        self.linears = nn.ModuleList()
        self.degrees: list[list[int]] = []
        for width in conditioner.hidden:
            spread = torch.arange(width) * (n - lowest) // width + lowest
            self.linears.append(MaskedLinear(spread[:, None] >= degrees[None, :]))
            self.degrees.append(spread.tolist())
            degrees = spread
        outputs = places.repeat_interleave(size)
        self.linears.append(MaskedLinear(outputs[:, None] >= degrees[None, :]))
        self.conditioner = conditioner
        conditioner.initialize(self.linears[-1])
        self.in_blocks = (
            sum(linear.weight.numel() for linear in self._masked()) >= BLOCKED_FROM_WEIGHTS
        )
        self._folded: list[list[tuple[Tensor, Tensor]]] | None = None

    def fold(self) -> None:
        """Keep the blocks that a pass takes (`folding.Foldable`)."""
        if not self.in_blocks:
            return
        with torch.no_grad():
            self._folded = [
                [(weight.contiguous(), bias.contiguous()) for weight, bias in blocks]
                for blocks in self._pass()
            ]

    def _forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Batch × D (and batch × context) → batch × D × size."""
        shape = (-1, x.shape[1], self.size)
        if self.in_blocks:
            layers = [partial(_in_blocks, blocks=blocks) for blocks in self._folded or self._pass()]
            x = x.index_select(1, self.order)
        else:
            layers = [
                partial(F.linear, weight=linear.masked_weight(), bias=linear.bias)
                for linear in self._masked()
            ]
        x = x if context is None else torch.cat([context, x], 1)
        theta = self.conditioner.run(layers, x, self.training).view(shape)
        return theta.index_select(1, self.position) if self.in_blocks else theta

    def _pass(self) -> list[list[tuple[Tensor, Tensor]]]:
        """For each linear layer the weights and biases of blocks of its outputs, in order."""
        weights, biases = self._in_order()
        ends = [
            self._units_before(place) for place in self._bounds(len(self.order) / BLOCKS_OF_A_PASS)
        ]
        return [
            [
                (weight[low[i + 1] : high[i + 1], : high[i]], bias[low[i + 1] : high[i + 1]])
                for low, high in pairwise(ends)
            ]
            for i, (weight, bias) in enumerate(zip(weights, biases, strict=True))
        ]

    def _in_order(self) -> tuple[list[Tensor], list[Tensor]]:
        """Masked weights and biases, with inputs and outputs in the order of their places."""
        weights = [linear.masked_weight() for linear in self._masked()]
        biases: list[Tensor] = [linear.bias for linear in self._masked()]
        device = self.order.device
        columns = torch.arange(self.context, device=device), self.context + self.order
        weights[0] = weights[0][:, torch.cat(columns)]
        rows = self.order[:, None] * self.size + torch.arange(self.size, device=device)
        weights[-1], biases[-1] = weights[-1][rows.flatten()], biases[-1][rows.flatten()]
        return weights, biases

    def blocks(self, width: int) -> list[Block]:
        """Cut the network into blocks of consecutive places, in the order of the inputs.

        A hidden unit belongs to the first place whose output sees it. Then units of a block see
        none of a later one, and those of the first hidden layer no input of a place after theirs.

        Args:
            width: places of a block, about: all are alike, and each has units in every layer.
        """
        weights, biases = self._in_order()
        blocks = []
        for first, last in pairwise(self._bounds(width)):
            ends = [self._units_before(place) for place in range(first, last + 1)]
            block = Block([], [], [], [[*map(int.__sub__, end, ends[0])] for end in ends])
            for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
                ours = slice(ends[0][i + 1], ends[-1][i + 1])
                block.before.append(weight[ours, : ends[0][i]].T)
                block.within.append(weight[ours, ends[0][i] : ends[-1][i]].T)
                block.bias.append(bias[ours])
            blocks.append(block)
        return blocks

    def _masked(self) -> list[MaskedLinear]:
        return [linear for linear in self.linears if isinstance(linear, MaskedLinear)]

    def _units_before(self, place: int) -> list[int]:
        """How many inputs, units of each hidden layer and outputs belong to earlier places."""
        hidden = [bisect_left(degrees, place) for degrees in self.degrees]
        return [self.context + place, *hidden, self.size * place]

    def _bounds(self, width: float) -> list[int]:
        """Where blocks begin, and the last ends: about so wide, with units in every layer."""
        n = len(self.order)
        blocks = max(1, round(n / width))
        bounds = [0]
        for place in (n * (i + 1) // blocks for i in range(blocks)):
            ends = map(self._units_before, (bounds[-1], place))
            if all(low < high for low, high in zip(*ends, strict=True)):
                bounds.append(place)
        if bounds[-1] != n:  # what is left over has no units of its own
            bounds[max(1, len(bounds) - 1) :] = [n]
        return bounds


def _in_blocks(x: Tensor, blocks: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """A linear layer of which each block reads only the first inputs, as many as it has weights."""
    parts = [F.linear(x[:, : weight.shape[1]], weight, bias) for weight, bias in blocks]
    return torch.cat(parts, 1)
