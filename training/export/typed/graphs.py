"""The two directions of a density over typed columns as ONNX files."""

import copy
from collections.abc import Mapping

import onnx
from onnx import TensorProto, helper

from models.columns import TypedColumns
from models.numerics import fold
from training.export.onnx_builder import Writer
from training.export.onnx_functions import DOMAIN
from training.export.recorded import IR_VERSION, OPSET
from training.export.typed.decoding import DecodeWriter


def encode_graph(density: TypedColumns) -> bytes:
    """An ONNX file: x, u, N × D, and context, if there is one → z, N × D; log_prob, N.

    All are float64: so is what a density computes of its columns, and x has values to 2^53.
    """
    graph = _writer(density)
    outputs = graph.encode("x", "u", _context(density))
    return _file(graph, ["x", "u"], {"z": outputs[0], "log_prob": outputs[1]})


def decode_graph(density: TypedColumns) -> bytes:
    """An ONNX file: z, N × D, and context, if there is one → x, N × D; log_prob, N; in float64.

    Each hidden unit of the network is computed once.
    """
    graph = _writer(density)
    outputs = graph.decode("z", _context(density))
    return _file(graph, ["z"], {"x": outputs[0], "log_prob": outputs[1]})


def _writer(density: TypedColumns) -> DecodeWriter:
    """A writer of a copy of a density, which is folded."""
    folded = copy.deepcopy(density).cpu().eval().requires_grad_(False)
    fold(folded)
    return DecodeWriter(Writer("v"), folded)


def _context(density: TypedColumns) -> str | None:
    return None if density.context_shape is None else "context"


def _file(graph: DecodeWriter, rows: list[str], outputs: Mapping[str, str]) -> bytes:
    """The ONNX file of what has been written."""
    write, shapes = graph.writer, {name: [*graph.density.event_shape] for name in rows}
    if graph.density.context_shape is not None:
        shapes["context"] = [*graph.density.context_shape]
    for name, value in outputs.items():
        write.name_output(name, "Identity", value)
    shapes_out = {name: [] if name == "log_prob" else shapes[rows[0]] for name in outputs}

    def infos(values: Mapping[str, list[int]]) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["batch", *shape])
            for name, shape in values.items()
        ]

    functions = (graph.networks, graph.exact)
    constants = [*write.constants, *(c for f in functions for c in f.constants)]
    model = helper.make_model(
        helper.make_graph(write.nodes, "density", infos(shapes), infos(shapes_out), constants),
        functions=[proto for f in functions for proto in f.protos],
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)],
        ir_version=IR_VERSION,
    )
    content: bytes = model.SerializeToString()
    return content
