"""Whether a graph is data: operators that onnxruntime itself has, and no more of them than that."""

from collections import ChainMap
from collections.abc import Callable, Mapping
from math import prod

from service.bundle import printable
from service.graphs.protobuf import GraphError
from service.graphs.reading import DOMAIN, MAX_DEPTH, MOST, Graph, Node
from service.graphs.tensors import MAX_VALUE_BYTES

# Names of ONNX's own domain.
STANDARD = ("", "ai.onnx")

# Operators that make a value of the shape, or of so many copies, that an input says; which input.
SHAPED_BY = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}


def check(graph: Graph, go_on: Callable[[], None] = lambda: None) -> None:
    """See that a graph is one that a bundle may hold.

    Args:
        graph: of a file.
        go_on: called now and then; raises where the answer is no longer wanted.

    Raises:
        GraphError: it is not.
    """
    nodes, _ = _Check(graph.functions, go_on).measure(graph, ChainMap(), 0)
    if nodes > MOST["nodes"]:
        raise GraphError(
            "size",
            f"has {nodes} nodes with those of the functions that it calls, and may have "
            f"{MOST['nodes']}",
        )


class _Check:
    """A walk through a graph, through each function once."""

    def __init__(self, functions: Mapping[str, Graph], go_on: Callable[[], None]) -> None:
        self._functions = functions
        self._go_on = go_on
        self._known: dict[str, tuple[int, int]] = {}

    def measure(
        self, graph: Graph, shapes: ChainMap[str, list[int]], depth: int
    ) -> tuple[int, int]:
        """How many nodes run, those of functions at each call; and how deep they lie.

        Args:
            graph: whose nodes run.
            shapes: of the graphs around it.
            depth: graphs and functions around this one.
        """
        shapes = shapes.new_child(graph.shapes)
        nodes = height = 0
        for node in graph.nodes:
            self._go_on()
            nodes += 1
            _check_shape(node, shapes)
            for inner in node.graphs:
                more, deep = self.measure(inner, shapes, depth + 1)
                nodes, height = nodes + more, max(height, 1 + deep)
            if node.domain not in STANDARD:
                more, deep = self._function(node, depth)
                nodes, height = nodes + more, max(height, 1 + deep)
            if depth + height > MAX_DEPTH:
                raise GraphError(
                    "nesting", f"has functions and graphs within others, more than {MAX_DEPTH} deep"
                )
        return nodes, height

    def _function(self, node: Node, depth: int) -> tuple[int, int]:
        """The same of a function that a node calls."""
        name = node.operation
        if node.domain != DOMAIN or name not in self._functions:
            raise GraphError(
                "operators",
                f"has the operator {printable(name, 80)!r} of {printable(node.domain, 80)!r}; "
                "bundles have those of ONNX, and functions that they define",
            )
        if name not in self._known:
            # one that calls itself gets here again and again, ever deeper
            if depth >= MAX_DEPTH:
                raise GraphError(
                    "nesting", f"has functions within functions, more than {MAX_DEPTH} deep"
                )
            self._known[name] = self.measure(self._functions[name], ChainMap(), depth + 1)
        return self._known[name]


def _check_shape(node: Node, shapes: Mapping[str, list[int]]) -> None:
    """See that a node makes no value without bound of a shape that stands in the file."""
    place = SHAPED_BY.get(node.operation)
    if place is None or len(node.inputs) <= place:
        return
    # more than 8 bytes an element there are not
    size = 8 * prod(shapes.get(node.inputs[place], ()))
    if size > MAX_VALUE_BYTES:
        raise GraphError(
            "shapes",
            f"makes a value of {size} bytes by {node.operation}, and may make {MAX_VALUE_BYTES}",
        )
