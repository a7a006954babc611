"""Sums of products, and what is normalised by them, as ONNX nodes."""

from typing import Any

import torch

from training.export.recorded.call import Call
from training.export.recorded.recording import RecordingError
from training.export.recorded.shapes import Translation
from training.export.recorded.value import Value

aten = torch.ops.aten


def _matrix_product(call: Call) -> Value:
    """Products of matrices; axes before the last two broadcast."""
    return call.result("MatMul", [call.whole(0), call.whole(1)])


def _affine(call: Call) -> Value:
    """A matrix product and a bias."""
    if call.argument(3, "beta", 1) != 1 or call.argument(4, "alpha", 1) != 1:
        raise RecordingError("addmm with factors has no translation")
    return call.result("Gemm", [call.whole(1), call.whole(2), call.broadcast(0)])


def _convolution(call: Call) -> Value:
    """A convolution."""
    stride, padding, dilation, transposed, _, groups = (call.argument(i) for i in range(3, 9))
    if transposed:
        raise RecordingError("a transposed convolution has no translation")
    operands = [call.whole(i) for i in (0, 1, 2) if call.argument(i) is not None]
    return call.result(
        "Conv",
        operands,
        strides=stride,
        pads=[*padding, *padding],
        dilations=dilation,
        group=groups,
    )


def _norm(call: Call) -> Value:
    """Euclidean norms along axes."""
    order, dims = call.argument(1, "ord", 2), call.argument(2, "dim")
    if order != 2 or dims is None:
        raise RecordingError("norms are Euclidean and along axes that are given")
    axes = call.build.integers([axis % len(call.value(0).sizes) for axis in dims])
    keep = int(bool(call.argument(3, "keepdim", False)))
    return call.result("ReduceL2", [call.whole(0), axes], keepdims=keep)


def _layer_norm(call: Call) -> list[Value]:
    """Last axes less their mean, by their deviation, scaled and moved; the mean; 1 / deviation."""
    value, weight, bias, axes = *map(call.whole, (0, 2, 3)), call.argument(1)
    first, epsilon = len(value.sizes) - len(axes), call.argument(4)
    last = call.build.integers(range(first, len(value.sizes)))
    mean = call.result("ReduceMean", [value, last], 1, keepdims=1)
    centered = call.step("Sub", value, mean)
    variance = call.step("ReduceMean", call.step("Mul", centered, centered), last, keepdims=1)
    deviation = call.step("Sqrt", call.step("Add", variance, call.scalar(epsilon)))
    if call.dtype == torch.float32:
        inputs = [value, weight, bias]
        normalised = call.result("LayerNormalization", inputs, axis=first, epsilon=epsilon)
    else:  # the attribute of epsilon is in float32
        scaled = call.step("Mul", call.step("Div", centered, deviation), weight)
        normalised = call.result("Add", [scaled, bias])
    return [normalised, mean, call.result("Reciprocal", [deviation], 2)]


PRODUCTS: dict[Any, Translation] = {
    aten.addmm.default: _affine,
    aten.bmm.default: _matrix_product,
    aten.convolution.default: _convolution,
    aten.linalg_vector_norm.default: _norm,
    aten.matmul.default: _matrix_product,
    aten.mm.default: _matrix_product,
    aten.native_layer_norm.default: _layer_norm,
}
