"""Masked networks: outputs in an order, each of which reads only the inputs that come before it."""

from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.conditioner import Conditioner, Network

# A network of at least BLOCKED_FROM_WEIGHTS weights is run in BLOCKS_OF_A_PASS blocks, each without
# the weights that are zero in the whole block. With a million weights and more, a pass took 0.55 to
# 0.9 of the time of whole matrices (D = 784, two layers of 1024, onnxruntime, 1 to 1024 rows); with
# a third of a million 0.8 to 1.1; with few weights it took longer. A step of training always took
# longer, as gradients are put together from parts: ten networks of two layers of 640, 1024 rows on
# one thread, took 1.8 times as long in bfloat16 and 1.2 in float32; of 1024, 1.4 and 1.05.
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
        """The weights after masking: outputs × inputs."""
        return self.weight if self.mask is None else self.weight * self.mask

    def fold(self) -> None:
        """Write the mask into the weights and drop it (`folding.Foldable`)."""
        with torch.no_grad():
            self.weight.copy_(self.masked_weight())
        self.mask = None


class Block(NamedTuple):
    """The weights and units of a masked network that belong to a run of consecutive positions.

    Level 0 are the inputs, after the context; each hidden layer is a level; the last level are the
    outputs. Linear layer i reads level i and computes level i + 1.
    """

    before: list[Tensor]
    """For each linear layer, weights from earlier blocks and the context: earlier × own units."""
    within: list[Tensor]
    """For each linear layer, weights between units of this block: own inputs × own outputs."""
    bias: list[Tensor]
    """For each linear layer, the biases of the block's units."""
    ends: list[list[int]]
    """For each position, and the end, how many of the block's units of each level precede it."""

    def units_read(self, position: int, layer: int) -> int:
        """How many of the block's own units a linear layer reads to compute those of a position.

        They are the units of the positions up to this one; of the inputs, only those before it.
        """
        return self.ends[position + (layer > 0)][layer]


class MaskedMLP(Network):
    """MADE: a network whose k-th group of outputs reads only the inputs that come before k.

    Germain et al. 2015, eqs. 12–13; hidden units are sorted by degree.

    Args:
        position: for each of the D values, its position 0 … D−1 in the autoregressive order.
        size: outputs for each value; the output is batch × D × size. Where sizes differ, the number
            for each value; the output is then batch × their sum, value by value.
        context: number of features that every output may read.
        conditioner: hidden widths, activation, dropout, whether layers are residual.
        inputs: how many inputs stand for each value; one if None.
    """

    order: Tensor
    position: Tensor
    input_order: Tensor
    output_order: Tensor

    def __init__(
        self,
        position: Sequence[int],
        size: int | Sequence[int],
        context: int,
        conditioner: Conditioner,
        inputs: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        n = len(position)
        self.size, self.context = size, context
        sizes = torch.tensor([size] * n if isinstance(size, int) else size)
        read = torch.tensor([1] * n if inputs is None else inputs)
        # A unit of degree d reads the first d inputs; an output at position k reads units of degree
        # ≤ k. Units of degree 0 are useful only where there is a context for them to read.
        positions = torch.tensor(position)
        self.register_buffer("position", positions, persistent=False)
        self.register_buffer("order", positions.argsort(), persistent=False)
        lowest = 0 if context else min(1, n - 1)
        first = positions.repeat_interleave(read)
        outputs = positions.repeat_interleave(sizes)
        self.register_buffer("input_order", first.argsort(stable=True), persistent=False)
        self.register_buffer("output_order", outputs.argsort(stable=True), persistent=False)
        # how many inputs, and outputs, belong to the positions before each, and before the end
        self._ends = [[0, *counts[self.order].cumsum(0).tolist()] for counts in (read, sizes)]
        degrees = torch.cat([torch.zeros(context, dtype=torch.long), first + 1])
        self.linears = nn.ModuleList()
        self.degrees: list[list[int]] = []
        for width in conditioner.hidden:
            spread = torch.arange(width) * (n - lowest) // width + lowest
            self.linears.append(MaskedLinear(spread[:, None] >= degrees[None, :]))
            self.degrees.append(spread.tolist())
            degrees = spread
        self.linears.append(MaskedLinear(outputs[:, None] >= degrees[None, :]))
        self.conditioner = conditioner
        conditioner.initialize(self.linears[-1])
        weights = sum(linear.weight.numel() for linear in self.masked_linears())
        self.in_blocks = weights >= BLOCKED_FROM_WEIGHTS
        self._folded: list[list[tuple[Tensor, Tensor]]] | None = None

    def fold(self) -> None:
        """Keep copies of the blocks that a pass multiplies by (`folding.Foldable`)."""
        if not self.in_blocks:
            return
        with torch.no_grad():
            self._folded = [
                [(weight.contiguous(), bias.contiguous()) for weight, bias in blocks]
                for blocks in self._blocks_of_a_pass()
            ]

    def _forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Batch × inputs (and batch × context) → batch × D × size, or batch × outputs."""
        in_blocks = self.in_blocks and not self.training
        if in_blocks:
            blocks_of_layers = self._folded or self._blocks_of_a_pass()
            layers = [partial(_linear_in_blocks, blocks=blocks) for blocks in blocks_of_layers]
            x = x.index_select(1, self.input_order)
        else:
            layers = [
                partial(F.linear, weight=linear.masked_weight(), bias=linear.bias)
                for linear in self.masked_linears()
            ]
        x = x if context is None else torch.cat([context, x], 1)
        theta = self.conditioner.run(layers, x, self.training)
        if isinstance(self.size, int):
            theta = theta.view(-1, len(self.order), self.size)
            return theta.index_select(1, self.position) if in_blocks else theta
        return theta.index_select(1, self.output_order.argsort()) if in_blocks else theta

    def _blocks_of_a_pass(self) -> list[list[tuple[Tensor, Tensor]]]:
        """For each linear layer, the weights and biases of blocks of its outputs, in order."""
        weights, biases = self._in_order()
        bounds = self._bounds(len(self.order) / BLOCKS_OF_A_PASS)
        ends = [self._units_before(position) for position in bounds]
        return [
            [
                (weight[low[i + 1] : high[i + 1], : high[i]], bias[low[i + 1] : high[i + 1]])
                for low, high in pairwise(ends)
            ]
            for i, (weight, bias) in enumerate(zip(weights, biases, strict=True))
        ]

    def _in_order(self) -> tuple[list[Tensor], list[Tensor]]:
        """Masked weights and biases, with inputs and outputs sorted by position."""
        weights = [linear.masked_weight() for linear in self.masked_linears()]
        biases: list[Tensor] = [linear.bias for linear in self.masked_linears()]
        device = self.order.device
        columns = torch.arange(self.context, device=device), self.context + self.input_order
        weights[0] = weights[0][:, torch.cat(columns)]
        weights[-1] = weights[-1][self.output_order]
        biases[-1] = biases[-1][self.output_order]
        return weights, biases

    def blocks(self, width: int) -> list[Block]:
        """Cut the network into blocks of consecutive positions, in the autoregressive order.

        A hidden unit belongs to the first position whose output reads it. So no unit of a block
        reads a unit of a later block, and a unit of the first hidden layer reads no input after
        its own position.

        Args:
            width: approximate number of positions of a block. Blocks are about equal, and each has
                units in every layer.
        """
        weights, biases = self._in_order()
        blocks = []
        for first, last in pairwise(self._bounds(width)):
            ends = [self._units_before(position) for position in range(first, last + 1)]
            block = Block([], [], [], [[*map(int.__sub__, end, ends[0])] for end in ends])
            for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
                own = slice(ends[0][i + 1], ends[-1][i + 1])
                block.before.append(weight[own, : ends[0][i]].T)
                block.within.append(weight[own, ends[0][i] : ends[-1][i]].T)
                block.bias.append(bias[own])
            blocks.append(block)
        return blocks

    def masked_linears(self) -> list[MaskedLinear]:
        """The linear layers, in order."""
        return [linear for linear in self.linears if isinstance(linear, MaskedLinear)]

    def _units_before(self, position: int) -> list[int]:
        """How many units of each level, context included, belong to earlier positions."""
        hidden = [bisect_left(degrees, position) for degrees in self.degrees]
        inputs, outputs = (ends[position] for ends in self._ends)
        return [self.context + inputs, *hidden, outputs]

    def _bounds(self, width: float) -> list[int]:
        """The first position of each block, of about this width, and the end of the last block."""
        n = len(self.order)
        blocks = max(1, round(n / width))
        bounds = [0]
        for position in (n * (i + 1) // blocks for i in range(blocks)):
            ends = map(self._units_before, (bounds[-1], position))
            if all(low < high for low, high in zip(*ends, strict=True)):
                bounds.append(position)
        if bounds[-1] != n:  # the remaining positions have no units of their own in some layer
            bounds[max(1, len(bounds) - 1) :] = [n]
        return bounds


def _linear_in_blocks(x: Tensor, blocks: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """A linear layer whose blocks each read only the first inputs, as many as they have weights."""
    outputs = [F.linear(x[:, : weight.shape[1]], weight, bias) for weight, bias in blocks]
    return torch.cat(outputs, 1)
