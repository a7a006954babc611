"""The computations of groups of typed columns as functions of an ONNX model.

The numbers of a group's columns, such as warps and shares, are inputs of its functions, and so are
the columns of the group of any number. So groups of the same structure share functions, and so do
the two directions: encoding computes a group's columns at once, decoding one by one.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from models.columns import ColumnGroup, NumberGroup
from models.numerics import logistic_from_normal, normal_from_logistic
from training.export.onnx_functions import OnnxFunction, OnnxFunctions
from training.export.recorded import Axes


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
    def log_prob(self) -> OnnxFunction:
        """x, N × C, and theta, N × C × size → log-densities, N × C."""
        return self._function(
            "log_prob",
            lambda group, x, theta: group.log_prob(x, theta),
            {"x": (), "theta": (self._group.size,)},
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
        self, name: str, call: Callable[..., Any], shapes: Mapping[str, tuple[int, ...]]
    ) -> OnnxFunction:
        """A method of the group as a function; of each input, the axes after N × C are given."""
        tables = numbers_of(self._group)
        inputs: dict[str, Axes] = {
            **{key: ("batch", "columns", *shape) for key, shape in shapes.items()},
            **{key: ("columns", *values.shape[1:]) for key, values in tables.items()},
        }

        def with_numbers(*values: Tensor) -> Any:
            given = dict(zip(tables, values[len(shapes) :], strict=True))
            return call(_with(self._group, given), *values[: len(shapes)])

        return self._functions.function(
            (name, self._tolerance, *_structure(self._group)),
            with_numbers,
            inputs,
            ("y", "log_prob") if name == "encode" else (name,),
        )


def to_logistic(functions: OnnxFunctions) -> OnnxFunction:
    """The map from normal latents to logits, elementwise: N × D → N × D."""
    shape: dict[str, Axes] = {"z": ("batch", "columns")}
    return functions.function(("logistic",), lambda z: logistic_from_normal(z)[0], shape, ("y",))


def to_normal(functions: OnnxFunctions) -> OnnxFunction:
    """The map from logits to normal latents, elementwise: N × D → N × D."""
    shape: dict[str, Axes] = {"y": ("batch", "columns")}
    return functions.function(("normal",), lambda y: normal_from_logistic(y)[0], shape, ("z",))


def _structure(group: ColumnGroup) -> tuple[object, ...]:
    """What groups share whose columns are computed by the same functions."""
    options = {
        k: v for k, v in vars(group).items() if k[0] != "_" and k not in ("index", "training")
    }
    if isinstance(group, NumberGroup):
        options |= vars(group.mixture) | {"mixture": type(group.mixture)}
    shapes = ((k, tuple(v.shape[1:]), v.dtype) for k, v in numbers_of(group).items())
    return type(group), *((k, str(v)) for k, v in sorted(options.items())), *shapes


def _with(group: ColumnGroup, numbers: Mapping[str, Tensor]) -> ColumnGroup:
    """A group whose columns have these numbers."""
    other = copy.copy(group)
    own: dict[str, Any] = dict(numbers)
    other._buffers = group._buffers | {k: v for k, v in own.items() if k in group._buffers}
    other._parameters = {name: own[name] for name in group._parameters}
    return other
