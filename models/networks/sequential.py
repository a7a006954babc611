"""A masked network computed position by position, each hidden unit once.

Hidden units sorted by degree read only earlier inputs and units. What earlier blocks of positions
contribute to a block is one matrix product for each layer, as in a blocked triangular solve; the
computation inside the block is small.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from models.networks.made import Block, MaskedMLP

SolveBlock = Callable[[int, Block, Sequence[Tensor]], list[Tensor]]
"""The first position of a block, the block, and for each linear layer what earlier blocks and the
context contribute to the block's outputs → the block's inputs and hidden units of each layer."""


def run_by_blocks(
    network: MaskedMLP, none: Tensor, context: Tensor | None, width: int, solve: SolveBlock
) -> None:
    """Go through a network block by block, where a block's inputs follow from its outputs.

    Args:
        network: the masked network.
        none: no inputs: batch × 0.
        context: batch × features, if the network reads one.
        width: approximate number of positions of a block.
        solve: computes the inputs and hidden units of a block.
    """
    # for each linear layer the units of earlier blocks that it reads; the context is read first
    units = [none] * len(network.linears)
    if context is not None:
        units[0] = context
    first = 0
    for block in network.blocks(width):
        before = [
            torch.addmm(bias, read, weight)
            for bias, read, weight in zip(block.bias, units, block.before, strict=True)
        ]
        own = solve(first, block, before)
        units = [torch.cat(pair, 1) for pair in zip(units, own, strict=True)]
        first += len(block.ends) - 1


def run_by_positions(
    network: MaskedMLP,
    block: Block,
    before: Sequence[Tensor],
    none: Tensor,
    solve: Callable[[int, Tensor], Tensor],
) -> list[Tensor]:
    """Go through a block position by position.

    Args:
        network: the masked network.
        block: one of its blocks.
        before: for each linear layer, what earlier blocks contribute to the block's outputs.
        none: no inputs: batch × 0.
        solve: a position in the block and its outputs, batch × outputs → its inputs.

    Returns:
        The block's inputs, and its units of each hidden layer, all batch × ….
    """
    levels = [none] * len(before)
    counts = [[*map(int.__sub__, end, start)] for start, end in pairwise(block.ends)]
    # cut at once, which in an exported graph is one operator
    bases = [
        torch.split(base, [count[i + 1] for count in counts], 1) for i, base in enumerate(before)
    ]
    for position in range(len(counts)):
        units: Tensor | None = None
        for i, weight in enumerate(block.within):
            own = slice(block.ends[position][i + 1], block.ends[position + 1][i + 1])
            read = block.units_read(position, i)
            outputs = torch.addmm(bases[i][position], levels[i], weight[:read, own])
            if i + 1 < len(before):
                units = network.conditioner.hidden_units(outputs, units)
                levels[i + 1] = torch.cat([levels[i + 1], units], 1)
        levels[0] = torch.cat([levels[0], solve(position, outputs)], 1)
    return levels
