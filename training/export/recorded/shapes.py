"""Operators that move, cut and join elements, as ONNX nodes."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from training.export.recorded.call import Call
from training.export.recorded.recording import RecordingError
from training.export.recorded.value import Value

_LARGEST = 2**63 - 1

Translation = Callable[[Call], Value | list[Value]]
"""Writes the nodes of an operator and returns the values of its results."""

# see `_is_scattered`; in elements, groups of a row, and places of an axis
_SMALL_GROUP, _FEW_GROUPS, _FEW_PLACES = 16, 4, 3

aten = torch.ops.aten


def _reshape(call: Call) -> Value:
    """The same elements in another shape."""
    sizes = call.build.sizes(call.output, call.other.outputs[0])
    value = call.value(0)
    if sizes == value.sizes:
        return value
    dynamic = [size for size in sizes if not size.is_static]
    if len(dynamic) == 1 and 0 not in [size.factor for size in sizes]:
        shape = call.build.integers([s.factor if s.is_static else -1 for s in sizes])
    else:
        shape = call.build.shape(sizes)
    return call.result("Reshape", [call.build.materialised(value), shape])


def _expand(call: Call) -> Value:
    """Repeated along axes."""
    sizes = call.build.sizes(call.output, call.other.outputs[0])
    value = call.value(0)
    if sizes == value.sizes:
        return value
    return call.result("Expand", [call.build.materialised(value), call.build.shape(sizes)])


def _repeat(call: Call) -> Value:
    """Repeated along axes, so many times each."""
    repeats, value = call.argument(1), call.whole(0)
    more = len(repeats) - len(value.sizes)
    if more:
        axes = call.build.integers(range(more))
        name = call.build.node("Unsqueeze", [value.name, axes], value.level)
        value = replace(value, name=name)
    return call.result("Tile", [value, call.build.integers(repeats)])


def _unsqueeze(call: Call) -> Value:
    """An axis of length 1 more."""
    axis = call.axis(1, of=call.output.ndim)
    return call.result("Unsqueeze", [call.whole(0), call.build.integers([axis])])


def _select(call: Call) -> Value:
    """One place of an axis."""
    return _at(call, call.whole(0), call.axis(1), call.argument(2))


def _unbind(call: Call) -> list[Value]:
    """All places of an axis."""
    value, axis = call.whole(0), call.axis(1)
    return [_at(call, value, axis, place, place) for place in range(len(call.one.outputs))]


def _at(call: Call, value: Value, axis: int, place: int, output: int = 0) -> Value:
    """One place of an axis as a result of the call."""
    length = value.sizes[axis]
    is_only = length.is_static and length.factor == 1
    if not is_only and not (_is_scattered(value, axis, 1) and length.is_static):
        index = call.build.tensor(torch.tensor(place))
        return call.result("Gather", [value, index], output, axis=axis)
    if 1 < length.factor <= _FEW_PLACES:
        sizes = call.build.integers([1] * length.factor)
        parts = call.build.nodes(
            "Split", [value.name, sizes], value.level, length.factor, axis=axis
        )
        value = replace(value, name=parts[place])
    elif length.factor > 1:
        first = place % length.factor
        bounds = [call.build.integers([v]) for v in (first, first + 1, axis)]
        value = replace(value, name=call.build.node("Slice", [value.name, *bounds], value.level))
    return call.result("Squeeze", [value, call.build.integers([axis])], output)


def _is_scattered(value: Value, axis: int, places: int) -> bool:
    """Whether the elements at places of an axis are many small groups of neighbours in each row.

    onnxruntime's Gather copies group by group: every second of 784 columns of 256 rows took it 720
    µs, and Transpose, Gather and Transpose 69 µs; both columns of 256 × 784 × 2 took 1.5 ms each,
    by Slice 0.8 ms and by Split 0.14 ms.
    """
    outer, inner = value.sizes[:axis], value.sizes[axis + 1 :]
    groups = places * math.prod(size.factor for size in outer if size.is_static)
    width = math.prod(size.factor for size in inner)
    is_known = all(size.is_static for size in inner)
    return axis > 0 and is_known and width < _SMALL_GROUP and groups > _FEW_GROUPS


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
    """Parts of an axis."""
    axis = call.axis(2)
    sizes = call.build.integers([part.shape[axis] for part in call.one.outputs])
    return call.results("Split", [call.whole(0), sizes], axis=axis)


def _concatenate(call: Call) -> Value:
    """Values one after another along an axis."""
    values = [call.build.materialised(call.cast(v, call.dtype)) for v in call.values(0)]
    if len(values) == 1:
        return values[0]
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
    fill = call.scalar(call.argument(2, "value", 0.0))
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


def _index(call: Call) -> Value:
    """Entries of an axis at indices."""
    given = [i for i, index in enumerate(call.argument(1)) if index is not None]
    if len(given) != 1:
        raise RecordingError("indices along several axes have no translation")
    return _entries(call, given[0], call.value_in(1, given[0]))


def _index_select(call: Call) -> Value:
    """Entries of an axis at a list of indices."""
    return _entries(call, call.axis(1), call.value(2))


def _entries(call: Call, axis: int, index: Value) -> Value:
    """Entries of an axis at indices; a range of constant indices is a slice."""
    value, build = call.whole(0), call.build
    if index.constant is not None and index.constant.ndim == 1 and len(index.constant):
        places = index.constant.tolist()
        step = places[1] - places[0] if len(places) > 1 else 1
        first, last = places[0], places[-1] + (1 if step > 0 else -1)
        if step and min(places) >= 0 and places == list(range(first, last, step)):
            return _range(call, value, axis, first, last, step)
    index = build.materialised(index)
    if len(index.sizes) != 1 or not _is_scattered(value, axis, index.sizes[0].factor):
        return call.result("Gather", [value, index], axis=axis)
    axes = [axis, *(i for i in range(len(value.sizes)) if i != axis)]
    turned = call.step("Transpose", value, perm=axes)
    entries = call.step("Gather", turned, index, axis=0)
    return call.result("Transpose", [entries], perm=[axes.index(i) for i in range(len(axes))])


def _range(call: Call, value: Value, axis: int, first: int, last: int, step: int) -> Value:
    """Every `step`-th entry of an axis."""
    if (first, step) == (0, 1) and value.sizes[axis].is_static and last == value.sizes[axis].factor:
        return value
    # an end before the first entry is a large negative one
    bounds = [first, last if last >= 0 else -_LARGEST, axis, step]
    return call.result("Slice", [value, *(call.build.integers([v]) for v in bounds)])


def _top_k(call: Call) -> list[Value]:
    """The largest or smallest entries of an axis, and their places."""
    count = call.build.integers([call.argument(1)])
    axis, largest = call.axis(2, default=-1), int(call.argument(3, "largest", True))
    return call.results("TopK", [call.whole(0), count], axis=axis, largest=largest)


def _triangle(upper: int) -> Translation:
    """Matrices with zeros on one side of a diagonal."""

    def triangle(call: Call) -> Value:
        diagonal = call.build.tensor(torch.tensor(call.argument(1, "diagonal", 0)))
        return call.result("Trilu", [call.whole(0), diagonal], upper=upper)

    return triangle


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
    """Two axes in each other's place, by default the only two."""
    axes = list(range(call.output.ndim))
    a, b = call.axis(1), call.axis(2, default=1)
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
    name = call.build.node("Range", [start, limit, step], 0)
    sizes = call.build.sizes(call.one.outputs[0], call.other.outputs[0])
    return call.cast(Value(name, sizes, torch.int64, 0), call.dtype)


SHAPES: dict[Any, Translation] = {
    aten._unsafe_view.default: _reshape,
    aten.arange.default: _arange,
    aten.cat.default: _concatenate,
    aten.constant_pad_nd.default: _pad,
    aten.embedding.default: _embedding,
    aten.expand.default: _expand,
    aten.flip.default: _flip,
    aten.gather.default: _gather,
    aten.index.Tensor: _index,
    aten.index_select.default: _index_select,
    aten.permute.default: _permute,
    aten.repeat.default: _repeat,
    aten.replication_pad1d.default: _pad_with_ends,
    aten.select.int: _select,
    aten.slice.Tensor: _slice,
    aten.split.Tensor: _split,
    aten.split_with_sizes.default: _split,
    aten.stack.default: _stack,
    aten.t.default: _transpose,
    aten.topk.default: _top_k,
    aten.transpose.int: _transpose,
    aten.tril.default: _triangle(0),
    aten.triu.default: _triangle(1),
    aten.unbind.int: _unbind,
    aten.unsqueeze.default: _unsqueeze,
    aten.view.default: _reshape,
}
