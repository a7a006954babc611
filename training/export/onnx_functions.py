"""Univariate maps and activations as functions of an ONNX model, each traced once a process."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from models.networks import Conditioner
from models.numerics import UnivariateMap
from training.export.torch_export import OPSET, trace

DOMAIN = "bijecta"

_graphs: dict[tuple[object, ...], onnx.GraphProto] = {}
"""The graphs traced so far, by key and number type: each takes 0.4 to 4 seconds."""


class OnnxFunction(NamedTuple):
    """How a node calls a function.

    Args:
        name: operator type of the node, in `DOMAIN`.
        constants: names of the inputs after the others. As constants inside the function, every
            call would have copies of them.
        outputs: number of outputs.
    """

    name: str
    constants: tuple[str, ...]
    outputs: int


class OnnxFunctions:
    """The functions of one model and their constants; each is added on first use.

    Args:
        dtype: the number type that they compute in.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.protos: list[onnx.FunctionProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._functions: dict[tuple[object, ...], OnnxFunction] = {}

    def decode(self, univariate: UnivariateMap) -> OnnxFunction:
        """`univariate.decode`: z, points, and theta, points × size → x and log|dx/dz|, points."""
        # Points have one axis: loops inside a map are exported with a single dynamic axis, and
        # onnxruntime takes a hundred times as long with constants where the last axis has length 1
        inputs = {"z": self._zeros(3), "theta": self._zeros(3, univariate.size)}
        return self.function(
            (type(univariate), *sorted(vars(univariate).items())),
            _FunctionModule(univariate.decode),
            inputs,
            ("x", "log_slope"),
            ("points",),
        )

    def hidden_units(self, conditioner: Conditioner, follows: bool) -> OnnxFunction:
        """`conditioner.hidden_units`: a preactivation and perhaps units before → units.

        Args:
            conditioner: that of the network.
            follows: whether another hidden layer comes before, whose units a residual layer adds.
        """
        inputs = {"preactivation": self._zeros(3, 5)}
        if follows:
            inputs["before"] = self._zeros(3, 5)
        return self.function(
            (conditioner.activation, conditioner.residual and follows),
            _FunctionModule(
                lambda preactivation, before=None: conditioner.hidden_units(preactivation, before)
            ),
            inputs,
            ("units",),
            ("batch", "units"),
        )

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=self.dtype)

    def function(
        self,
        key: tuple[object, ...],
        module: nn.Module,
        inputs: Mapping[str, Tensor],
        outputs: Sequence[str],
        dynamic: Sequence[str] = ("batch",),
        tables: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> OnnxFunction:
        """The function of a key, traced on first use (`torch_export.trace`)."""
        if key not in self._functions:
            name = f"{outputs[0]}_{len(self.protos)}"
            whole_key = (*key, *inputs, self.dtype)
            if whole_key not in _graphs:
                _graphs[whole_key] = trace(module, inputs, outputs, dynamic, tables).graph
            graph = _graphs[whole_key]
            constants = {tensor.name: f"{name}_{tensor.name}" for tensor in graph.initializer}
            for tensor in graph.initializer:
                self.constants.append(onnx.TensorProto())
                self.constants[-1].CopyFrom(tensor)
                self.constants[-1].name = constants[tensor.name]
            self.protos.append(
                helper.make_function(
                    DOMAIN,
                    name,
                    [*(value.name for value in graph.input), *constants],
                    [value.name for value in graph.output],
                    list(graph.node),
                    [helper.make_opsetid("", OPSET)],
                )
            )
            self._functions[key] = OnnxFunction(name, tuple(constants.values()), len(outputs))
        return self._functions[key]


class _FunctionModule(nn.Module):
    """A function of one or two tensors as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, first: Tensor, second: Tensor | None = None) -> Any:
        return self.function(first) if second is None else self.function(first, second)
