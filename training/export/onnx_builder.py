"""Writing ONNX nodes by hand."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor

from training.export.onnx_functions import DOMAIN, Call


class Writer:
    """Nodes and constants of a graph, under new names.

    Args:
        prefix: what the names begin with.
        outer: the writer of the graph around this one, which gets its constants and names.
    """

    def __init__(self, prefix: str, outer: "Writer | None" = None) -> None:
        self.prefix, self.nodes = prefix, list[onnx.NodeProto]()
        self.constants: list[onnx.TensorProto] = [] if outer is None else outer.constants
        self.numbers: Iterator[int] = itertools.count() if outer is None else outer.numbers

    def name(self) -> str:
        """A new one."""
        return f"{self.prefix}{next(self.numbers)}"

    def constant(self, value: NDArray[Any] | np.generic) -> str:
        """Keep an array; gives its name."""
        name = self.name()
        self.constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def tensor(self, value: Tensor) -> str:
        """Keep a tensor; gives its name."""
        return self.constant(value.detach().cpu().numpy())

    def integers(self, *values: int) -> str:
        """Keep a list of whole numbers; gives its name."""
        return self.constant(np.array(values, np.int64))

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> list[str]:
        """Append a node; gives the names of its outputs."""
        names = [self.name() for _ in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names

    def one(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append a node of one output; gives its name."""
        return self.add(operator, *inputs, **attributes)[0]

    def call(self, function: Call, *inputs: str) -> list[str]:
        """Append a call of a function; gives the names of its outputs."""
        name, constants, outputs = function
        return self.add(name, *inputs, *constants, outputs=outputs, domain=DOMAIN)

    def name_output(self, name: str, operator: str, *inputs: str, **attributes: Any) -> None:
        """Append a node whose output has a given name."""
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))

    def cut(self, value: str, widths: Sequence[int]) -> list[str]:
        """Columns of a batch × n value, in runs of these widths."""
        if len(widths) == 1:
            return [value]
        return self.add("Split", value, self.integers(*widths), outputs=len(widths), axis=1)

    def join(self, values: Sequence[str]) -> str:
        """Values of one batch side by side."""
        return values[0] if len(values) == 1 else self.one("Concat", *values, axis=1)

    def loop(self, most: int, body: onnx.GraphProto, starts: Sequence[str]) -> list[str]:
        """Append a Loop of at most so many steps; gives the names of what its last step gave."""
        steps, true = self.constant(np.int64(most)), self.constant(np.bool_(True))
        return self.add("Loop", steps, true, *starts, outputs=len(starts), body=body)

    def loop_body(
        self, last: str, condition: str, results: Sequence[str], dtype: np.dtype[Any]
    ) -> onnx.GraphProto:
        """The graph of these nodes as the body of a Loop, which hands only one value on.

        Args:
            last: name of the first result as the step before gave it.
            condition: whether to go on.
            results: what a step gives, of `dtype`; all are the loop's outputs.
            dtype: number type.
        """
        kind = helper.np_dtype_to_tensor_dtype(dtype)
        info = helper.make_tensor_value_info
        taken = [last, *(self.name() for _ in results[1:])]
        return helper.make_graph(
            self.nodes,
            "body",
            [
                info(self.name(), onnx.TensorProto.INT64, []),
                info(self.name(), onnx.TensorProto.BOOL, []),
                *(info(name, kind, None) for name in taken),
            ],
            [
                info(condition, onnx.TensorProto.BOOL, []),
                *(info(name, kind, None) for name in results),
            ],
        )
