"""Exporting torch modules to ONNX models, without the metadata of the exporter."""

import functools
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from onnxscript import opset20
from torch import Tensor, nn
from torch.fx import config as fx_config
from torch.onnx._internal.exporter import _core
from torch.onnx._internal.exporter._registration import ONNXRegistry
from torch.onnx._internal.exporter._torchlib.ops import hop

OPSET = 20

# that of the exporter
IR_VERSION = 10


def _scalar(s: float, dtype: int = onnx.TensorProto.FLOAT, **_: object) -> Any:
    """`aten::scalar_tensor`."""
    if isinstance(s, bool | int | float):
        number = np.array(s, helper.tensor_dtype_to_np_dtype(dtype))
        return opset20.Constant(value=numpy_helper.from_array(number))
    return opset20.Cast(s, to=dtype)


def _full_like(like: Any, fill_value: float, dtype: int = -1, **_: object) -> Any:
    """`aten::full_like`."""
    number = _scalar(fill_value, like.dtype if dtype == -1 else dtype)
    return opset20.Expand(number, opset20.Shape(like))


def _expm1(x: Any) -> Any:
    """`aten::expm1`. In float64 exact near zero, by 2 tanh(x/2) / (1 − tanh(x/2))."""
    one = _scalar(1.0, x.dtype)
    if x.dtype != onnx.TensorProto.DOUBLE:
        return opset20.Sub(opset20.Exp(x), one)
    half = opset20.Tanh(opset20.Mul(x, _scalar(0.5, x.dtype)))
    near = opset20.Div(opset20.Add(half, half), opset20.Sub(one, half))
    return opset20.Where(opset20.Less(x, one), near, opset20.Sub(opset20.Exp(x), one))


def _while_loop(condition: Any, body: Any, carried: Any, read: Any) -> Any:
    """`while_loop`."""
    outputs = hop.higher_order_while_loop(condition, body, carried, read)
    loop: Any = outputs[0].producer()
    # the call that computes the first condition: with a version of operators it matches no function
    loop.inputs[1].producer().version = None
    return outputs


# Those of the exporter round float64 constants to float32, lose the digits of exp(x) − 1, and fail
# for three nested loops.
TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten.scalar_tensor.default: _scalar,
    torch.ops.aten.full_like.default: _full_like,
    torch.ops.aten.expm1.default: _expm1,
    torch.ops.higher_order.while_loop: _while_loop,
}


@functools.cache
def _operators() -> ONNXRegistry:
    """The exporter's translations, and ours before them.

    `torch.onnx.export` builds this table of 500 operators at each call, which is 0.6 of the 1 to
    1.5 seconds of a small graph; the export of a MAF of two layers traces four.
    """
    # messages for the developers of the exporter
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    registry = ONNXRegistry.from_torchlib(opset_version=OPSET)
    for operator, translation in TRANSLATIONS.items():
        registry.register_op(operator, translation)
    return registry


def trace(
    module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str]
) -> onnx.ModelProto:
    """Export a module whose inputs and outputs are tensors, for batches of any size.

    Args:
        module: without parameters that require gradients, for which the exporter would trace a
            backward pass of each loop.
        inputs: examples by name, in the order of the module's arguments. The exporter takes an
            axis of length 1 for a constant.
        outputs: names of the outputs.
    """
    axes = {0: torch.export.Dim("batch")}
    shapes = tuple(axes for _ in inputs)
    # `_strip` would remove the stack trace of each operator, which takes time to write
    with warnings.catch_warnings(), patch.object(fx_config, "do_not_emit_stack_traces", True):
        warnings.simplefilter("ignore")
        program = _core.export(
            module,
            tuple(inputs.values()),
            registry=_operators(),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=shapes,
            opset_version=OPSET,
            verbose=False,
        )
        program._rename_dynamic_axes(shapes)
    model: onnx.ModelProto = program.model_proto
    _strip(model.graph)
    return model


def _strip(graph: onnx.GraphProto) -> None:
    """Remove the metadata of the exporter, which is larger than small flows and has local paths."""
    for proto in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        proto.ClearField("metadata_props")
        proto.ClearField("doc_string")
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _strip(attribute.g)
