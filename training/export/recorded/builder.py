"""Recorded operators as an ONNX graph.

Steps whose results depend on no input are constants. The same node of the same inputs is written
once, nodes that nothing reads are left out, and what a loop computes from outside values alone is
computed before it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from training.export.recorded.recording import Axes, Recording, RecordingError, Size, Step, same

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
        name: of the value; empty of a constant that no node has read yet.
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


Translate = Callable[["GraphBuilder", Step, Step], list[Value]]


class GraphBuilder:
    """Builds the graph of a recording.

    Args:
        recording: what is written.
        translate: writes the nodes of an operator in both runs and returns the values of its
            results.
    """

    def __init__(self, recording: Recording, translate: Translate) -> None:
        self.recording, self._translate = recording, translate
        self.constants: dict[tuple[Any, ...], onnx.TensorProto] = {}
        self._scopes: list[list[onnx.NodeProto]] = [[]]
        self._written: dict[tuple[Any, ...], tuple[list[str], int]] = {}
        self._values: dict[int, Value] = {}
        self._kept: list[Tensor] = []
        self._names = 0
        self._lengths: dict[str, str] = {}

    def graph(self, inputs: Mapping[str, Axes], outputs: Sequence[str]) -> onnx.GraphProto:
        """The whole graph."""
        first, second = self.recording.runs
        for name, axes in inputs.items():
            self._bind(
                first.inputs[name], self._value(name, first.inputs[name], second.inputs[name])
            )
            for i, axis in enumerate(axes):
                if isinstance(axis, str) and axis not in self._lengths:
                    self._lengths[axis] = self.node("Shape", [name], 0, start=i, end=i + 1)
        self._write(first.steps, second.steps)
        infos = []
        for name, one, other in zip(outputs, first.outputs, second.outputs, strict=True):
            value = self.materialised(self.value(one, other))
            self._scopes[0].append(helper.make_node("Identity", [value.name], [name]))
            infos.append(helper.make_tensor_value_info(name, KINDS[value.dtype], None))
        given = [
            helper.make_tensor_value_info(name, KINDS[first.inputs[name].dtype], None)
            for name in inputs
        ]
        nodes = _needed(self._scopes[0], set(outputs))
        scalars, tables = self._constants_of(nodes)
        return helper.make_graph([*scalars, *nodes], "recorded", given, infos, tables)

    def _constants_of(
        self, nodes: Sequence[onnx.NodeProto]
    ) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
        """The constants that nodes read: single numbers as nodes, and tables."""
        read = _read(nodes)
        there = [tensor for tensor in self.constants.values() if tensor.name in read]
        single = [list(tensor.dims) in ([], [1]) for tensor in there]
        scalars = [
            helper.make_node("Constant", [], [tensor.name], value=tensor)
            for tensor, is_single in zip(there, single, strict=True)
            if is_single
        ]
        tables = [t for t, is_single in zip(there, single, strict=True) if not is_single]
        return scalars, tables

    def value(self, first: Any, second: Any) -> Value:
        """The value that a tensor of each run stands for: a constant where it is none of a step."""
        found = self._values.get(id(first))
        if found is None:
            if not same(first, second):
                raise RecordingError(f"a tensor of shape {tuple(first.shape)} comes from nowhere")
            found = self._bind(first, self._value("", first, second, constant=first))
        return found

    def node(self, operator: str, inputs: Sequence[str], level: int, **attributes: Any) -> str:
        """Write a node in the scope of a level, unless it is there; returns its output's name."""
        return self.nodes(operator, inputs, level, 1, **attributes)[0]

    def nodes(
        self, operator: str, inputs: Sequence[str], level: int, outputs: int, **attributes: Any
    ) -> list[str]:
        """The same of a node of several outputs."""
        key = (operator, *inputs, *sorted((k, str(v)) for k, v in attributes.items()))
        found = self._written.get(key)
        if found is None:
            names = [self.name() for _ in range(outputs)]
            self._scopes[level].append(helper.make_node(operator, inputs, names, **attributes))
            found = self._written[key] = names, level
        return found[0]

    def name(self) -> str:
        """A new name."""
        self._names += 1
        return f"r{self._names}"

    def tensor(self, tensor: Tensor) -> str:
        """The name of a constant with these elements."""
        array = tensor.detach().cpu().numpy()
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(np.array(array, order="C"), self.name())
        return self.constants[key].name

    def integers(self, values: Sequence[int]) -> str:
        """The name of a constant list of whole numbers."""
        return self.tensor(torch.tensor(list(values), dtype=torch.int64))

    def shape(self, sizes: Sequence[Size]) -> str:
        """The name of a shape."""
        if all(size.is_static for size in sizes):
            return self.integers([size.factor for size in sizes])
        return self.node("Concat", [self.length(size) for size in sizes], 0, axis=0)

    def length(self, size: Size) -> str:
        """The name of a list of one length."""
        if size.is_static:
            return self.integers([size.factor])
        result = None if size.factor == 1 else self.integers([size.factor])
        for axis, power in zip(self.recording.axes, size.powers, strict=True):
            for _ in range(power):
                length = self._lengths[axis]
                result = length if result is None else self.node("Mul", [result, length], 0)
        assert result is not None
        return result

    def materialised(self, value: Value) -> Value:
        """A value that a node or a constant has, with all its elements."""
        if value.constant is None:
            return value
        static = all(size.is_static for size in value.sizes)
        if static:
            shape = [size.factor for size in value.sizes]
            name = self.tensor(value.constant.expand(shape))
        else:
            scalar = self.tensor(value.constant.reshape(()))
            name = self.node("Expand", [scalar, self.shape(value.sizes)], 0)
        return Value(name, value.sizes, value.dtype)

    def constant(self, value: Value) -> Value:
        """A constant as nodes read it that broadcast: its own elements, or the one of all."""
        assert value.constant is not None
        sizes = tuple(map(self.recording.size, value.constant.shape, value.constant.shape))
        return Value(self.tensor(value.constant), sizes, value.dtype)

    def sizes(self, first: Tensor, second: Tensor) -> tuple[Size, ...]:
        """The sizes of a tensor's axes."""
        return tuple(map(self.recording.size, first.shape, second.shape))

    def _value(
        self,
        name: str,
        first: Tensor,
        second: Tensor,
        level: int = 0,
        constant: Tensor | None = None,
    ) -> Value:
        return Value(name, self.sizes(first, second), first.dtype, level, constant)

    def _bind(self, tensor: Tensor, value: Value) -> Value:
        self._values[id(tensor)] = value
        self._kept.append(tensor)  # no other tensor gets its identity
        return value

    def _write(self, first: Sequence[Step], second: Sequence[Step]) -> None:
        """Write the nodes of steps."""
        if len(first) != len(second):
            raise RecordingError("a function does other steps at other lengths")
        for one, other in zip(first, second, strict=True):
            if one.operator is not other.operator:
                raise RecordingError("a function does other steps at other lengths")
            if one.loop is not None and other.loop is not None:
                self._loop(one, other)
                continue
            if self._is_constant(one, other):
                for a, b in zip(one.outputs, other.outputs, strict=True):
                    self._bind(a, self._value("", a, b, constant=a))
                continue
            for tensor, value in zip(one.outputs, self._translate(self, one, other), strict=True):
                self._bind(tensor, value)

    def _is_constant(self, one: Step, other: Step) -> bool:
        """Whether the results of a step depend on no input, and on no length."""
        tensors = [v for v in _flat(one.arguments) if isinstance(v, Tensor)]
        known = [self._values.get(id(tensor)) for tensor in tensors]
        return all(value is None or value.constant is not None for value in known) and all(
            same(a, b) for a, b in zip(one.outputs, other.outputs, strict=True)
        )

    def _loop(self, one: Step, other: Step) -> None:
        """Write a Loop node."""
        body, twin = one.loop, other.loop
        assert body is not None
        assert twin is not None
        start = self.materialised(self.value(one.arguments[0][0], other.arguments[0][0]))
        level = len(self._scopes)
        self._scopes.append([])
        state = self.name()
        self._bind(body.state, self._value(state, body.state, twin.state, level))
        self._write(body.steps, twin.steps)
        results = [
            self.materialised(self.value(a, b))
            for a, b in ((body.goes_on, twin.goes_on), (body.next_state, twin.next_state))
        ]
        names = [self.name() for _ in results]
        nodes = self._scopes.pop()
        nodes += [
            helper.make_node("Identity", [v.name], [n]) for v, n in zip(results, names, strict=True)
        ]
        self._written = {k: v for k, v in self._written.items() if v[1] < level}
        kind = KINDS[results[1].dtype]
        info = helper.make_tensor_value_info
        graph = helper.make_graph(
            _needed(nodes, set(names)),
            "body",
            [
                info(self.name(), TensorProto.INT64, []),
                info(self.name(), TensorProto.BOOL, []),
                info(state, kind, None),
            ],
            [info(names[0], TensorProto.BOOL, []), info(names[1], kind, None)],
        )
        steps = self.tensor(torch.tensor(body.max_steps))
        inputs = [steps, self.tensor(torch.tensor(True)), start.name]
        name = self.name()
        outer = level - 1
        self._scopes[outer].append(helper.make_node("Loop", inputs, [name], body=graph))
        self._bind(one.outputs[0], self._value(name, one.outputs[0], other.outputs[0], outer))


def _flat(arguments: Any) -> list[Any]:
    """All that stands in nested arguments."""
    if isinstance(arguments, tuple | list):
        return [leaf for each in arguments for leaf in _flat(each)]
    if isinstance(arguments, dict):
        return _flat(list(arguments.values()))
    return [arguments]


def _read(nodes: Sequence[onnx.NodeProto]) -> set[str]:
    """The names that nodes read, those within loops too."""
    names: set[str] = set()
    for node in nodes:
        names.update(node.input)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                names |= _read(attribute.g.node)
    return names


def _needed(nodes: Sequence[onnx.NodeProto], results: set[str]) -> list[onnx.NodeProto]:
    """The nodes that results depend on, in their order."""
    wanted, kept = set(results), []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted |= _read([node])
    return kept[::-1]
