"""What a value of a graph is."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor

from training.export.recorded.recording import Size

KINDS = {
    torch.float64: TensorProto.DOUBLE,
    torch.float32: TensorProto.FLOAT,
    torch.int64: TensorProto.INT64,
    torch.bool: TensorProto.BOOL,
}


@dataclass(frozen=True)
class Value:
    """A value of the graph.

    Args:
        name: of the value; of a constant, the name that it gets when a node reads it, if any.
        sizes: of its axes.
        dtype: of its elements.
        level: number of loops around its node.
        constant: its elements, if they depend on no input: of its whole shape, or a single one for
            all where the shape is dynamic.
    """

    name: str
    sizes: tuple[Size, ...]
    dtype: torch.dtype
    level: int = 0
    constant: Tensor | None = None

    def info(self, axes: Sequence[str], name: str = "") -> onnx.ValueInfoProto:
        """How a graph states the number type and the shape.

        Args:
            axes: names of those of any length.
            name: in place of that of the value.
        """
        shape: list[int | str] = []
        for size in self.sizes:
            powers = zip(axes, size.powers, strict=True)
            factors = [axis for axis, power in powers for _ in range(power)]
            if size.factor != 1:
                factors.insert(0, str(size.factor))
            shape.append(size.factor if size.is_static else size.name or "*".join(factors))
        return helper.make_tensor_value_info(name or self.name, KINDS[self.dtype], shape)
