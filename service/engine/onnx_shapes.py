"""The nodes of an ONNX file and the shapes of what they make, without its weights.

No more of protobuf and of ONNX's messages is read than that needs: the service has no onnx.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

# Bytes of an element, by onnx.TensorProto.DataType; text, and types to come, are not counted.
ELEMENT_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}

MAX_DEPTH = 16
"""Graphs within graphs."""
MAX_MESSAGE_BYTES = 2**24
"""Of a node or a value; one that holds more holds weights."""

Value = int | bytes


class UnknownGraphError(ValueError):
    """A file that is no ONNX graph, or one that is too large or too deep to be looked at."""


@dataclass
class Node:
    """One operation, or the call of a function.

    Args:
        operation: its name.
        inputs, outputs: names of values.
        graphs: that it runs, as a loop does.
    """

    operation: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    graphs: list["Graph"] = field(default_factory=list)


@dataclass
class Graph:
    """A graph or a function.

    Args:
        name: of a function.
        nodes: in an order in which they can run.
        row_bytes: of values whose shape is known, for each row; 0 for what is made once.
        inputs, outputs: names of values.
        functions: by name.
    """

    name: str = ""
    nodes: list[Node] = field(default_factory=list)
    row_bytes: dict[str, int] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    functions: dict[str, "Graph"] = field(default_factory=dict)


def read_graph(path: Path, go_on: Callable[[], None]) -> Graph:
    """The graph of an ONNX file.

    Args:
        path: the file.
        go_on: called now and then; raises where the graph is no longer wanted.

    Raises:
        UnknownGraphError: it is none.
        OSError: it cannot be read.
    """
    graph, functions = Graph(), dict[str, Graph]()
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        for number, length in _fields_of_file(file, size):
            go_on()
            if number == 7:
                for inner, inner_length in _fields_of_file(file, file.tell() + length):
                    go_on()
                    if inner in (1, 11, 12, 13) and inner_length <= MAX_MESSAGE_BYTES:
                        _add_to_graph(graph, inner, file.read(inner_length), 0)
            elif number == 25 and length <= MAX_MESSAGE_BYTES:
                function = _function(file.read(length))
                functions[function.name] = function
    graph.functions = functions
    return graph


def _add_to_graph(graph: Graph, number: int, value: Value, depth: int) -> None:
    """Take in a field of onnx.GraphProto."""
    if number == 1:
        graph.nodes.append(_node(_message(value), depth))
    elif number == 11:
        graph.inputs.append(_add_value(graph, value))
    elif number == 12:
        graph.outputs.append(_add_value(graph, value))
    elif number == 13:
        _add_value(graph, value)


def _function(content: bytes) -> Graph:
    """A graph of onnx.FunctionProto."""
    graph = Graph()
    for number, value in _fields(content):
        if number == 1:
            graph.name = _text(value)
        elif number == 4:
            graph.inputs.append(_text(value))
        elif number == 5:
            graph.outputs.append(_text(value))
        elif number == 7:
            graph.nodes.append(_node(_message(value), 0))
        elif number == 12:
            _add_value(graph, value)
    return graph


def _node(content: bytes, depth: int) -> Node:
    """A node of onnx.NodeProto, with the graphs of its attributes."""
    if depth > MAX_DEPTH:
        raise UnknownGraphError("graphs within graphs without end")
    node = Node()
    for number, value in _fields(content):
        if number == 1:
            node.inputs.append(_text(value))
        elif number == 2:
            node.outputs.append(_text(value))
        elif number == 4:
            node.operation = _text(value)
        elif number == 5:
            for inner, graph_value in _fields(_message(value)):
                if inner in (6, 11):
                    graph = Graph()
                    for key, part in _fields(_message(graph_value)):
                        _add_to_graph(graph, key, part, depth + 1)
                    node.graphs.append(graph)
    return node


def _add_value(graph: Graph, value: Value) -> str:
    """Take in the size of an onnx.ValueInfoProto; returns its name."""
    name, size = "", 0
    for number, part in _fields(_message(value)):
        if number == 1:
            name = _text(part)
        elif number == 2:
            size = sum(_row_bytes(_message(t)) for key, t in _fields(_message(part)) if key == 1)
    graph.row_bytes[name] = size
    return name


def _row_bytes(content: bytes) -> int:
    """Bytes a row of an onnx.TypeProto.Tensor; 0 where every side is fixed."""
    element, sides, has_rows = 0, 1, False
    for number, value in _fields(content):
        if number == 1 and isinstance(value, int):
            element = ELEMENT_BYTES.get(value, 0)
        elif number == 2:
            for key, side in _fields(_message(value)):
                if key == 1:
                    fixed = [v for k, v in _fields(_message(side)) if k == 1 and isinstance(v, int)]
                    sides *= fixed[-1] if fixed else 1
                    has_rows |= not fixed
    return element * sides if has_rows else 0


def _fields_of_file(file: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """The length of each field of a message in a file, which then stands at its content."""
    while (start := file.tell()) < end:
        head = file.read(20)  # the largest of two numbers
        tag, position = _varint(head, 0)
        kind, length = tag & 7, 0
        if kind == 2:
            length, position = _varint(head, position)
        else:
            position = _after(head, position, kind)
        if start + position + length > end:
            raise UnknownGraphError("the file ends too early")
        file.seek(start + position)
        if kind == 2:
            yield tag >> 3, length
        file.seek(start + position + length)


def _fields(content: bytes) -> Iterator[tuple[int, Value]]:
    """Number and value of each field of a message."""
    position = 0
    while position < len(content):
        tag, position = _varint(content, position)
        if tag & 7 == 2:
            length, position = _varint(content, position)
            if position + length > len(content):
                raise UnknownGraphError("a message ends too early")
            yield tag >> 3, content[position : position + length]
            position += length
        elif tag & 7 == 0:
            value, position = _varint(content, position)
            yield tag >> 3, value
        else:
            position = _after(content, position, tag & 7)


def _after(content: bytes, position: int, kind: int) -> int:
    """Where a field of a fixed size, or a number, ends."""
    if kind == 0:
        return _varint(content, position)[1]
    if kind not in (1, 5):
        raise UnknownGraphError("this is no protobuf")
    return position + (8 if kind == 1 else 4)


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """A number, and where it ends."""
    value = shift = 0
    while position < len(content) and shift < 64:
        byte = content[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
    raise UnknownGraphError("this is no protobuf")


def _message(value: Value) -> bytes:
    if isinstance(value, int):
        raise UnknownGraphError("a number stands for a message")
    return value


def _text(value: Value) -> str:
    return _message(value).decode("utf-8", "replace")
