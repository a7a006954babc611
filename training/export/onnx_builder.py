"""Building ONNX nodes and constants under new names.

On the tape of onnx_ir 1.1 in place of these protobufs, the same graphs took 3.5 to 7.6 times as
long to build (least of 4 times on one CPU core: five layers of 64 coordinates 5.3 s instead of 0.7
s, of 43 coordinates 2.5 s instead of 0.6 s, five layers of 784 by sweeps 8.5 s instead of 2.4 s),
and their outputs were identical. An export builds each graph several times to find the fastest
inverse.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor

from training.export.onnx_functions import DOMAIN, OnnxFunction


class Writer:
    """Collects the nodes and constants of a graph; strings are names of values.

    Args:
        prefix: prefix of all names.
        outer: the writer of the enclosing graph, which holds the constants and counts the names.
    """

    def __init__(self, prefix: str, outer: "Writer | None" = None) -> None:
        self.prefix, self.nodes = prefix, list[onnx.NodeProto]()
        self.constants: list[onnx.TensorProto] = [] if outer is None else outer.constants
        self.numbers: Iterator[int] = itertools.count() if outer is None else outer.numbers

    def name(self) -> str:
        """A new name."""
        return f"{self.prefix}{next(self.numbers)}"

    def constant(self, value: NDArray[Any] | np.generic) -> str:
        """Add an array as a constant; returns its name."""
        name = self.name()
        self.constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def tensor(self, value: Tensor) -> str:
        """Add a tensor as a constant; returns its name."""
        return self.constant(value.detach().cpu().numpy())

    def integers(self, *values: int) -> str:
        """Add a list of integers as a constant; returns its name."""
        return self.constant(np.array(values, np.int64))

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> list[str]:
        """Append a node; returns the names of its outputs."""
        names = [self.name() for _ in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names

    def one(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output; returns its name."""
        return self.add(operator, *inputs, **attributes)[0]

    def call(self, function: OnnxFunction, *inputs: str) -> list[str]:
        """Append a call of a function; returns the names of its outputs."""
        name, constants, outputs = function
        return self.add(name, *inputs, *constants, outputs=outputs, domain=DOMAIN)

    def name_output(self, name: str, operator: str, *inputs: str, **attributes: Any) -> None:
        """Append a node with one output of this name."""
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))

    def cut(self, value: str, widths: Sequence[int]) -> list[str]:
        """Split a batch × n value into columns of these widths."""
        if len(widths) == 1:
            return [value]
        return self.add("Split", value, self.integers(*widths), outputs=len(widths), axis=1)

    def join(self, values: Sequence[str]) -> str:
        """Concatenate values of one batch along their columns."""
        return values[0] if len(values) == 1 else self.one("Concat", *values, axis=1)

    def loop(self, max_steps: int, body: onnx.GraphProto, initial: Sequence[str]) -> list[str]:
        """Append a Loop of at most so many steps; returns the names of its last results."""
        steps, true = self.constant(np.int64(max_steps)), self.constant(np.bool_(True))
        return self.add("Loop", steps, true, *initial, outputs=len(initial), body=body)

    def apart(
        self, like: str, dtype: np.dtype[Any], call: Callable[["Writer"], Sequence[str]]
    ) -> list[str]:
        """Write nodes as a graph of their own, a loop of one step; returns the outputs' names.

        onnxruntime plans the memory of a graph in a time quadratic in its values: the encoding of
        eleven typed columns, of 3,400 nodes in one graph, took 6 s to load.

        Args:
            like: any value of that number type, whose shape does not matter.
            dtype: number type of the outputs.
            call: writes the nodes and returns the names of the outputs.
        """
        body = Writer(self.prefix, self)
        results = call(body)
        once = body.one("Identity", self.constant(np.bool_(True)))
        graph = body.loop_body([], once, results, dtype)
        return self.loop(1, graph, [like] * len(results))

    def loop_body(
        self,
        before: Sequence[str],
        condition: str,
        results: Sequence[str],
        dtype: np.dtype[Any],
        truths: Sequence[str] = (),
    ) -> onnx.GraphProto:
        """The graph of these nodes as the body of a Loop.

        Args:
            before: names of the first results, as the step before had them; as many as are read.
            condition: whether to continue.
            results: the results of a step, which are the outputs of the loop.
            dtype: number type of the results.
            truths: which of them are truth values.
        """
        kind = helper.np_dtype_to_tensor_dtype(dtype)
        kinds = [onnx.TensorProto.BOOL if name in truths else kind for name in results]
        info = helper.make_tensor_value_info
        carried = [*before, *(self.name() for _ in results[len(before) :])]
        return helper.make_graph(
            self.nodes,
            "body",
            [
                info(self.name(), onnx.TensorProto.INT64, []),
                info(self.name(), onnx.TensorProto.BOOL, []),
                *(info(name, each, None) for name, each in zip(carried, kinds, strict=True)),
            ],
            [
                info(condition, onnx.TensorProto.BOOL, []),
                *(info(name, each, None) for name, each in zip(results, kinds, strict=True)),
            ],
        )
