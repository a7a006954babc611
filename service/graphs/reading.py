"""The nodes of an ONNX file and the shapes of what they make, without its weights.

No more of ONNX's messages is read than that needs, and no more of anything than `MOST` says.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from service.bundle import printable
from service.graphs.protobuf import Content, GraphError, Value, damaged, fields, message, text
from service.graphs.tensors import MAX_VALUE_BYTES, TensorType, read_tensor, tensor_type

DOMAIN = "bijecta"
"""Of the functions that the export writes, as nodes call them."""

MAX_DEPTH = 16
"""Graphs within graphs, and functions within functions."""

BYTES = "bytes beside its weights"
# The largest of 400 exported graphs had 6,274 nodes, 4,648 values with a shape, 199 weights, 20
# functions and 0.4 MB beside the weights.
MOST: dict[str, int] = {
    "nodes": 2**18,
    "values": 2**18,
    "weights": 2**16,
    "functions": 2**12,
    BYTES: 2**25,
}


@dataclass
class Node:
    """One operation, or the call of a function.

    Args:
        operation: its name.
        domain: of that name; empty for ONNX's own.
        inputs, outputs: names of values.
        graphs: that it runs, as a loop does.
    """

    operation: str = ""
    domain: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    graphs: list["Graph"] = field(default_factory=list)


@dataclass
class Graph:
    """A graph or a function.

    Args:
        name: of a function.
        nodes: in an order in which they can run.
        types: of values whose shape is given, by name.
        inputs, outputs: names of values.
        functions: by name; of a file's graph.
        shapes: whole numbers in the file that may be the sides of a shape, by name.
    """

    name: str = ""
    nodes: list[Node] = field(default_factory=list)
    types: dict[str, TensorType] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    functions: dict[str, "Graph"] = field(default_factory=dict)
    shapes: dict[str, list[int]] = field(default_factory=dict)

    @property
    def has_control_flow(self) -> bool:
        """Whether what runs depends on values, as of a loop."""
        every = (self, *self.functions.values())
        return any(node.graphs for graph in every for node in graph.nodes)


def read_graph(content: bytes, go_on: Callable[[], None] = lambda: None) -> Graph:
    """The graph of an ONNX file.

    Args:
        content: of the file.
        go_on: called now and then; raises where the graph is no longer wanted.

    Raises:
        GraphError: it is none, or not one that a bundle may hold.
    """
    return _Reader(go_on).model(memoryview(content))


class _Reader:
    """What reads one file, and counts what is in it."""

    def __init__(self, go_on: Callable[[], None]) -> None:
        self._go_on = go_on
        self._counts: Counter[str] = Counter()

    def model(self, content: Content) -> Graph:
        """A graph of onnx.ModelProto."""
        graph, has_graph = Graph(), False
        for number, value in fields(content):
            if number == 7:
                has_graph = True
                self._fill(graph, message(value), 0)
                continue
            self._count(BYTES, 0 if isinstance(value, int) else len(value))
            if number == 20:
                raise GraphError("operators", "holds a graph of training, which nothing here runs")
            if number == 25:
                self._count("functions")
                function = self._function(bytes(message(value)))
                if function.name in graph.functions:
                    raise damaged(f"it has the function {printable(function.name, 80)} twice")
                graph.functions[function.name] = function
        if not has_graph:
            raise damaged("there is none in it")
        return graph

    def _fill(self, graph: Graph, content: Content, depth: int) -> None:
        """Take in the fields of onnx.GraphProto."""
        for number, value in fields(content):
            self._go_on()
            if number == 5:
                self._count("weights")
                self._tensor(graph, message(value))
                continue
            self._count(BYTES, 0 if isinstance(value, int) else len(value))
            if number == 1:
                graph.nodes.append(self._node(graph, bytes(message(value)), depth))
            elif number == 11:
                graph.inputs.append(self._value(graph, value))
            elif number == 12:
                graph.outputs.append(self._value(graph, value))
            elif number == 13:
                self._value(graph, value)
            elif number == 15:
                raise GraphError("shapes", "holds a sparse tensor, which says little of its size")

    def _function(self, content: bytes) -> Graph:
        """A graph of onnx.FunctionProto."""
        graph, domain = Graph(), ""
        for number, value in fields(content):
            self._go_on()
            if number == 1:
                graph.name = text(value)
            elif number == 4:
                graph.inputs.append(text(value))
            elif number == 5:
                graph.outputs.append(text(value))
            elif number == 7:
                graph.nodes.append(self._node(graph, message(value), 0))
            elif number == 10:
                domain = text(value)
            elif number == 11:
                self._attribute(graph, Node(), message(value), 0)
            elif number == 12:
                self._value(graph, value)
            elif number == 13 and value:
                raise GraphError(
                    "operators", "has functions of one name, told apart by what they take"
                )
        if domain != DOMAIN:
            raise GraphError(
                "operators",
                f"defines functions of {printable(domain, 80)!r}; bundles define those of "
                f"{DOMAIN!r} alone",
            )
        return graph

    def _node(self, graph: Graph, content: Content, depth: int) -> Node:
        """A node of onnx.NodeProto, with the graphs of its attributes."""
        if depth > MAX_DEPTH:
            raise GraphError("nesting", f"has graphs within graphs, more than {MAX_DEPTH} deep")
        self._count("nodes")
        node, attributes = Node(), []
        for number, value in fields(content):
            if number == 1:
                node.inputs.append(text(value))
            elif number == 2:
                node.outputs.append(text(value))
            elif number == 4:
                node.operation = text(value)
            elif number == 5:
                attributes.append(message(value))
            elif number == 7:
                node.domain = text(value)
            elif number == 8 and value:
                raise GraphError(
                    "operators", "has functions of one name, told apart by what they take"
                )
        for attribute in attributes:
            self._attribute(graph, node, attribute, depth)
        return node

    def _attribute(self, graph: Graph, node: Node, content: Content, depth: int) -> None:
        """Take in what onnx.AttributeProto holds: a tensor, graphs."""
        tensors = 0
        for number, value in fields(content):
            if number in (6, 11):
                inner = Graph()
                self._fill(inner, message(value), depth + 1)
                node.graphs.append(inner)
            elif number in (5, 10):
                # where one stands twice, protobuf makes one of the two
                tensors += number == 5
                if tensors > 1:
                    raise damaged("an attribute is two tensors")
                self._tensor(graph, message(value), next(iter(node.outputs), None))
            elif number in (22, 23):
                raise GraphError("shapes", "holds a sparse tensor, which says little of its size")

    def _tensor(self, graph: Graph, content: Content, name: str | None = None) -> None:
        """Take in an onnx.TensorProto, of which the data does not count.

        Args:
            graph: that has it.
            content: of the tensor.
            name: of the value that it is, where it does not say so itself.
        """
        tensor = read_tensor(content)
        if tensor.sides is not None:
            graph.shapes[name or tensor.name] = tensor.sides
        self._count(BYTES, len(content) - tensor.data_bytes)

    def _value(self, graph: Graph, value: Value) -> str:
        """Take in the type of an onnx.ValueInfoProto; returns its name."""
        self._count("values")
        name, of = "", TensorType(0, None)
        for number, part in fields(message(value)):
            if number == 1:
                name = text(part)
            elif number == 2:
                for key, tensor in fields(message(part)):
                    if key == 1:
                        of = tensor_type(message(tensor))
        if of.bytes > MAX_VALUE_BYTES:
            raise GraphError(
                "shapes",
                f"has {printable(name, 80)!r} of {of.bytes} bytes by its shape; a value, or a row "
                f"of it, may have {MAX_VALUE_BYTES}",
            )
        graph.types[name] = of
        return name

    def _count(self, what: str, more: int = 1) -> None:
        self._counts[what] += more
        if self._counts[what] > MOST[what]:
            raise GraphError("size", f"has more than {MOST[what]} {what}")
