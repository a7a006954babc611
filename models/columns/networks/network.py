"""What computes the parameters of each column's conditional, and the masked network that does."""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from models.networks import (
    Block,
    Conditioner,
    MaskedMLP,
    Network,
    run_by_blocks,
    run_by_positions,
)

# Up to so many columns are decoded as one block of a masked network.
ONE_BLOCK_COLUMNS = 8

SolveColumn = Callable[[int, Tensor], Tensor]
"""A position in the order and the parameters there, N × size → the column's features."""


class ColumnLayout(NamedTuple):
    """What a network reads and computes of D columns.

    Args:
        order: columns in the order of decoding.
        inputs: how many features each column has.
        sizes: how many parameters the conditional of each column has.
        context: number of features of the context, or 0.
    """

    order: Sequence[int]
    inputs: Sequence[int]
    sizes: Sequence[int]
    context: int


class ColumnNetwork(Network):
    """A network that reads features of columns and computes the parameters of their conditionals.

    The parameters of a column depend on the context and on the columns before it in the order.
    Called with the features of all columns, N × inputs, and a context, N × features, or None, it
    gives their parameters, N × sizes; either column by column.
    """

    rounding_ulps: ClassVar[int] = 64
    """Relative error of probabilities, in units of the last digit of the network's number type:
    rounding differs between a pass of the network and its computation column by column."""

    @abstractmethod
    def go_through(self, none: Tensor, context: Tensor | None, solve: SolveColumn) -> None:
        """Go through the columns in their order, each hidden unit computed once.

        Args:
            none: no features, N × 0, in the network's number type.
            context: N × features, if the network reads one.
            solve: takes the parameters of a column, and gives its features.
        """

    @property
    @abstractmethod
    def last(self) -> nn.Module:
        """The linear map, or maps, of which all parameters are zero where its result is."""


class MaskedColumnNetwork(MaskedMLP, ColumnNetwork):
    """A masked network (Germain et al. 2015).

    Args:
        layout: of the columns.
        conditioner: its shape.
    """

    def __init__(self, layout: ColumnLayout, conditioner: Conditioner) -> None:
        positions = sorted(range(len(layout.order)), key=layout.order.__getitem__)
        super().__init__(positions, layout.sizes, layout.context, conditioner, layout.inputs)

    def go_through(self, none: Tensor, context: Tensor | None, solve: SolveColumn) -> None:
        """Go through the columns block by block (`networks.sequential`)."""

        def solve_block(first: int, block: Block, before: Sequence[Tensor]) -> list[Tensor]:
            return run_by_positions(
                self, block, before, none, lambda position, theta: solve(first + position, theta)
            )

        width = max(ONE_BLOCK_COLUMNS, 2 * math.ceil(math.sqrt(len(self.order))))
        run_by_blocks(self, none, context, width, solve_block)

    @property
    def last(self) -> nn.Module:
        """The last layer."""
        return self.linears[-1]


def elements_of(sizes: Sequence[int], columns: Sequence[int]) -> Tensor:
    """The elements of columns in the given order, where each column has a run of elements."""
    runs = torch.split(torch.arange(sum(sizes)), list(sizes))
    return torch.cat([torch.arange(0), *(runs[column] for column in columns)])
