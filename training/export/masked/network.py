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
        is_last: bool,
    ) -> list[str]:
        """Write a block position by position (`networks.run_by_positions`).

        Hidden units read those before them, joined. Outputs, which are few, gather what the units
        of each position add to them: so the last hidden layer is not joined at each position.

        Args:
            rows: a value of as many rows as the batch.
            before: for each linear layer, what earlier blocks contribute; None if nothing.
            block: the block.
            solve: a position in the block and its outputs → its inputs, batch × ….
            is_last: whether no block follows.

        Returns:
            The block's inputs and, if another follows, its units of each hidden layer.
        """
        write, last, positions = self.writer, len(before) - 1, len(block.ends) - 1
        bases = [self._bases(i, before[i], block) for i in range(last)]
        levels: list[str] = [""] * last  # all but the last, joined
        inputs, last_units = list[str](), list[str]()
        outputs = before[last]  # those of this position and later ones; None for biases alone
        for position in range(positions):
            units: str | None = None
            for i in range(last):
                own = self._own(block, position, i + 1)
                if own.start == own.stop:  # this position has no unit in this layer
                    continue
                value, read = bases[i][position], block.units_read(position, i)
                if read:
                    weight = write.tensor(block.within[i][:read, own])
                    value = write.one("Gemm", levels[i], weight, value)
                elif before[i] is None:
                    value = self._repeat(rows, value, own.stop - own.start)
                units = self.units(write, value, units)
                if i + 1 < last:
                    levels[i + 1] = self._joined(levels[i + 1], units)
                else:
                    last_units.append(units)
                    outputs = self._gathered(outputs, units, block, position)
            now, outputs = self._cut_outputs(rows, outputs, block, position)
            inputs.append(solve(position, now))
            if not last:
                outputs = self._gathered(outputs, inputs[-1], block, position)
            elif position + 1 < positions:
                levels[0] = self._joined(levels[0], inputs[-1])
        joined = write.join(inputs)
        return [joined] if is_last or not last else [joined, *levels[1:], write.join(last_units)]

    @staticmethod
    def _own(block: Block, position: int, level: int) -> slice:
        """Which of a block's units of a level belong to a position."""
        return slice(block.ends[position][level], block.ends[position + 1][level])

    def _joined(self, earlier: str, own: str) -> str:
        """The units of earlier positions, "" for none, and those of one."""
        return self.writer.join([earlier, own]) if earlier else own

    def _gathered(self, outputs: str | None, units: str, block: Block, position: int) -> str | None:
        """The outputs still to come, with what the units that they read of a position add.

        Args:
            outputs: before; None for the biases alone.
            units: of the last hidden layer, or inputs where there is none.
            block: of both.
            position: whose units they are.
        """
        write, level = self.writer, len(block.bias) - 1
        end = self._own(block, position, level + 1)
        weight = block.within[level][self._own(block, position, level)]
        weight = weight[:, end.start if level else end.stop :]
        if not weight.shape[1]:
            return None
        if outputs is None:
            outputs = write.tensor(block.bias[level][-weight.shape[1] :])
        return write.one("Gemm", units, write.tensor(weight), outputs)

    def _cut_outputs(
        self, rows: str, outputs: str | None, block: Block, position: int
    ) -> tuple[str, str | None]:
        """The outputs of a position, and those of later ones: None for biases alone, or none."""
        write, own = self.writer, self._own(block, position, len(block.bias))
        later = len(block.bias[-1]) - own.stop
        if outputs is None:
            bias = write.tensor(block.bias[-1][own])
            return self._repeat(rows, bias, own.stop - own.start), None
        if not later:
            return outputs, None
        now, outputs = write.cut(outputs, [own.stop - own.start, later])
        return now, outputs

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
