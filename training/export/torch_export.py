"""What torch's exporter makes of a module: an ONNX model free of the exporter's notes."""

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from onnxscript import opset20
from torch import Tensor, nn
from torch.onnx._internal.exporter._torchlib.ops import hop

OPSET = 20


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


def _while_loop(condition: Any, body: Any, carried: Any, read: Any) -> Any:
    """`while_loop`."""
    outputs = hop.higher_order_while_loop(condition, body, carried, read)
    loop: Any = outputs[0].producer()
    # the call that asks whether to begin; by the version of operators it fits no function
    loop.inputs[1].producer().version = None
    return outputs


# The exporter's own give a float64 the digits of a float32, and fail at a loop in a loop in a loop.
OURS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten.scalar_tensor.default: _scalar,
    torch.ops.aten.full_like.default: _full_like,
    torch.ops.higher_order.while_loop: _while_loop,
}


def trace(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    dynamic: Sequence[str] = ("batch",),
) -> onnx.ModelProto:
    """Export a module that takes and gives tensors.

    Args:
        module: without parameters that want gradients: for them the exporter would trace a
            backward pass of each loop.
        inputs: examples by name, in the order of the module's arguments. An axis of length 1
            would be taken for a constant.
        outputs: names of what it gives.
        dynamic: names of the leading axes of every input that may have any length.
    """
    axes = {i: torch.export.Dim(name) for i, name in enumerate(dynamic)}
    # what the exporter says to its own developers
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            dynamo=True,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=tuple(axes for _ in inputs),
            opset_version=OPSET,
            custom_translation_table=OURS,
            verbose=False,
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    _strip(model.graph)
    return model


def _strip(part_of: onnx.GraphProto) -> None:
    """Forget the exporter's notes: they are larger than small flows, and name local paths."""
    for part in (part_of, *part_of.node, *part_of.value_info, *part_of.input, *part_of.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for node in part_of.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _strip(attribute.g)
