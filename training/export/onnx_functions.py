"""Functions of an ONNX model: univariate maps and activations, each recorded once a process."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import onnx
import torch
from onnx import helper
from torch import Tensor

from models.networks import Conditioner
from models.numerics import UnivariateMap
from training.export.recorded import OPSET, Axes, recorded

DOMAIN = "bijecta"

_graphs: dict[tuple[object, ...], onnx.GraphProto] = {}
"""The graphs recorded so far, by key and number type."""


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
        return self.function(
            (type(univariate), *sorted(vars(univariate).items())),
            univariate.decode,
            {"z": ("points",), "theta": ("points", univariate.size)},
            ("x", "log_slope"),
        )

    def hidden_units(self, conditioner: Conditioner, follows: bool) -> OnnxFunction:
        """`conditioner.hidden_units`: a preactivation and perhaps units before → units.

        Args:
            conditioner: that of the network.
            follows: whether another hidden layer comes before, whose units a residual layer adds.
        """
        unit: dict[str, Axes] = {"preactivation": ("batch", "units")}
        if follows:
            unit["before"] = ("batch", "units")
        return self.function(
            (conditioner.activation, conditioner.residual and follows),
            lambda preactivation, before=None: conditioner.hidden_units(preactivation, before),
            unit,
            ("units",),
        )

    def function(
        self,
        key: tuple[object, ...],
        call: Callable[..., Any],
        inputs: Mapping[str, Axes],
        outputs: Sequence[str],
    ) -> OnnxFunction:
        """The function of a key, recorded on first use (`recording.record`).

        Args:
            key: what tells functions apart.
            call: of the inputs.
            inputs: their shapes by name.
            outputs: names of the results.
        """
        if key not in self._functions:
            whole_key = (*key, *inputs, self.dtype)
            if whole_key not in _graphs:
                _graphs[whole_key] = recorded(call, inputs, outputs, self.dtype)
            self._functions[key] = self._added(_graphs[whole_key], outputs)
        return self._functions[key]

    def of_model(
        self,
        call: Callable[..., Any],
        inputs: Mapping[str, Axes],
        outputs: Sequence[str],
        weights: Mapping[str, Tensor],
    ) -> OnnxFunction:
        """A function that reads weights of this model alone, recorded anew.

        Args:
            call, inputs, outputs: as of `function`.
            weights: the tensors that it reads, by name.
        """
        return self._added(recorded(call, inputs, outputs, self.dtype, weights), outputs)

    def _added(self, graph: onnx.GraphProto, outputs: Sequence[str]) -> OnnxFunction:
        """The function of a graph."""
        name = f"{outputs[0]}_{len(self.protos)}"
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
        return OnnxFunction(name, tuple(constants.values()), len(outputs))
