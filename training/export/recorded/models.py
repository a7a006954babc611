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
from training.export.recorded.recorder import Recorder
from training.export.recorded.recording import GROWN, LENGTHS, Axes, Recording, RecordingError

OPSET = 20

IR_VERSION = 10


def recorded(
    function: Callable[..., Any],
    inputs: Mapping[str, Axes],
    outputs: Sequence[str],
    dtype: torch.dtype,
    names: Mapping[str, Tensor] = MappingProxyType({}),
) -> onnx.GraphProto:
    """The ONNX graph of a function of tensors (`recorder.Recorder`).

    Args:
        function: of the inputs → as many tensors as there are outputs.
        inputs: the shape of each by name; those of a name of an axis of any length agree.
        outputs: names of the results.
        dtype: number type of the inputs.
        names: tensors that the function reads, by the names that they have in the graph.

    Raises:
        RecordingError: the function cannot be recorded, or has an operator without a translation.
    """
    recording = _record(function, inputs, dtype, names)
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


def _record(
    function: Callable[..., Any],
    inputs: Mapping[str, Axes],
    dtype: torch.dtype,
    names: Mapping[str, Tensor],
) -> Recording:
    """Record a function of tensors.

    Args:
        function: of the inputs, in their order, → a tensor or a tuple of them. It makes no decision
            by their elements, and its loops are those of `models.numerics`.
        inputs: the shape of each by name.
        dtype: number type of the inputs.
        names: tensors that the function reads, by name; all on the CPU.

    Raises:
        RecordingError: the function does other steps at other lengths, reads elements, changes a
            tensor in place, or has too many axes.
    """
    axes = tuple(dict.fromkeys(a for shape in inputs.values() for a in shape if isinstance(a, str)))
    if len(axes) > len(LENGTHS):
        raise RecordingError(f"at most {len(LENGTHS)} axes can have any length, got {axes}")
    runs = []
    for i, lengths in enumerate(zip(*LENGTHS, strict=True)):
        known = dict(zip(axes, lengths, strict=False))
        given = {
            name: torch.full(
                [known[a] if isinstance(a, str) else a for a in shape], 0.5, dtype=dtype
            )
            for name, shape in inputs.items()
        }
        recorder = Recorder(names, [pair[i] for pair in GROWN])
        runs.append(recorder.run(function, given))
    return Recording((runs[0], runs[1]), axes)
