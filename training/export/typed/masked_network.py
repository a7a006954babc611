"""A masked network over typed columns as ONNX nodes.

What a column gives to the preactivations of each layer is added to them at once, so that all
columns are alike.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from models.columns import MaskedColumnNetwork, TypedColumns
from models.networks import Block
from training.export.masked import NetworkWriter
from training.export.onnx_builder import Writer
from training.export.onnx_functions import OnnxFunctions
from training.export.typed.network import ColumnNetworkWriter


class MaskedNetworkWriter(ColumnNetworkWriter):
    """Writes a masked network; its states are the preactivations of each layer.

    Args:
        writer: collects the nodes.
        density: whose network it is, folded.
        functions: those of the model, in the network's number type.
    """

    def __init__(self, writer: Writer, density: TypedColumns, functions: OnnxFunctions) -> None:
        assert isinstance(density.network, MaskedColumnNetwork)
        self.writer, self.density, self.network = writer, density, density.network
        self.layers = NetworkWriter(writer, self.network, functions)
        (self.block,) = self.network.blocks(len(density.order))
        self.shapes = [[len(bias)] for bias in self.block.bias]

    def parameters(self, features: str, context: str | None) -> str:
        """Write all columns at once."""
        write = self.writer
        weights, biases = self._weights()
        units = features if context is None else write.join([context, features])
        before: str | None = None
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            units = write.one("Gemm", units, write.tensor(weight), write.tensor(bias), transB=1)
            if i + 1 < len(weights):
                units = before = self.layers.units(write, units, before)
        return units

    def first_states(self, rows: str, context: str | None) -> list[str]:
        """Write the preactivations before any column is known."""
        write = self.writer
        batch = write.one("Shape", rows, start=0, end=1)
        states = []
        for bias in self.block.bias:
            shape = write.one("Concat", batch, write.integers(len(bias)), axis=0)
            states.append(write.one("Expand", write.tensor(bias), shape))
        if context is not None:
            states[0] = write.one("Gemm", context, write.tensor(self.block.before[0]), states[0])
        return states

    def rows(self) -> list[NDArray[Any]]:
        """The units of each column in each layer, and the weights with which others read them."""
        layers = range(len(self.shapes))
        units = [
            [torch.arange(a[i + 1], b[i + 1]) for a, b in pairwise(self.block.ends)] for i in layers
        ]
        weights = [_weights_of_columns(self.block, i) for i in layers]
        padded = (pad_sequence(each, batch_first=True) for each in (*units, *weights))
        return [tensor.detach().numpy() for tensor in padded]

    def before_value(
        self, body: Writer, states: Sequence[str], rows: Sequence[str]
    ) -> tuple[str, list[str]]:
        """Write the units of a column, layer by layer."""
        layers, after = len(states), list(states)
        units, weights = rows[:layers], rows[layers:]
        before: str | None = None
        for i in range(layers):
            own = body.one("Gather", after[i], units[i], axis=1)
            if i + 1 < layers:
                before = self.layers.units(body, own, before)
                after[i + 1] = _added(body, after[i + 1], before, weights[i + 1])
        return own, after

    def after_value(
        self, body: Writer, states: Sequence[str], rows: Sequence[str], features: str
    ) -> list[str]:
        """Write what the features give to the first layer."""
        first, *others = states
        return [_added(body, first, features, rows[len(states)]), *others]

    def _weights(self) -> tuple[list[Tensor], list[Tensor]]:
        """The layers' weights, outputs × inputs, and biases, with columns in groups' order."""
        density, network = self.density, self.network
        linears = network.masked_linears()
        weights = [linear.masked_weight() for linear in linears]
        biases: list[Tensor] = [linear.bias for linear in linears]
        context = torch.arange(network.context)
        grouped = density.inputs_to_columns.argsort() + network.context
        weights[0] = weights[0][:, torch.cat([context, grouped])]
        weights[-1] = weights[-1][density.parameters_to_groups]
        biases[-1] = biases[-1][density.parameters_to_groups]
        return weights, biases


def _added(write: Writer, state: str, units: str, weight: str) -> str:
    """Preactivations with what these units give to them."""
    return write.one("Add", state, write.one("MatMul", units, weight))


def _weights_of_columns(block: Block, layer: int) -> list[Tensor]:
    """The weights from each column's units of a level, D times, to the units of the next one."""
    weight, ends = block.within[layer], [end[layer] for end in block.ends]
    return [weight[a:b] for a, b in pairwise(ends)]
