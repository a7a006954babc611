"""Functions of tensors as ONNX graphs and models, by recording the operators that they run."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import onnx
import torch
from onnx import helper
from torch import Tensor

from training.export.recorded.builder import GraphBuilder
from training.export.recorded.operators import translate
from training.export.recorded.recorder import record
from training.export.recorded.recording import Axes

OPSET = 20

IR_VERSION = 10


def recorded(
    function: Callable[..., Any],
    inputs: Mapping[str, Axes],
    outputs: Sequence[str],
    dtype: torch.dtype,
    names: Mapping[str, Tensor] = MappingProxyType({}),
) -> onnx.GraphProto:
    """The ONNX graph of a function of tensors (`recorder.record`).

    Args:
        function: of the inputs → as many tensors as there are outputs.
        inputs: the shape of each by name; those of a name of an axis of any length agree.
        outputs: names of the results.
        dtype: number type of the inputs.
        names: tensors that the function reads, by the names that they have in the graph.

    Raises:
        RecordingError: the function cannot be recorded, or has an operator without a translation.
    """
    recording = record(function, inputs, dtype, names)
    return GraphBuilder(recording, translate, outputs).graph(inputs)


def onnx_model(graph: onnx.GraphProto, domains: Sequence[str] = ()) -> onnx.ModelProto:
    """A model of a graph, which may have nodes of other domains."""
    return helper.make_model(
        graph,
        opset_imports=[
            helper.make_opsetid("", OPSET),
            *(helper.make_opsetid(domain, 1) for domain in domains),
        ],
        ir_version=IR_VERSION,
    )
