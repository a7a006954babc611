"""Products of matrices, and entries by their places and their order, as ONNX nodes."""

from typing import Any

import torch

from training.export.recorded.builder import Value
from training.export.recorded.call import Call
from training.export.recorded.recording import RecordingError
from training.export.recorded.shapes import Translation

aten = torch.ops.aten


def _product(call: Call) -> Value:
    """A product of matrices."""
    return call.result("MatMul", [call.whole(0), call.whole(1)])


def _affine(call: Call) -> Value:
    """A product of matrices and a bias."""
    if call.argument(3, "beta", 1) != 1 or call.argument(4, "alpha", 1) != 1:
        raise RecordingError("addmm with factors has no translation")
    return call.result("Gemm", [call.whole(1), call.whole(2), call.whole(0)])


def _power(call: Call) -> Value:
    """A square."""
    if call.argument(1) != 2:
        raise RecordingError(f"a power of {call.argument(1)} has no translation")
    return call.result("Mul", [call.whole(0), call.whole(0)])


def _index_select(call: Call) -> Value:
    """Entries of an axis at a list of places."""
    return call.result("Gather", [call.whole(0), call.whole(2)], axis=call.axis(1))


def _index(call: Call) -> Value:
    """Entries of one axis at places."""
    first, second = call.both(1)
    given = [axis for axis, places in enumerate(first) if places is not None]
    if len(given) != 1:
        raise RecordingError("places along several axes have no translation")
    axis = given[0]
    places = call.build.materialised(call.build.value(first[axis], second[axis]))
    return call.result("Gather", [call.whole(0), places], axis=axis)


def _top_k(call: Call) -> list[Value]:
    """The largest or smallest entries of an axis, and their places."""
    value, count = call.whole(0), call.build.integers([call.argument(1)])
    axis, largest = call.axis(2, default=-1), int(call.argument(3, "largest", True))
    inputs = [value.name, count]
    names = call.build.nodes("TopK", inputs, value.level, 2, axis=axis, largest=largest)
    return [
        Value(name, call.build.sizes(one, other), one.dtype, value.level)
        for name, one, other in zip(names, call.one.outputs, call.other.outputs, strict=True)
    ]


ENTRIES: dict[Any, Translation] = {
    aten.addmm.default: _affine,
    aten.bmm.default: _product,
    aten.index.Tensor: _index,
    aten.index_select.default: _index_select,
    aten.mm.default: _product,
    aten.pow.Tensor_Scalar: _power,
    aten.topk.default: _top_k,
}
