"""Decoding of typed columns as ONNX, unrolled column by column.

The algorithm is that of `models.columns.TypedColumns.decode`. The exporter of torch would trace
every column by itself. Therefore it sees a single node for the values of all columns
(`deferred_values`), which `expand` replaces by a subgraph. Columns of one group call one function,
with the numbers of the column, such as its warp and its shares, as inputs.
"""

import copy
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from models.columns import ColumnGroup, NumberGroup, TypedColumns
from models.networks import Block
from training.export.masked_network import NetworkWriter
from training.export.onnx_builder import Writer
from training.export.onnx_functions import DOMAIN, OnnxFunction, OnnxFunctions

NODE = "TypedValues"


def deferred_values(
    density: TypedColumns, y: Tensor, context: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The values of all columns, and the parameters of their conditionals, as one node.

    Args:
        density: the density.
        y: N × D, the logits of the places of values, in float64.
        context: N × features that the network reads, or None.

    Returns:
        x: N × D; theta: N × parameters, of the columns in the order of groups; both in float64.
    """
    size = sum(group.size * len(group.index) for group in groups_of(density))
    x, theta = torch.onnx.ops.symbolic_multi_out(
        f"{DOMAIN}::{NODE}",
        [y] if context is None else [y, context],
        {},
        dtypes=(torch.float64, torch.float64),
        shapes=(y.shape, (y.shape[0], size)),
        version=1,
    )
    return x, theta


def groups_of(density: TypedColumns) -> list[ColumnGroup]:
    """The groups of columns."""
    return [group for group in density.groups if isinstance(group, ColumnGroup)]


def expand(model: onnx.ModelProto, density: TypedColumns) -> onnx.ModelProto:
    """Replace the node of `deferred_values` in a model by its subgraph; returns the model.

    Args:
        model: the exported model.
        density: the density that it was exported from, folded.
    """
    nodes = list(model.graph.node)
    del model.graph.node[:]
    dtype = next(density.network.parameters()).dtype
    networks, columns = OnnxFunctions(dtype), OnnxFunctions(torch.float64)
    for node in nodes:
        if (node.domain, node.op_type) != (DOMAIN, NODE):
            model.graph.node.append(node)
            continue
        writer = Writer("typed_")
        _Values(writer, density, networks, columns).write(*node.input, outputs=node.output)
        model.graph.node.extend(writer.nodes)
        model.graph.initializer.extend(writer.constants)
    for functions in (networks, columns):
        model.functions.extend(functions.protos)
        model.graph.initializer.extend(functions.constants)
    return model


class _Values:
    """Writes the values of all columns; strings are names of values."""

    def __init__(
        self,
        writer: Writer,
        density: TypedColumns,
        networks: OnnxFunctions,
        columns: OnnxFunctions,
    ) -> None:
        self.writer, self.density = writer, density
        self.network = NetworkWriter(writer, density.network, networks)
        self.columns = [
            (group, i, _function(group, columns))
            for group in groups_of(density)
            for i in range(len(group.index))
        ]
        self.members = {group.index[i]: (group, i, function) for group, i, function in self.columns}

    def write(self, y: str, context: str | None = None, *, outputs: list[str]) -> None:
        """Write the nodes from y to `outputs`: x, N × D; theta, N × parameters."""
        write, density = self.writer, self.density
        places = write.cut(y, [1] * len(density.order))
        # for each linear layer the units of earlier blocks that it reads, None if there are none
        units: list[str | None] = [None] * len(density.network.linears)
        units[0] = context
        xs: dict[int, str] = {}
        thetas: dict[int, str] = {}
        first = 0
        for block in density.network.blocks(density.block_width):
            own = self._block(density.order[first:], block, units, places, xs, thetas)
            units = self.network.add_units(units, own)
            first += len(block.ends) - 1
        x = write.one("Concat", *(xs[i] for i in range(len(xs))), axis=1)
        write.name_output(outputs[0], "Identity", x)
        grouped = [thetas[group.index[i]] for group, i, _ in self.columns]
        write.name_output(outputs[1], "Concat", *grouped, axis=1)

    def _block(
        self,
        order: list[int],
        block: Block,
        units: list[str | None],
        places: list[str],
        xs: dict[int, str],
        thetas: dict[int, str],
    ) -> list[str]:
        """Write the columns of a block; returns its inputs and its units of each layer."""
        write = self.writer
        exact, narrow = (helper.np_dtype_to_tensor_dtype(np.dtype(t)) for t in ("f8", "f4"))
        casts = self.network.dtype != np.float64

        def solve(position: int, theta: str) -> str:
            column = order[position]
            theta = write.one("Cast", theta, to=exact) if casts else theta
            group, i, function = self.members[column]
            numbers = [write.tensor(values[i : i + 1]) for values in _numbers(group).values()]
            x, features = write.call(function, places[column], theta, *numbers)
            xs[column], thetas[column] = x, theta
            return write.one("Cast", features, to=narrow) if casts else features

        before = self.network.before(block, units)
        return self.network.positions(places[0], before, block, solve)


def _numbers(group: ColumnGroup) -> dict[str, Tensor]:
    """The buffers and parameters of a group's columns by name: C × … each."""
    return {**dict(group.named_buffers()), **dict(group.named_parameters())}


def _key(group: ColumnGroup) -> tuple[object, ...]:
    """What groups share whose columns are computed by the same function."""
    options = {
        k: v for k, v in vars(group).items() if k[0] != "_" and k not in ("index", "training")
    }
    if isinstance(group, NumberGroup):
        options |= vars(group.mixture) | {"mixture": type(group.mixture)}
    shapes = ((k, tuple(v.shape[1:]), v.dtype) for k, v in _numbers(group).items())
    return type(group), *((k, str(v)) for k, v in sorted(options.items())), *shapes


def _function(group: ColumnGroup, functions: OnnxFunctions) -> OnnxFunction:
    """`_Column` of a group as a function."""
    inputs = {
        "y": torch.zeros(3, 1, dtype=torch.float64),
        "theta": torch.zeros(3, group.size, dtype=torch.float64),
    }
    numbers = {name: values[:1].clone() for name, values in _numbers(group).items()}
    return functions.function(_key(group), _Column(group), inputs, ("x", "features"), fixed=numbers)


class _Column(nn.Module):
    """A column of a group: y and theta, N × 1 and N × size, and its numbers → x and features."""

    def __init__(self, group: ColumnGroup) -> None:
        super().__init__()
        self.groups = [group]  # in a list: its own numbers are no part of the function
        self.names = list(_numbers(group))

    def forward(self, y: Tensor, theta: Tensor, *numbers: Tensor) -> tuple[Tensor, Tensor]:
        group = copy.copy(self.groups[0])
        given: dict[str, Any] = dict(zip(self.names, numbers, strict=True))
        group._buffers = {name: given[name] for name in group._buffers}
        group._parameters = {name: given[name] for name in group._parameters}
        x = group.decode(y, theta[:, None])
        return x, group.features(x).flatten(1)
