"""What an ONNX file is, before onnxruntime sees it: nodes, shapes, and whether it is data alone."""

from service.graphs.checks import check
from service.graphs.memory import ARENA_FACTOR, row_bytes, trusted_row_bytes
from service.graphs.protobuf import GraphError
from service.graphs.reading import Graph, read_graph

__all__ = [
    "ARENA_FACTOR",
    "Graph",
    "GraphError",
    "check",
    "read_graph",
    "row_bytes",
    "trusted_row_bytes",
]
