"""The computations of groups of typed columns as functions of an ONNX model.

The numbers of a group's columns, such as warps and shares, are inputs of its functions, and so are
the columns of the group of any number. So groups of the same structure share functions, and so do
the two directions: encoding computes a group's columns at once, decoding one by one.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models.columns import ColumnGroup, NumberGroup
from models.numerics import logistic_from_normal, normal_from_logistic
from training.export.onnx_functions import OnnxFunction, OnnxFunctions

_DYNAMIC = ("batch", "columns")


def numbers_of(group: ColumnGroup) -> dict[str, Tensor]:
    """The constants and parameters of a group's columns by name: C × … each."""
    numbers = {**dict(group.named_buffers()), **dict(group.named_parameters())}
    del numbers["columns"]
    return numbers


class GroupFunctions:
    """The functions of a group; each takes the group's numbers after its own inputs.

    Args:
        group: of a folded density.
        functions: those of the model, in float64.
        tolerance: relative error of probabilities (`ColumnGroup.encode`).
    """

    def __init__(self, group: ColumnGroup, functions: OnnxFunctions, tolerance: float) -> None:
        self._group, self._functions, self._tolerance = group, functions, tolerance

    @property
    def features(self) -> OnnxFunction:
        """x, N × C → what the network reads, N × C × inputs."""
        return self._function("features", lambda group, x: group.features(x), {"x": ()})

    @property
    def encode(self) -> OnnxFunction:
        """x, u, N × C, and theta, N × C × size → logits of places and log-densities, N × C."""
        return self._function(
            "encode",
            lambda group, x, u, theta: group.encode(x, u, theta, self._tolerance),
            {"x": (), "u": (), "theta": (self._group.size,)},
        )

    @property
    def decode(self) -> OnnxFunction:
        """Logits of places y, N × C, and theta, N × C × size → x, N × C."""
        return self._function(
            "decode",
            lambda group, y, theta: group.decode(y, theta),
            {"y": (), "theta": (self._group.size,)},
        )

    def _function(
        self, name: str, call: Callable[..., Any], shapes: dict[str, tuple[int, ...]]
    ) -> OnnxFunction:
        """A method of the group as a function; of each input, the axes after N × C are given."""
        inputs = {
            key: torch.full((5, 3, *shape), 0.5, dtype=torch.float64)
            for key, shape in shapes.items()
        }
        tables = {
            key: values[torch.zeros(3, dtype=torch.long)]
            for key, values in numbers_of(self._group).items()
        }
        outputs = ("y", "log_prob") if name == "encode" else (name,)
        return self._functions.function(
            (name, self._tolerance, *_structure(self._group)),
            _Method(self._group, call, len(inputs)),
            inputs,
            outputs,
            _DYNAMIC,
            tables,
        )


def scale_functions(functions: OnnxFunctions) -> tuple[OnnxFunction, OnnxFunction]:
    """The maps from normal latents to logits, and back, elementwise: N × D → N × D."""
    examples = {"value": torch.zeros(5, 3, dtype=torch.float64)}
    return (
        functions.function(("logistic",), _Map(logistic_from_normal), examples, ("y",), _DYNAMIC),
        functions.function(("normal",), _Map(normal_from_logistic), examples, ("z",), _DYNAMIC),
    )


def _structure(group: ColumnGroup) -> tuple[object, ...]:
    """What groups share whose columns are computed by the same functions."""
    options = {
        k: v for k, v in vars(group).items() if k[0] != "_" and k not in ("index", "training")
    }
    if isinstance(group, NumberGroup):
        options |= vars(group.mixture) | {"mixture": type(group.mixture)}
    shapes = ((k, tuple(v.shape[1:]), v.dtype) for k, v in numbers_of(group).items())
    return type(group), *((k, str(v)) for k, v in sorted(options.items())), *shapes


class _Method(nn.Module):
    """A method of a group as a module: its inputs, and the numbers of the columns → outputs."""

    def __init__(self, group: ColumnGroup, call: Callable[..., Any], inputs: int) -> None:
        super().__init__()
        self.groups = [group]  # in a list: its own numbers are no part of the function
        self.names, self.call, self.inputs = list(numbers_of(group)), call, inputs

    def forward(self, *values: Tensor) -> Any:
        group = copy.copy(self.groups[0])
        given: dict[str, Any] = dict(zip(self.names, values[self.inputs :], strict=True))
        group._buffers = group._buffers | {k: v for k, v in given.items() if k in group._buffers}
        group._parameters = {name: given[name] for name in group._parameters}
        return self.call(group, *values[: self.inputs])


class _Map(nn.Module):
    """The values of an elementwise map as a module."""

    def __init__(self, function: Callable[[Tensor], tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.function = function

    def forward(self, value: Tensor) -> Tensor:
        return self.function(value)[0]
