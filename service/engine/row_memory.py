"""How much memory a run of a graph takes for each row, by the shapes in its file."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from service.engine.onnx_shapes import Graph, Node, UnknownGraphError, read_graph

ARENA_FACTOR = 3
"""Memory of a run ÷ what is alive at once by the shapes.

onnxruntime runs nodes in another order, rounds allocations up, cannot fill every gap and keeps
what kernels need beside. 34 stored graphs took 1.1 to 6.3 times as much, half of them at most 2.3.
"""

# What onnxruntime answers with the very bytes it was given.
VIEWS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"})
# What does not grow with its input.
SMALL = frozenset({"Shape", "Size", "Constant"})

MAX_STEPS = 2**20
"""Nodes that are looked at, those of functions at each call."""
MAX_DEPTH = 16
"""Functions and graphs within each other."""


def row_bytes(path: Path, go_on: Callable[[], None]) -> int:
    """Bytes of memory that a run takes for each row; 0 where the file does not say.

    Args:
        path: the ONNX file.
        go_on: called now and then; raises where the answer is no longer wanted.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        graph = read_graph(path, go_on)
        return ARENA_FACTOR * _Walk(graph.functions, go_on).peak(graph, {}, 0)
    except UnknownGraphError:
        return 0  # onnxruntime says what is wrong with it


class _Walk:
    """A walk through a graph, node by node, with all that is alive at each."""

    def __init__(self, functions: Mapping[str, Graph], go_on: Callable[[], None]) -> None:
        self._functions = functions
        self._go_on = go_on
        self._steps = 0

    def peak(self, graph: Graph, outer: Mapping[str, int], depth: int) -> int:
        """Most bytes a row alive at once.

        Args:
            graph: whose nodes run.
            outer: bytes a row of values from outside, by name.
            depth: graphs and functions around this one.
        """
        if depth > MAX_DEPTH:
            raise UnknownGraphError("graphs within graphs without end")
        sizes = {**outer, **graph.row_bytes}
        views = _views(graph)
        taken = [[views.get(name, name) for name in _taken(node)] for node in graph.nodes]
        last = {name: i for i, names in enumerate(taken) for name in names}
        kept = {views.get(name, name) for name in graph.outputs}
        held: dict[str, int] = {}
        live = most = 0
        for i, node in enumerate(graph.nodes):
            self._step()
            inner = self._inner(node, sizes, depth)
            largest = max((sizes.get(name, 0) for name in node.inputs), default=0)
            for name in node.outputs:
                # what has no shape in the file is taken to be like what it is made of
                size = sizes.setdefault(name, 0 if node.operation in SMALL else largest)
                if name not in views:
                    held[name] = size
                    live += size
            most = max(most, live + inner)
            for name in {*taken[i], *node.outputs} - kept:
                if last.get(name, i) <= i:
                    live -= held.pop(name, 0)
        return most

    def _inner(self, node: Node, sizes: Mapping[str, int], depth: int) -> int:
        """Most bytes alive within a node: in its graphs, or in the function that it calls."""
        inner = [self.peak(graph, sizes, depth + 1) for graph in node.graphs]
        if (called := self._functions.get(node.operation)) is not None:
            given = zip(called.inputs, node.inputs, strict=False)
            sizes = {name: sizes.get(value, 0) for name, value in given}
            inner.append(self.peak(called, sizes, depth + 1))
        return max(inner, default=0)

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise UnknownGraphError("more nodes than are looked at")
        self._go_on()


def _views(graph: Graph) -> dict[str, str]:
    """What is another name of the same bytes, and whose they are."""
    views: dict[str, str] = {}
    for node in graph.nodes:
        if node.operation in VIEWS and node.inputs and node.outputs:
            views[node.outputs[0]] = views.get(node.inputs[0], node.inputs[0])
    return views


def _taken(node: Node) -> Iterator[str]:
    """Names of all values that a node or its graphs take."""
    yield from node.inputs
    for graph in node.graphs:
        for inner in graph.nodes:
            yield from _taken(inner)
        yield from graph.outputs
