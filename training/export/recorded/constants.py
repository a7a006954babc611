"""The constants of a graph, each stored once."""

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
import onnx
from onnx import helper, numpy_helper
from torch import Tensor

from training.export.recorded.nodes import names_read


class Constants:
    """Constants by their elements.

    Args:
        names: those of the graph's values, which no constant has.
    """

    def __init__(self, names: "Names") -> None:
        self._names = names
        self._tensors: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}

    def name(self, tensor: Tensor, hint: str = "") -> str:
        """The name of the constant with these elements.

        Args:
            tensor: the elements.
            hint: the name of a constant that is new.
        """
        array = tensor.detach().cpu().numpy()
        content = np.ascontiguousarray(array).reshape(array.shape)
        key = str(array.dtype), array.shape, sha256(content.data).digest()
        if key not in self._tensors:
            name = self._names.new(hint or "constant")
            self._tensors[key] = numpy_helper.from_array(content, name)
        return self._tensors[key].name

    def read_by(
        self, nodes: Sequence[onnx.NodeProto]
    ) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """The constants that nodes read: single numbers as nodes, and tables."""
        read = names_read(nodes)
        scalars, tables = [], []
        for tensor in self._tensors.values():
            if tensor.name not in read:
                continue
            if list(tensor.dims) in ([], [1]):
                scalars.append(helper.make_node("Constant", [], [tensor.name], value=tensor))
            else:
                tables.append(tensor)
        return scalars, tables


class Names:
    """Names of a graph's values, each given once."""

    def __init__(self, taken: Sequence[str]) -> None:
        self._given = set(taken)
        self._counts: dict[str, int] = {}

    def new(self, stem: str) -> str:
        """The stem if it is free, else with a number after it."""
        name = stem
        while name in self._given:
            self._counts[stem] = self._counts.get(stem, 0) + 1
            name = f"{stem}_{self._counts[stem]}"
        self._given.add(name)
        return name
