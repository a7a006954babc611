"""Recorded operators as an ONNX graph.

Steps whose results depend on no input are constants. The same node of the same inputs is written
once, nodes that nothing reads are left out, and what a loop computes from outside values alone is
computed before it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor

from training.export.recorded.constants import Constants, Names
from training.export.recorded.nodes import needed, rename
from training.export.recorded.recording import (
    Axes,
    Body,
    Recording,
    RecordingError,
    Size,
    Step,
    Symbol,
    same,
)
from training.export.recorded.value import Value

Translate = Callable[["GraphBuilder", Step, Step], list[Value]]
Pair = tuple[Symbol, Symbol]


class GraphBuilder:
    """Builds the graph of a recording.

    Args:
        recording: what is written.
        translate: writes the nodes of an operator in both runs and returns the values of its
            results.
        outputs: names of the results.
    """

    def __init__(self, recording: Recording, translate: Translate, outputs: Sequence[str]) -> None:
        self.recording, self._translate, self._outputs = recording, translate, outputs
        self._names = Names([*recording.runs[0].inputs, *outputs])
        self._constants = Constants(self._names)
        self._scopes: list[list[onnx.NodeProto]] = [[]]
        self._written: dict[tuple[Any, ...], tuple[list[str], int]] = {}
        self._values: dict[Symbol, Value] = {}
        self._lengths: dict[str, str] = {}
        self._results: dict[str, Value] = {}

    def graph(self, inputs: Mapping[str, Axes]) -> onnx.GraphProto:
        """The whole graph, of inputs of these shapes."""
        first, second = self.recording.runs
        for name, axes in inputs.items():
            self._bind((first.inputs[name], second.inputs[name]), name)
            for i, axis in enumerate(axes):
                if isinstance(axis, str) and axis not in self._lengths:
                    self._lengths[axis] = self.node("Shape", [name], 0, start=i, end=i + 1)
        self._write(first.steps, second.steps)
        results = [
            self.materialised(self.value(*pair))
            for pair in zip(first.outputs, second.outputs, strict=True)
        ]
        made = {name for node in self._scopes[0] for name in node.output}
        renamed: dict[str, str] = {}
        for name, value in zip(self._outputs, results, strict=True):
            if value.name in made and value.name not in renamed:
                renamed[value.name] = name
            else:  # an input, a constant, or twice an output
                self._scopes[0].append(helper.make_node("Identity", [value.name], [name]))
        rename(self._scopes[0], renamed)
        nodes = needed(self._scopes[0], set(self._outputs))
        scalars, tables = self._constants.read_by(nodes)
        return helper.make_graph(
            [*scalars, *nodes],
            "recorded",
            [self._values[first.inputs[name]].info(self.recording.axes) for name in inputs],
            [
                value.info(self.recording.axes, name)
                for name, value in zip(self._outputs, results, strict=True)
            ],
            tables,
            value_info=self._declared(nodes),
        )

    def value(self, first: Symbol, second: Symbol) -> Value:
        """The value that a symbol of each run stands for: a constant where it is none of a step."""
        found = self._values.get(first)
        if found is None:
            if not same(first, second):
                raise RecordingError(f"a tensor of shape {first.shape} comes from nowhere")
            found = self._bind_constant(first, second)
        return found

    def node(self, operator: str, inputs: Sequence[str], level: int, **attributes: Any) -> str:
        """Write a node in the scope of a level, unless it is there; returns its output's name."""
        return self.nodes(operator, inputs, level, 1, **attributes)[0]

    def nodes(
        self,
        operator: str,
        inputs: Sequence[str],
        level: int,
        outputs: int,
        domain: str = "",
        **attributes: Any,
    ) -> list[str]:
        """The same of a node of several outputs."""
        key = (operator, *inputs, outputs, *sorted((k, str(v)) for k, v in attributes.items()))
        if key not in self._written:
            names = [self.name(operator) for _ in range(outputs)]
            node = helper.make_node(operator, inputs, names, domain=domain or None, **attributes)
            self._scopes[level].append(node)
            self._written[key] = names, level
        return self._written[key][0]

    def declare(self, value: Value) -> Value:
        """Let the graph state the shape of a value that a node has; returns the value.

        onnxruntime loses sight of the batch where an axis is −1, and then reuses no memory.
        """
        self._results[value.name] = value
        return value

    def name(self, stem: str) -> str:
        """A new name."""
        return self._names.new(stem.lower())

    def tensor(self, tensor: Tensor, name: str = "") -> str:
        """The name of a constant with these elements; this name or a similar one if it is new."""
        return self._constants.name(tensor, name)

    def integers(self, values: Sequence[int]) -> str:
        """The name of a constant list of whole numbers."""
        return self.tensor(torch.tensor(list(values), dtype=torch.int64))

    def shape(self, sizes: Sequence[Size]) -> str:
        """The name of a shape."""
        if all(size.is_static for size in sizes):
            return self.integers([size.factor for size in sizes])
        return self.node("Concat", [self.length(size) for size in sizes], 0, axis=0)

    def length(self, size: Size) -> str:
        """The name of a list of one length.

        Raises:
            RecordingError: it grows with the steps of a loop, and is that of no state.
        """
        if size.name:
            if size.name not in self._lengths:
                raise RecordingError(f"{size.name} is the length of no state of a loop")
            return self._lengths[size.name]
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
            name = self.tensor(value.constant.expand(shape), value.name)
        else:
            scalar = self.tensor(value.constant.reshape(()))
            name = self.node("Expand", [scalar, self.shape(value.sizes)], 0)
        return Value(name, value.sizes, value.dtype)

    def constant(self, value: Value) -> Value:
        """A constant as nodes read it that broadcast: its own elements, or the one of all."""
        assert value.constant is not None
        sizes = tuple(map(self.recording.size, value.constant.shape, value.constant.shape))
        return Value(self.tensor(value.constant, value.name), sizes, value.dtype)

    def sizes(self, first: Symbol, second: Symbol) -> tuple[Size, ...]:
        """The sizes of a tensor's axes."""
        return tuple(map(self.recording.size, first.shape, second.shape))

    def _bind(self, pair: Pair, name: str, level: int = 0) -> Value:
        """Let the symbols of both runs stand for a value that a node has."""
        value = Value(name, self.sizes(*pair), pair[0].dtype, level)
        return self._values.setdefault(pair[0], value)

    def _bind_constant(self, first: Symbol, second: Symbol) -> Value:
        """Let the symbols of both runs stand for a constant."""
        sizes = self.sizes(first, second)
        value = Value(first.name, sizes, first.dtype, constant=first.constant)
        return self._values.setdefault(first, value)

    def _write(self, first: Sequence[Step], second: Sequence[Step]) -> None:
        """Write the nodes of steps."""
        if [step.operator for step in first] != [step.operator for step in second]:
            raise RecordingError("a function does other steps at other lengths")
        for one, other in zip(first, second, strict=True):
            if one.body is not None and other.body is not None:
                self._loop(one, one.body, other, other.body)
            elif all(map(same, one.outputs, other.outputs)):
                for pair in zip(one.outputs, other.outputs, strict=True):
                    self._bind_constant(*pair)
            else:
                values = self._translate(self, one, other)
                self._values.update(zip(one.outputs, values, strict=True))

    def _loop(self, one: Step, body: Body, other: Step, twin: Body) -> None:
        """Write a Loop or Scan node."""
        given = zip(one.arguments[0], other.arguments[0], strict=True)
        inputs = [self.materialised(self.value(*pair)).name for pair in given]
        level = len(self._scopes) - 1
        attributes, count = dict[str, Any](), len(body.states)
        is_scan = body.max_steps is None and not body.rows_of_growing
        graph = self._body(body, twin, inputs[count:], is_scan)
        if is_scan:
            attributes["num_scan_inputs"] = len(body.rows)
        else:
            limits = [torch.tensor(body.max_steps or body.rows_of_growing), torch.tensor(True)]
            inputs = [*map(self.tensor, limits), *inputs[:count]]
        operator = "Scan" if is_scan else "Loop"
        names = [self.name(operator) for _ in one.outputs]
        node = helper.make_node(operator, inputs, names, body=graph, **attributes)
        self._scopes[level].append(node)
        for name, first, second in zip(names, one.outputs, other.outputs, strict=True):
            self.declare(self._bind((first, second), name, level))

    def _body(
        self, body: Body, twin: Body, tables: Sequence[str], is_scan: bool
    ) -> onnx.GraphProto:
        """The graph of the body of a loop.

        Args:
            body, twin: in each run.
            tables: names of what a Loop reads rows from; a Scan hands rows over.
            is_scan: whether it is that of a Scan.
        """
        level, axes, info = len(self._scopes), self.recording.axes, helper.make_tensor_value_info
        self._scopes.append([])
        states = list(zip(body.states, twin.states, strict=True))
        rows = list(zip(body.rows, twin.rows, strict=True))
        inputs, step, goes_on = list[onnx.ValueInfoProto](), self.name("step"), self.name("goes_on")
        if not is_scan:
            inputs += [info(step, TensorProto.INT64, []), info(goes_on, TensorProto.BOOL, [])]
            for pair, table in zip(rows, tables, strict=True):
                self._bind(pair, self.node("Gather", [table, step], level, axis=0), level)
        taken = [*states, *rows] if is_scan else states
        inputs += [self._bind_state(pair, level).info(axes) for pair in taken]
        self._write(body.steps, twin.steps)
        results, others = (
            [*b.next_states, *b.outputs] if b.max_steps is None else [*b.outputs, *b.next_states]
            for b in (body, twin)
        )
        values = [
            self.materialised(self.value(*pair)) for pair in zip(results, others, strict=True)
        ]
        names = self._output_names(values)
        outputs = [value.info(axes, name) for name, value in zip(names, values, strict=True)]
        if body.rows_of_growing:
            outputs.insert(0, info(self.node("Identity", [goes_on], level), TensorProto.BOOL, []))
        nodes = needed(self._scopes.pop(), {output.name for output in outputs})
        self._written = {k: v for k, v in self._written.items() if v[1] < level}
        return helper.make_graph(nodes, "body", inputs, outputs, value_info=self._declared(nodes))

    def _bind_state(self, pair: Pair, level: int) -> Value:
        """Let the symbols of both runs stand for an input of the body of a loop."""
        value = self._bind(pair, self.name("state"), level)
        for axis, size in enumerate(value.sizes):
            if size.name:
                bounds = {"start": axis, "end": axis + 1}
                self._lengths[size.name] = self.node("Shape", [value.name], level, **bounds)
        return value

    def _output_names(self, values: Sequence[Value]) -> list[str]:
        """Names of the outputs of the innermost body: of copies where they are no nodes of it.

        A copy of every state in each step took an eighth of the time of a decoding transformer.
        """
        made = {name for node in self._scopes[-1] for name in node.output}
        names: list[str] = []
        for value in values:
            if value.name not in made or value.name in names:
                names.append(self.name("next"))
                self._scopes[-1].append(helper.make_node("Identity", [value.name], names[-1:]))
            else:
                names.append(value.name)
        return names

    def _declared(self, nodes: Sequence[onnx.NodeProto]) -> list[onnx.ValueInfoProto]:
        """The shapes of the values of nodes, as far as they are declared."""
        names = [name for node in nodes for name in node.output if name in self._results]
        return [self._results[name].info(self.recording.axes) for name in names]
