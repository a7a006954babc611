"""Decoding of typed columns as ONNX nodes: one Scan over the columns, in their order.

The algorithm is that of `models.columns.TypedColumns.decode`; each hidden unit of the network is
computed once. The body of the Scan has the functions of each group once, however many columns there
are, and computes those of the group that the step's column belongs to.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import GraphProto, TensorProto, helper

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
        rows = self.cast(write, logits, density.like.dtype)
        states = self.network.first_states(rows, self.context_features(context))
        groups, members = self._groups_and_members()
        read = [groups, members[:, None], *self.network.rows()]
        inputs = [*states, *map(write.constant, read), logits]
        *_, x, theta = write.add(
            "Scan",
            *inputs,
            outputs=len(states) + 2,
            body=self._body([array.dtype for array in read]),
            num_scan_inputs=len(read) + 1,
            scan_input_axes=[*[0] * len(read), 1],
            scan_output_axes=[1, 1],
        )
        return x, theta

    def _groups_and_members(self) -> tuple[Integers, Integers]:
        """Of each column, in the order of decoding, its group and its number in it."""
        found = {
            column: (i, k)
            for i, group in enumerate(self.groups)
            for k, column in enumerate(group.index)
        }
        pairs = np.array([found[column] for column in self.density.order], np.int64)
        return pairs[:, 0], pairs[:, 1]

    def _body(self, read: Sequence[np.dtype[Any]]) -> GraphProto:
        """The body of the Scan, a column of a group.

        Args:
            read: number types of what a column reads: its group, its number in it, and the
                network's rows.
        """
        network, shapes = self.network, self.network.shapes
        body = Writer(self.writer.prefix, self.writer)
        states = [body.name() for _ in shapes]
        group, member, *rows = (body.name() for _ in read)
        logit = body.name()
        theta, after = network.before_value(body, states, rows)
        theta = self.cast(body, theta, torch.float64)
        x, features = self._choose(body, group, (logit, theta, member))
        features = self.cast(body, features, self.density.like.dtype)
        after = network.after_value(body, after, rows, features)
        # an output is no input of another node, and no output is another's
        outputs = [body.one("Identity", value) for value in (*after, x, theta)]
        number = torch.empty(0, dtype=self.density.like.dtype).numpy().dtype
        exact, own_kind, *kinds = (
            helper.np_dtype_to_tensor_dtype(dtype)
            for dtype in (np.dtype(np.float64), number, *read)
        )
        info = helper.make_tensor_value_info
        return helper.make_graph(
            body.nodes,
            "column",
            [
                *(info(name, own_kind, None) for name in states),
                *(
                    info(name, kind, None)
                    for name, kind in zip((group, member, *rows), kinds, strict=True)
                ),
                info(logit, exact, None),
            ],
            [
                # a Scan allocates its outputs beforehand
                *(
                    info(name, own_kind, ["rows", *shape])
                    for name, shape in zip(outputs, shapes, strict=False)
                ),
                info(outputs[-2], exact, ["rows"]),
                info(outputs[-1], exact, ["rows", max(group.size for group in self.groups)]),
            ],
        )

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
