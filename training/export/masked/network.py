"""A masked network as ONNX, unrolled position by position, each hidden unit once.

The algorithm is that of `models.networks.sequential`.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from models.networks import Block, MaskedMLP
from training.export.onnx_builder import Writer
from training.export.onnx_functions import OnnxFunctions


class NetworkWriter:
    """Writes a masked network position by position; strings are names of values.

    Args:
        writer: collects the nodes.
        network: the network, folded.
        functions: those of the model, in the network's number type.
    """

    def __init__(self, writer: Writer, network: MaskedMLP, functions: OnnxFunctions) -> None:
        self.writer, self.network = writer, network
        conditioner = network.conditioner
        self.first_units = functions.hidden_units(conditioner, follows=False)
        self.next_units = functions.hidden_units(conditioner, follows=conditioner.residual)
        self.dtype = torch.empty(0, dtype=functions.dtype).numpy().dtype

    def before(self, block: Block, units: Sequence[str | None]) -> list[str | None]:
        """For each linear layer, what earlier blocks and the context contribute to a block.

        Args:
            block: the block.
            units: for each linear layer, the units of earlier blocks that it reads; None if none.
        """
        write = self.writer
        return [
            None if read is None else write.one("Gemm", read, *map(write.tensor, weights))
            for read, *weights in zip(units, block.before, block.bias, strict=True)
        ]

    def add_units(self, units: Sequence[str | None], own: Sequence[str]) -> list[str | None]:
        """The units of earlier blocks and those of a block, for each linear layer."""
        return [
            new if earlier is None else self.writer.join([earlier, new])
            for earlier, new in zip(units, own, strict=True)
        ]

    def positions(
        self,
        rows: str,
        before: Sequence[str | None],
        block: Block,
        solve: Callable[[int, str], str],
    ) -> list[str]:
        """Write a block position by position (`networks.run_by_positions`).

        Args:
            rows: a value of as many rows as the batch.
            before: for each linear layer, what earlier blocks contribute; None if nothing.
            block: the block.
            solve: a position in the block and its outputs → its inputs, batch × ….

        Returns:
            The block's inputs, and its units of each hidden layer.
        """
        write, last = self.writer, len(before) - 1
        bases = [self._bases(i, before[i], block) for i in range(last + 1)]
        levels: list[list[str]] = [[] for _ in before]
        for position in range(len(block.ends) - 1):
            units: str | None = None
            for i in range(last + 1):
                own = slice(block.ends[position][i + 1], block.ends[position + 1][i + 1])
                if own.start == own.stop:  # this position has no unit in this layer
                    continue
                outputs, read = bases[i][position], block.units_read(position, i)
                if read:
                    weight = write.tensor(block.within[i][:read, own])
                    outputs = write.one("Gemm", levels[i][-1], weight, outputs)
                elif before[i] is None:
                    outputs = self._repeat(rows, outputs, own.stop - own.start)
                if i < last:
                    units = self.units(write, outputs, units)
                    levels[i + 1] = [write.join([*levels[i + 1], units])]
            levels[0] = [write.join([*levels[0], solve(position, outputs)])]
        return [level[0] for level in levels]

    def _bases(self, layer: int, before: str | None, block: Block) -> list[str]:
        """What each position's units have from earlier blocks; "" for positions without units."""
        widths = np.diff([end[layer + 1] for end in block.ends]).tolist()
        if before is None:
            biases = torch.split(block.bias[layer], widths)
            return [self.writer.tensor(bias) if len(bias) else "" for bias in biases]
        columns = iter(self.writer.cut(before, [width for width in widths if width]))
        return [next(columns) if width else "" for width in widths]

    def _repeat(self, like: str, row: str, width: int) -> str:
        """Repeat a row as often as another value has rows."""
        write = self.writer
        batch = write.one("Shape", like, start=0, end=1)
        shape = write.one("Concat", batch, write.integers(width), axis=0)
        return write.one("Expand", row, shape)

    def units(self, write: Writer, preactivation: str, before: str | None) -> str:
        """The units of a hidden layer; `before` are those of the previous hidden layer."""
        if before is None or not self.network.conditioner.residual:
            return write.call(self.first_units, preactivation)[0]
        return write.call(self.next_units, preactivation, before)[0]
