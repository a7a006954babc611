"""Parts of masked layers as functions of an ONNX model, traced once for all their uses."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from models.networks import Conditioner
from models.numerics import UnivariateMap
from training.export.torch_export import OPSET, trace

DOMAIN = "bijecta"


class Call(NamedTuple):
    """How a function is called."""

    name: str
    constants: tuple[str, ...]
    """What it takes after its other inputs. Of its own, each call would have copies of them."""
    outputs: int


class Functions:
    """The functions of one model and their constants, each made once.

    Args:
        dtype: what they compute in.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.made: list[onnx.FunctionProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._calls: dict[tuple[object, ...], Call] = {}

    def decode(self, univariate: UnivariateMap) -> Call:
        """`univariate.decode`: z, points, and theta, points × size → x and log|dx/dz|, points."""
        # Of one axis: loops inside a map export with a single axis of any length, and where the
        # last axis is of length 1 onnxruntime is a hundred times slower with constants
        inputs = {"z": self._zeros(3), "theta": self._zeros(3, univariate.size)}
        return self._function(
            (type(univariate), *sorted(vars(univariate).items())),
            _Call(univariate.decode),
            inputs,
            ("x", "log_slope"),
            ("points",),
        )

    def hidden_units(self, conditioner: Conditioner, follows: bool) -> Call:
        """`conditioner.hidden_units`: a preactivation and, where it counts, units before → units.

        Args:
            conditioner: of the network.
            follows: the layer comes after another hidden layer, whose units a residual one adds.
        """
        inputs = {"preactivation": self._zeros(3, 5)}
        if follows:
            inputs["before"] = self._zeros(3, 5)
        return self._function(
            (conditioner.activation, conditioner.residual and follows),
            _Call(
                lambda preactivation, before=None: conditioner.hidden_units(preactivation, before)
            ),
            inputs,
            ("units",),
            ("batch", "units"),
        )

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=self.dtype)

    def _function(
        self,
        key: tuple[object, ...],
        module: nn.Module,
        inputs: Mapping[str, Tensor],
        outputs: Sequence[str],
        dynamic: Sequence[str],
    ) -> Call:
        """A function, traced where there is none yet for the key."""
        if key not in self._calls:
            name = f"{outputs[0]}_{len(self.made)}"
            graph = trace(module, inputs, outputs, dynamic).graph
            constants = {tensor.name: f"{name}_{tensor.name}" for tensor in graph.initializer}
            for tensor in graph.initializer:
                self.constants.append(onnx.TensorProto())
                self.constants[-1].CopyFrom(tensor)
                self.constants[-1].name = constants[tensor.name]
            self.made.append(
                helper.make_function(
                    DOMAIN,
                    name,
                    [*(value.name for value in graph.input), *constants],
                    [value.name for value in graph.output],
                    list(graph.node),
                    [helper.make_opsetid("", OPSET)],
                )
            )
            self._calls[key] = Call(name, tuple(constants.values()), len(outputs))
        return self._calls[key]


class _Call(nn.Module):
    """A function of one or two tensors as a module."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, first: Tensor, second: Tensor | None = None) -> Any:
        return self.function(first) if second is None else self.function(first, second)
