"""Operators that move, cut and join elements, as ONNX nodes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from training.export.recorded.builder import Value
from training.export.recorded.call import Call

_LARGEST = 2**63 - 1

Translation = Callable[[Call], Value | list[Value]]
"""Writes the nodes of an operator and returns the values of its results."""

aten = torch.ops.aten


def _reshape(call: Call) -> Value:
    """The same elements in another shape."""
    sizes = call.build.sizes(call.output, call.other.outputs[0])
    value = call.value(0)
    if sizes == value.sizes:
        return value
    return call.result("Reshape", [call.build.materialised(value), call.build.shape(sizes)])


def _expand(call: Call) -> Value:
    """Repeated along axes."""
    sizes = call.build.sizes(call.output, call.other.outputs[0])
    value = call.value(0)
    if sizes == value.sizes:
        return value
    if value.constant is not None and value.constant.numel() == 1:
        return call.uniform()
    return call.result("Expand", [call.build.materialised(value), call.build.shape(sizes)])


def _unsqueeze(call: Call) -> Value:
    """An axis of length 1 more."""
    axis = call.axis(1, of=call.output.ndim)
    return call.result("Unsqueeze", [call.whole(0), call.build.integers([axis])])


def _select(call: Call) -> Value:
    """One place of an axis."""
    index = call.build.tensor(torch.tensor(call.argument(2)))
    return call.result("Gather", [call.whole(0), index], axis=call.axis(1))


def _slice(call: Call) -> Value:
    """A range of an axis."""
    axis, step = call.axis(1), call.argument(4, "step", 1)
    ends = []
    for place, name, default in ((2, "start", 0), (3, "end", _LARGEST)):
        one, other = (default if v is None else v for v in call.both(place, name))
        if one == other:
            ends.append(call.build.integers([one]))
        else:
            ends.append(call.build.length(call.build.recording.size(one, other)))
    more = [call.build.integers([axis]), call.build.integers([step])]
    return call.result("Slice", [call.whole(0), *ends, *more])


def _split(call: Call) -> list[Value]:
    """Parts of an axis, each a slice."""
    whole, axis, first, values = call.whole(0), call.axis(2), 0, []
    for i, part in enumerate(call.one.outputs):
        end = first + part.shape[axis]
        bounds = [call.build.integers([v]) for v in (first, end, axis)]
        values.append(call.result("Slice", [whole, *bounds], i))
        first = end
    return values


def _unbind(call: Call) -> list[Value]:
    """All places of an axis."""
    whole, axis = call.whole(0), call.axis(1)
    return [
        call.result("Gather", [whole, call.build.tensor(torch.tensor(i))], i, axis=axis)
        for i in range(len(call.one.outputs))
    ]


def _concatenate(call: Call) -> Value:
    """Values one after another along an axis."""
    values = [call.build.materialised(call.cast(v, call.dtype)) for v in call.values(0)]
    return call.result("Concat", values, axis=call.axis(1, of=call.output.ndim))


def _stack(call: Call) -> Value:
    """Values one after another along a new axis."""
    axis = call.axis(1, of=call.output.ndim)
    place = call.build.integers([axis])
    parts = []
    for value in map(call.build.materialised, call.values(0)):
        name = call.build.node("Unsqueeze", [value.name, place], value.level)
        parts.append(Value(name, value.sizes, value.dtype, value.level))
    return call.result("Concat", parts, axis=axis)


def _pad(call: Call) -> Value:
    """More elements, all of them equal, at the ends of the last axes."""
    given, axes = list(call.argument(1)), call.output.ndim
    pads = [0] * (2 * axes)
    for i in range(len(given) // 2):
        pads[axes - 1 - i], pads[2 * axes - 1 - i] = given[2 * i], given[2 * i + 1]
    fill = call.build.constant(call.cast(call.number(call.argument(2, "value", 0.0)), call.dtype))
    return call.result("Pad", [call.whole(0), call.build.integers(pads), fill])


def _pad_with_ends(call: Call) -> Value:
    """The first and the last element of the last axis, repeated."""
    left, right = call.argument(1)
    axes = call.output.ndim
    pads = call.build.integers([*[0] * (axes - 1), left, *[0] * (axes - 1), right])
    return call.result("Pad", [call.whole(0), pads], mode="edge")


def _gather(call: Call) -> Value:
    """Elements at indices along an axis."""
    axis = call.axis(1)
    return call.result("GatherElements", [call.whole(0), call.whole(2)], axis=axis)


def _embedding(call: Call) -> Value:
    """Rows of a table."""
    return call.result("Gather", [call.whole(0), call.whole(1)], axis=0)


def _flip(call: Call) -> Value:
    """Axes in the opposite order."""
    dims = list(call.argument(1))
    ends = [call.build.integers([v] * len(dims)) for v in (-1, -_LARGEST)]
    more = [call.build.integers(dims), call.build.integers([-1] * len(dims))]
    return call.result("Slice", [call.whole(0), *ends, *more])


def _transpose(call: Call) -> Value:
    """Two axes in each other's place."""
    axes = list(range(call.output.ndim))
    a, b = call.axis(1), call.axis(2)
    axes[a], axes[b] = axes[b], axes[a]
    return call.result("Transpose", [call.whole(0)], perm=axes)


def _permute(call: Call) -> Value:
    """Axes in another order."""
    axes = [axis % call.output.ndim for axis in call.argument(1)]
    return call.result("Transpose", [call.whole(0)], perm=axes)


def _arange(call: Call) -> Value:
    """Whole numbers up to the length of an axis."""
    length = call.build.length(call.build.recording.size(*call.both(0)))
    limit = call.build.node("Squeeze", [length], 0)
    start, step = (call.build.tensor(torch.tensor(v)) for v in (0, 1))
    whole = replace(call.result("Range", [start, limit, step]), dtype=torch.int64)
    return call.cast(whole, call.dtype)


SHAPES: dict[Any, Translation] = {
    aten._unsafe_view.default: _reshape,
    aten.arange.default: _arange,
    aten.cat.default: _concatenate,
    aten.constant_pad_nd.default: _pad,
    aten.embedding.default: _embedding,
    aten.expand.default: _expand,
    aten.flip.default: _flip,
    aten.gather.default: _gather,
    aten.permute.default: _permute,
    aten.replication_pad1d.default: _pad_with_ends,
    aten.select.int: _select,
    aten.slice.Tensor: _slice,
    aten.split.Tensor: _split,
    aten.split_with_sizes.default: _split,
    aten.stack.default: _stack,
    aten.transpose.int: _transpose,
    aten.unbind.int: _unbind,
    aten.unsqueeze.default: _unsqueeze,
    aten.view.default: _reshape,
}
