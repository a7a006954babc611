"""How much memory a run of a graph takes for each row, by the shapes in its file."""

from collections.abc import Callable, Iterator, Mapping

from service.graphs.protobuf import GraphError
from service.graphs.reading import DOMAIN, Graph, Node
from service.graphs.tensors import MAX_VALUE_BYTES

ARENA_FACTOR = 3
"""Memory of a run ÷ what is alive at once by the shapes.

onnxruntime runs nodes in another order, rounds allocations up, cannot fill every gap and keeps
what kernels need beside. 34 stored graphs took 1.1 to 6.3 times as much, half of them at most 2.3.
"""

# What onnxruntime answers with the very bytes it was given.
VIEWS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"})
# What does not grow with its input.
SMALL = frozenset({"Shape", "Size", "Constant"})


def row_bytes(graph: Graph, go_on: Callable[[], None] = lambda: None) -> int:
    """Bytes of memory that a run takes for each row; 0 where the file does not say.

    Args:
        graph: one that has passed `check`.
        go_on: called now and then; raises where the answer is no longer wanted.

    Raises:
        GraphError: one row alone takes more than any may.
    """
    peak = _Walk(graph.functions, go_on).peak(graph, {})
    if peak > MAX_VALUE_BYTES:
        raise GraphError(
            "shapes",
            f"takes {peak} bytes a row by the shapes in it, and may take {MAX_VALUE_BYTES}",
        )
    return ARENA_FACTOR * peak


def trusted_row_bytes(by_shapes: int, measured: int) -> int:
    """Bytes of memory that a run takes for each row, as far as its manifest is believed.

    A manifest may say anything: what is alive at once by the shapes counts at least.

    Args:
        by_shapes: see `row_bytes`.
        measured: what the manifest says.
    """
    return max(measured, by_shapes // ARENA_FACTOR)


class _Walk:
    """A walk through a graph, node by node, with all that is alive at each."""

    def __init__(self, functions: Mapping[str, Graph], go_on: Callable[[], None]) -> None:
        self._functions = functions
        self._go_on = go_on

    def peak(self, graph: Graph, outer: Mapping[str, int]) -> int:
        """Most bytes a row alive at once.

        Args:
            graph: whose nodes run.
            outer: bytes a row of values from outside, by name.
        """
        sizes = {**outer, **{name: of.row_bytes for name, of in graph.types.items()}}
        views = _views(graph)
        taken = [[views.get(name, name) for name in _taken(node)] for node in graph.nodes]
        last = {name: i for i, names in enumerate(taken) for name in names}
        kept = {views.get(name, name) for name in graph.outputs}
        held: dict[str, int] = {}
        live = most = 0
        for i, node in enumerate(graph.nodes):
            self._go_on()
            inner = self._inner(node, sizes)
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

    def _inner(self, node: Node, sizes: Mapping[str, int]) -> int:
        """Most bytes alive within a node: in its graphs, or in the function that it calls."""
        inner = [self.peak(graph, sizes) for graph in node.graphs]
        if node.domain == DOMAIN:
            called = self._functions[node.operation]
            given = zip(called.inputs, node.inputs, strict=False)
            sizes = {name: sizes.get(value, 0) for name, value in given}
            inner.append(self.peak(called, sizes))
        return max(inner, default=0)


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
