"""Decoding of typed columns as ONNX nodes: one Scan over the columns, in their order.

The algorithm is that of `models.columns.TypedColumns.decode`; each hidden unit of the network is
computed once. The body of the Scan has the functions of each group once, however many columns there
are, and computes those of the group that the step's column belongs to. What a column gives to the
preactivations of each layer is added to them at once, so that all steps are alike.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import GraphProto, TensorProto, helper
from torch import Tensor

from models.networks import Block
from training.export.onnx_builder import Writer
from training.export.typed.encoding import DensityWriter
from training.export.typed.functions import to_logistic

Integers = NDArray[np.int64]


class DecodeWriter(DensityWriter):
    """Writes decoding; strings are names of values."""

    def decode(self, z: str, context: str | None) -> tuple[str, str]:
        """Write decoding: z, N × D → x, N × D, and log_prob, N."""
        write, order = self.writer, self.density.order
        logits = write.call(to_logistic(self.exact), z)[0]
        logits = write.one("Gather", logits, write.integers(*order), axis=1)
        x, theta = self._scan(logits, context)
        log_probs = [self._log_prob(i, x, theta) for i in range(len(self.groups))]
        places = write.integers(*np.argsort(order))
        return write.one("Gather", x, places, axis=1), self.total(log_probs)

    def _log_prob(self, i: int, x: str, theta: str) -> str:
        """Log-densities of a group's columns, from x and theta in the order of decoding."""
        write, group = self.writer, self.groups[i]
        at = write.integers(*(self.density.order.index(column) for column in group.index))
        x = write.one("Gather", x, at, axis=1)
        theta = write.one("Gather", theta, at, axis=1)
        theta = write.one("Slice", theta, *map(write.integers, (0, group.size, 2)))
        return self.apart(i, self.functions[i].log_prob, x, theta)[0]

    def _scan(self, logits: str, context: str | None) -> tuple[str, str]:
        """The columns one after another: logits, N × D → x, N × D, and theta, N × D × largest size.

        All are in the order of decoding.
        """
        write, density = self.writer, self.density
        (block,) = density.network.blocks(len(density.order))
        states = self._initial(block, logits, context)
        units = [
            _padded([np.arange(a[i], b[i]) for a, b in pairwise(block.ends)])
            for i in range(1, len(states) + 1)
        ]
        weights = [_rows(block, i) for i in range(len(states))]
        groups, members = self._groups_and_members()
        steps = [
            write.constant(groups),
            write.constant(members[:, None]),
            *map(write.constant, units),
            *map(write.tensor, weights),
            logits,
        ]
        body = self._body([len(bias) for bias in block.bias])
        inputs = [*states, *steps]
        *_, x, theta = write.add(
            "Scan",
            *inputs,
            outputs=len(states) + 2,
            body=body,
            num_scan_inputs=len(steps),
            scan_input_axes=[*[0] * (len(steps) - 1), 1],
            scan_output_axes=[1, 1],
        )
        return x, theta

    def _initial(self, block: Block, rows: str, context: str | None) -> list[str]:
        """The preactivations of each layer before any column is known: N × units."""
        write = self.writer
        batch = write.one("Shape", rows, start=0, end=1)
        states = []
        for bias in block.bias:
            shape = write.one("Concat", batch, write.integers(len(bias)), axis=0)
            states.append(write.one("Expand", write.tensor(bias), shape))
        if context is not None:
            features = self.context_features(context)
            weight = write.tensor(block.before[0])
            states[0] = write.one("Gemm", features, weight, states[0])
        return states

    def _groups_and_members(self) -> tuple[Integers, Integers]:
        """Of each column, in the order of decoding, its group and its number in it."""
        found = {
            column: (i, k)
            for i, group in enumerate(self.groups)
            for k, column in enumerate(group.index)
        }
        pairs = np.array([found[column] for column in self.density.order], np.int64)
        return pairs[:, 0], pairs[:, 1]

    def _body(self, widths: list[int]) -> GraphProto:
        """The body of the Scan, a column of a group; `widths` are those of the layers."""
        layers = len(widths)
        body = Writer(self.writer.prefix, self.writer)
        states = [body.name() for _ in range(layers)]
        group, member = body.name(), body.name()
        units, weights = ([body.name() for _ in range(layers)] for _ in range(2))
        logit = body.name()
        before: str | None = None
        after = list(states)
        for i in range(layers):
            own = body.one("Gather", after[i], units[i], axis=1)
            if i + 1 < layers:
                before = self.network.units(body, own, before)
                after[i + 1] = self._added(body, after[i + 1], before, weights[i + 1])
        theta = self.cast(body, own, torch.float64)
        x, features = self._choose(body, group, (logit, theta, member))
        features = self.cast(body, features, self.density.like.dtype)
        after[0] = self._added(body, after[0], features, weights[0])
        # an output is no input of another node, and no output is another's
        outputs = [body.one("Identity", value) for value in (*after, x, theta)]
        exact, whole, own_kind = (
            helper.np_dtype_to_tensor_dtype(np.dtype(t))
            for t in (np.float64, np.int64, self.network.dtype)
        )
        info = helper.make_tensor_value_info
        return helper.make_graph(
            body.nodes,
            "column",
            [
                *(info(name, own_kind, None) for name in states),
                *(info(name, whole, None) for name in (group, member, *units)),
                *(info(name, own_kind, None) for name in weights),
                info(logit, exact, None),
            ],
            [
                # a Scan allocates its outputs beforehand
                *(
                    info(name, own_kind, ["rows", width])
                    for name, width in zip(outputs, widths, strict=False)
                ),
                info(outputs[-2], exact, ["rows"]),
                info(outputs[-1], exact, ["rows", max(group.size for group in self.groups)]),
            ],
        )

    def _added(self, write: Writer, state: str, units: str, weight: str) -> str:
        """Preactivations with what these units give to them."""
        return write.one("Add", state, write.one("MatMul", units, weight))

    def _choose(
        self, write: Writer, group: str, inputs: tuple[str, str, str], first: int = 0
    ) -> list[str]:
        """x, N, and features, N × largest number, of the column's group, from `first` on."""
        if first + 1 == len(self.groups):
            return self._column(write, first, *inputs)
        own = self._branch(write, lambda branch: self._column(branch, first, *inputs))
        other = self._branch(write, lambda branch: self._choose(branch, group, inputs, first + 1))
        condition = write.one("Equal", group, write.constant(np.int64(first)))
        return write.add("If", condition, outputs=2, then_branch=own, else_branch=other)

    def _branch(self, write: Writer, values: Callable[[Writer], list[str]]) -> GraphProto:
        """A branch of an If, whose outputs are these values in float64."""
        branch = Writer(write.prefix, write)
        outputs = [branch.one("Identity", value) for value in values(branch)]
        kinds = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in outputs]
        return helper.make_graph(branch.nodes, "group", [], kinds)

    def _column(self, write: Writer, i: int, logit: str, theta: str, member: str) -> list[str]:
        """x, N, and features, N × largest number, of a column of a group."""
        group, functions = self.groups[i], self.functions[i]
        numbers = [write.one("Gather", table, member, axis=0) for table in self.numbers[i]]
        axis = write.integers(1)
        theta = write.one("Slice", theta, *map(write.integers, (0, group.size, 1)))
        logit, theta = (write.one("Unsqueeze", value, axis) for value in (logit, theta))
        x = write.call(functions.decode, logit, theta, *numbers)[0]
        features = write.one("Squeeze", write.call(functions.features, x, *numbers)[0], axis)
        more = max(g.inputs for g in self.groups) - group.inputs
        if more:
            features = write.one("Pad", features, write.integers(0, 0, 0, more))
        return [write.one("Squeeze", x, axis), features]


def _padded(rows: list[Integers]) -> Integers:
    """Rows of unequal lengths as a matrix, filled up with zeros."""
    padded = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for row, values in zip(padded, rows, strict=True):
        row[: len(values)] = values
    return padded


def _rows(block: Block, layer: int) -> Tensor:
    """The weights from each column's units of a level to the next one, filled up with zeros.

    Columns × largest number of units × units of the next level.
    """
    weight = block.within[layer]
    ends = [end[layer] for end in block.ends]
    own = [weight[a:b] for a, b in pairwise(ends)]
    return torch.nn.utils.rnn.pad_sequence(own, batch_first=True)
