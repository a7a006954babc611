"""Several ONNX graphs as parts of one: their values under other names, the same weights once."""

import hashlib
from collections.abc import Mapping, Sequence

import onnx
from onnx import helper, numpy_helper

from training.errors import ExportError
from training.export.onnx_builder import Writer
from training.export.onnx_functions import DOMAIN
from training.export.recorded import onnx_model

# Of a tensor, from which on it is worth seeing whether another one is the same.
SHARED_BYTES = 2**10
# What a file of ONNX may have.
MAX_FILE_BYTES = 2**31 - 1

BATCH = "batch"
"""The axis of rows in exported graphs."""


class MergedGraph:
    """A graph in the making, of the nodes of several.

    Attributes:
        writer: of the nodes between theirs.
        value_info: shapes of values.
    """

    def __init__(self) -> None:
        self.writer = Writer("mixture.")
        self.value_info: list[onnx.ValueInfoProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._functions: list[onnx.FunctionProto] = []
        self._names: dict[bytes, str] = {}

    def taken(
        self, content: bytes, prefix: str, given: Mapping[str, str], axis: str
    ) -> onnx.GraphProto:
        """A graph whose values have a prefix; its weights and functions are this one's.

        Args:
            content: of its file.
            prefix: of all names.
            given: names of its inputs.
            axis: name of the axis of its rows.
        """
        model = onnx.load_model_from_string(content)
        names = dict(given)
        for tensor in model.graph.initializer:
            names[tensor.name] = self._weight(tensor, prefix)
        del model.graph.initializer[:]
        for function in model.functions:
            function.name = prefix + function.name
            for node in function.node:
                _rename_calls(node, prefix)
            self._functions.append(function)
        _rename(model.graph, prefix, names, axis)
        return model.graph

    def file(
        self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> bytes:
        """The ONNX file of all nodes.

        Raises:
            ExportError: it is larger than such a file may be.
        """
        graph = helper.make_graph(
            self.writer.nodes,
            "mixture",
            inputs,
            outputs,
            [*self.writer.constants, *self._weights],
            value_info=self.value_info,
        )
        model = onnx_model(graph, [DOMAIN])
        model.functions.extend(self._functions)
        if (size := model.ByteSize()) > MAX_FILE_BYTES:
            raise ExportError(
                f"the graph of all members would have {size} bytes, and a file of ONNX may have "
                f"{MAX_FILE_BYTES}: make an ensemble of fewer or of smaller runs"
            )
        content: bytes = model.SerializeToString()
        return content

    def _weight(self, tensor: onnx.TensorProto, prefix: str) -> str:
        """Keep a weight, once if both directions of a member have the same; returns its name."""
        name = prefix + tensor.name
        key = b""
        if tensor.ByteSize() > SHARED_BYTES:
            shape = repr((tensor.data_type, *tensor.dims)).encode()
            key = hashlib.sha256(shape + numpy_helper.to_array(tensor).tobytes()).digest()
            if key in self._names:
                return self._names[key]
        kept = onnx.TensorProto()
        kept.CopyFrom(tensor)
        kept.name = name
        self._weights.append(kept)
        if key:
            self._names[key] = name
        return name


def _rename(graph: onnx.GraphProto, prefix: str, names: dict[str, str], axis: str) -> None:
    """Give all values of a graph new names, those of `names`, or with a prefix."""

    def renamed(name: str) -> str:
        return names.get(name, prefix + name) if name else name

    for node in graph.node:
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
        node.name = ""
        if node.domain == DOMAIN:
            node.op_type = prefix + node.op_type
        for attribute in node.attribute:
            for inner in (*[attribute.g] * attribute.HasField("g"), *attribute.graphs):
                _rename(inner, prefix, names, axis)
    for tensor in graph.initializer:
        tensor.name = renamed(tensor.name)
    for info in (*graph.input, *graph.output, *graph.value_info):
        info.name = renamed(info.name)
        for side in info.type.tensor_type.shape.dim:
            if side.dim_param:
                side.dim_param = axis if side.dim_param == BATCH else prefix + side.dim_param


def _rename_calls(node: onnx.NodeProto, prefix: str) -> None:
    """Give the functions that a node of a function calls their new names."""
    if node.domain == DOMAIN:
        node.op_type = prefix + node.op_type
    for attribute in node.attribute:
        for inner in (*[attribute.g] * attribute.HasField("g"), *attribute.graphs):
            for each in inner.node:
                _rename_calls(each, prefix)
