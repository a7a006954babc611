"""Operators of torch as ONNX nodes, for `recorded_graph`.

Float64 stays float64, and exp(x) − 1 keeps its digits; the translations of torch's exporter round
float64 constants to float32.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import onnx
import torch
from torch import Tensor

from training.export.graph_builder import KINDS, GraphBuilder, Value
from training.export.recording import Axes, RecordingError, Step, record, same

_LARGEST = 2**63 - 1

Translation = Callable[["_Call"], Value | list[Value]]

aten = torch.ops.aten

UNARY = {
    aten.abs.default: "Abs",
    aten.ceil.default: "Ceil",
    aten.cos.default: "Cos",
    aten.exp.default: "Exp",
    aten.floor.default: "Floor",
    aten.isnan.default: "IsNaN",
    aten.log.default: "Log",
    aten.neg.default: "Neg",
    aten.reciprocal.default: "Reciprocal",
    aten.relu.default: "Relu",
    aten.round.default: "Round",
    aten.sigmoid.default: "Sigmoid",
    aten.sign.default: "Sign",
    aten.sin.default: "Sin",
    aten.sqrt.default: "Sqrt",
    aten.tanh.default: "Tanh",
}
ARITHMETIC = {
    aten.add.Tensor: "Add",
    aten.div.Tensor: "Div",
    aten.maximum.default: "Max",
    aten.minimum.default: "Min",
    aten.mul.Tensor: "Mul",
    aten.sub.Tensor: "Sub",
}
COMPARISONS = {
    aten.eq: "Equal",
    aten.ge: "GreaterOrEqual",
    aten.gt: "Greater",
    aten.le: "LessOrEqual",
    aten.lt: "Less",
}
LOGICAL = {
    aten.bitwise_and.Tensor: "And",
    aten.bitwise_not.default: "Not",
    aten.bitwise_or.Tensor: "Or",
    aten.logical_and.default: "And",
    aten.logical_not.default: "Not",
    aten.logical_or.default: "Or",
}
SAME = {aten.alias.default, aten.clone.default, aten.detach.default, aten.lift_fresh.default}
UNIFORM = {
    aten.full.default,
    aten.full_like.default,
    aten.new_full.default,
    aten.new_ones.default,
    aten.new_zeros.default,
    aten.ones_like.default,
    aten.zeros.default,
    aten.zeros_like.default,
}


def recorded(
    function: Callable[..., Any],
    inputs: Mapping[str, Axes],
    outputs: Sequence[str],
    dtype: torch.dtype,
    examples: Mapping[str, Tensor] = MappingProxyType({}),
) -> onnx.GraphProto:
    """The ONNX graph of a function of tensors (`recording.record`).

    Args:
        function: of the inputs → as many tensors as there are outputs.
        inputs: the shape of each by name; those of a name of an axis of any length agree.
        outputs: names of the results.
        dtype: number type of the inputs.
        examples: values of inputs along their last axes, where any values will not do.

    Raises:
        RecordingError: the function cannot be recorded, or has an operator without a translation.
    """
    return GraphBuilder(record(function, inputs, dtype, examples), translate).graph(inputs, outputs)


def translate(build: GraphBuilder, one: Step, other: Step) -> list[Value]:
    """Write the nodes of an operator.

    Args:
        build: the graph.
        one, other: the operator in both runs.

    Returns:
        The values of its results.

    Raises:
        RecordingError: there is no translation.
    """
    call = _Call(build, one, other)
    operator = one.operator
    if operator in SAME:
        answer: Value | list[Value] = call.value(0)
    elif operator in UNARY:
        answer = call.elementwise(UNARY[operator])
    elif operator in ARITHMETIC:
        if one.arguments[1].get("alpha", 1) != 1:
            raise RecordingError(f"{operator} with a factor has no translation")
        answer = call.elementwise(ARITHMETIC[operator], call.dtype)
    elif operator.overloadpacket in COMPARISONS:
        answer = call.elementwise(COMPARISONS[operator.overloadpacket], call.common_dtype)
    elif operator in LOGICAL and call.dtype == torch.bool:
        answer = call.elementwise(LOGICAL[operator])
    elif operator in UNIFORM:
        answer = call.uniform()
    elif operator in TRANSLATIONS:
        answer = TRANSLATIONS[operator](call)
    else:
        raise RecordingError(f"{operator} has no translation")
    return answer if isinstance(answer, list) else [answer]


class _Call:
    """An operator in both runs, and what its translation asks about it."""

    def __init__(self, build: GraphBuilder, one: Step, other: Step) -> None:
        self.build, self.one, self.other = build, one, other

    @property
    def output(self) -> Tensor:
        """The first result, in the first run."""
        return self.one.outputs[0]

    @property
    def dtype(self) -> torch.dtype:
        """Number type of the first result."""
        return self.output.dtype

    @property
    def common_dtype(self) -> torch.dtype:
        """The number type in which two arguments are compared."""
        return torch.result_type(*self.one.arguments[0][:2])

    def count(self) -> int:
        """How many arguments there are by position."""
        return len(self.one.arguments[0])

    def argument(self, place: int, name: str = "", default: Any = None) -> Any:
        """An argument by its place or its name, as in the first run."""
        positional, named = self.one.arguments
        return positional[place] if place < len(positional) else named.get(name, default)

    def axis(self, place: int, name: str = "dim", default: int = 0, of: int | None = None) -> int:
        """An axis, counted from the first one of `of`, or of as many as the first argument has."""
        axes = len(self.value(0).sizes) if of is None else of
        return int(self.argument(place, name, default)) % axes

    def value(self, place: int) -> Value:
        """The value of a tensor among the arguments."""
        return self.build.value(self.one.arguments[0][place], self.other.arguments[0][place])

    def values(self, place: int) -> list[Value]:
        """The values of a list of tensors."""
        lists = (step.arguments[0][place] for step in (self.one, self.other))
        return [self.build.value(a, b) for a, b in zip(*lists, strict=True)]

    def operand(self, place: int, name: str = "") -> Value:
        """A tensor or a number among the arguments as a value."""
        given = self.argument(place, name)
        if isinstance(given, Tensor):
            there = place < self.count()
            twin = self.other.arguments[0][place] if there else self.other.arguments[1][name]
            return self.build.value(given, twin)
        twin = (
            self.other.arguments[0][place]
            if place < self.count()
            else self.other.arguments[1][name]
        )
        if given != twin and given == given:
            raise RecordingError(f"{self.one.operator} reads a number that depends on lengths")
        return self.number(given)

    def number(self, number: Any) -> Value:
        """A number as a value."""
        tensor = torch.tensor(number, dtype=torch.float64 if isinstance(number, float) else None)
        return Value("", (), tensor.dtype, 0, tensor)

    def elementwise(
        self, operator: str, dtype: torch.dtype | None = None, operands: Sequence[Value] = ()
    ) -> Value:
        """A node of an elementwise operator.

        Args:
            operator: of ONNX.
            dtype: that all operands are cast to, if any.
            operands: those of the call if there are none here.
        """
        values = list(operands) or [self.operand(i) for i in range(self.count())]
        if all(value.constant is not None for value in values) and self._is_uniform():
            return self.uniform()
        if dtype is not None:
            values = [self.cast(value, dtype) for value in values]
        return self.result(operator, self._broadcast(values))

    def result(
        self, operator: str, values: Sequence[Value | str], output: int = 0, **attributes: Any
    ) -> Value:
        """A node whose output is a result of the call; strings are names of constants."""
        level = max((v.level for v in values if isinstance(v, Value)), default=0)
        names = [v if isinstance(v, str) else v.name for v in values]
        one, other = self.one.outputs[output], self.other.outputs[output]
        name = self.build.node(operator, names, level, **attributes)
        return Value(name, self.build.sizes(one, other), one.dtype, level)

    def step(self, operator: str, *values: Value, dtype: torch.dtype | None = None) -> Value:
        """A node on the way to the result, of the first value's shape."""
        first = values[0]
        level = max(v.level for v in values)
        name = self.build.node(operator, [v.name for v in values], level)
        return Value(name, first.sizes, dtype or first.dtype, level)

    def whole(self, place: int) -> Value:
        """A tensor among the arguments, with all its elements."""
        return self.build.materialised(self.value(place))

    def cast(self, value: Value, dtype: torch.dtype) -> Value:
        """A value in another number type."""
        if value.dtype == dtype:
            return value
        if value.constant is not None:
            return Value("", value.sizes, dtype, 0, value.constant.to(dtype))
        name = self.build.node("Cast", [value.name], value.level, to=KINDS[dtype])
        return Value(name, value.sizes, dtype, value.level)

    def uniform(self) -> Value:
        """The result as a single number, all elements of the result being equal."""
        element = self.output.reshape(-1)[0]
        sizes = self.build.sizes(self.output, self.other.outputs[0])
        return Value("", sizes, self.dtype, 0, element.reshape(()))

    def _is_uniform(self) -> bool:
        """Whether all elements of the result are equal, in both runs."""
        first = self.output.reshape(-1)[:1]
        return bool(first.numel()) and all(
            same(each, first.expand(each.shape)) for each in (self.output, self.other.outputs[0])
        )

    def _broadcast(self, values: Sequence[Value]) -> list[Value]:
        """Values to be read together: single numbers where the others have the result's shape."""
        sizes = self.build.sizes(self.output, self.other.outputs[0])
        read = [v if v.constant is None else self.build.constant(v) for v in values]
        shapes = [v.sizes[::-1] for v in read]
        for i, size in enumerate(sizes[::-1]):
            if size != (1, size.powers) and not any(
                i < len(shape) and shape[i] == size for shape in shapes
            ):
                return [self.build.materialised(value) for value in values]
        return read


def _clamp(call: _Call) -> Value:
    """Between bounds, of which each may be missing."""
    value, bounds = call.value(0), [call.argument(1, "min"), call.argument(2, "max")]
    for place, (name, bound) in enumerate(zip(("min", "max"), bounds, strict=True), 1):
        if bound is not None:
            operator = "Max" if name == "min" else "Min"
            operands = [value, call.operand(place, name)]
            value = call.elementwise(operator, call.dtype, operands)
    return value


def _expm1(call: _Call) -> Value:
    """exp(x) − 1, exact near zero by 2 tanh(x/2) / (1 − tanh(x/2))."""
    x = call.whole(0)
    one, half = (call.build.constant(call.cast(call.number(v), x.dtype)) for v in (1.0, 0.5))
    tangent = call.step("Tanh", call.step("Mul", x, half))
    near = call.step("Div", call.step("Add", tangent, tangent), _minus(call, one, tangent))
    far = call.step("Sub", call.step("Exp", x), one)
    return call.result("Where", [call.step("Less", x, one, dtype=torch.bool), near, far])


def _silu(call: _Call) -> Value:
    """SiLU: x σ(x)."""
    x = call.whole(0)
    return call.result("Mul", [x, call.step("Sigmoid", x)])


def _gelu(call: _Call) -> Value:
    """GELU in float32; in float64 it is recorded as other operators (`recording`)."""
    if call.argument(1, "approximate", "none") != "none":
        raise RecordingError("an approximate gelu has no translation")
    return call.result("Gelu", [call.whole(0)])


def _minus(call: _Call, number: Value, value: Value) -> Value:
    """A number less a value, of the value's shape."""
    name = call.build.node("Sub", [number.name, value.name], value.level)
    return Value(name, value.sizes, value.dtype, value.level)


def _log1p(call: _Call) -> Value:
    """log(1 + x)."""
    x = call.whole(0)
    one = call.build.constant(call.cast(call.number(1.0), x.dtype))
    return call.result("Log", [call.step("Add", x, one)])


def _reversed_subtraction(call: _Call) -> Value:
    """A number less a tensor."""
    return call.elementwise("Sub", call.dtype, [call.operand(1), call.value(0)])


def _where(call: _Call) -> Value:
    """One of two values, elementwise."""
    values = [call.value(0), *(call.cast(call.operand(i), call.dtype) for i in (1, 2))]
    return call.elementwise("Where", None, values)


def _converted(call: _Call) -> Value:
    """Another number type."""
    return call.cast(call.value(0), call.dtype)


def _reshape(call: _Call) -> Value:
    """The same elements in another shape."""
    sizes = call.build.sizes(call.output, call.other.outputs[0])
    value = call.value(0)
    if sizes == value.sizes:
        return value
    return call.result("Reshape", [call.build.materialised(value), call.build.shape(sizes)])


def _expand(call: _Call) -> Value:
    """Repeated along axes."""
    sizes = call.build.sizes(call.output, call.other.outputs[0])
    value = call.value(0)
    if sizes == value.sizes:
        return value
    if value.constant is not None and value.constant.numel() == 1:
        return call.uniform()
    return call.result("Expand", [call.build.materialised(value), call.build.shape(sizes)])


def _unsqueeze(call: _Call) -> Value:
    """An axis of length 1 more."""
    axis = call.axis(1, of=call.output.ndim)
    return call.result("Unsqueeze", [call.whole(0), call.build.integers([axis])])


def _squeeze(call: _Call) -> Value:
    """An axis of length 1 less."""
    return call.result("Squeeze", [call.whole(0), call.build.integers([call.axis(1)])])


def _select(call: _Call) -> Value:
    """One place of an axis."""
    index = call.build.tensor(torch.tensor(call.argument(2)))
    return call.result("Gather", [call.whole(0), index], axis=call.axis(1))


def _slice(call: _Call) -> Value:
    """A range of an axis."""
    axis, step = call.axis(1), call.argument(4, "step", 1)
    ends = []
    for place, name, default in ((2, "start", 0), (3, "end", _LARGEST)):
        one, other = (
            s.arguments[0][place] if place < len(s.arguments[0]) else s.arguments[1].get(name)
            for s in (call.one, call.other)
        )
        one, other = (default if v is None else v for v in (one, other))
        if one == other:
            ends.append(call.build.integers([one]))
        else:
            ends.append(call.build.length(call.build.recording.size(one, other)))
    more = [call.build.integers([axis]), call.build.integers([step])]
    return call.result("Slice", [call.whole(0), *ends, *more])


def _split(call: _Call) -> list[Value]:
    """Parts of an axis, each a slice."""
    whole, axis, first, values = call.whole(0), call.axis(2), 0, []
    for i, part in enumerate(call.one.outputs):
        end = first + part.shape[axis]
        bounds = [call.build.integers([v]) for v in (first, end, axis)]
        values.append(call.result("Slice", [whole, *bounds], i))
        first = end
    return values


def _unbind(call: _Call) -> list[Value]:
    """All places of an axis."""
    whole, axis = call.whole(0), call.axis(1)
    return [
        call.result("Gather", [whole, call.build.tensor(torch.tensor(i))], i, axis=axis)
        for i in range(len(call.one.outputs))
    ]


def _concatenate(call: _Call) -> Value:
    """Values one after another along an axis."""
    values = [call.build.materialised(call.cast(v, call.dtype)) for v in call.values(0)]
    return call.result("Concat", values, axis=call.axis(1, of=call.output.ndim))


def _stack(call: _Call) -> Value:
    """Values one after another along a new axis."""
    axis = call.axis(1, of=call.output.ndim)
    place = call.build.integers([axis])
    parts = []
    for value in map(call.build.materialised, call.values(0)):
        name = call.build.node("Unsqueeze", [value.name, place], value.level)
        parts.append(Value(name, value.sizes, value.dtype, value.level))
    return call.result("Concat", parts, axis=axis)


def _pad(call: _Call) -> Value:
    """More elements, all of them equal, at the ends of the last axes."""
    given, axes = list(call.argument(1)), call.output.ndim
    pads = [0] * (2 * axes)
    for i in range(len(given) // 2):
        pads[axes - 1 - i], pads[2 * axes - 1 - i] = given[2 * i], given[2 * i + 1]
    fill = call.build.constant(call.cast(call.number(call.argument(2, "value", 0.0)), call.dtype))
    return call.result("Pad", [call.whole(0), call.build.integers(pads), fill])


def _pad_with_ends(call: _Call) -> Value:
    """The first and the last element of the last axis, repeated."""
    left, right = call.argument(1)
    axes = call.output.ndim
    pads = call.build.integers([*[0] * (axes - 1), left, *[0] * (axes - 1), right])
    return call.result("Pad", [call.whole(0), pads], mode="edge")


def _gather(call: _Call) -> Value:
    """Elements at indices along an axis."""
    axis = call.axis(1)
    return call.result("GatherElements", [call.whole(0), call.whole(2)], axis=axis)


def _embedding(call: _Call) -> Value:
    """Rows of a table."""
    return call.result("Gather", [call.whole(0), call.whole(1)], axis=0)


def _flip(call: _Call) -> Value:
    """Axes in the opposite order."""
    dims = list(call.argument(1))
    ends = [call.build.integers([v] * len(dims)) for v in (-1, -_LARGEST)]
    more = [call.build.integers(dims), call.build.integers([-1] * len(dims))]
    return call.result("Slice", [call.whole(0), *ends, *more])


def _cumsum(call: _Call) -> Value:
    """Sums of all elements up to each."""
    axis = call.build.tensor(torch.tensor(call.axis(1)))
    return call.result("CumSum", [call.whole(0), axis])


def _transpose(call: _Call) -> Value:
    """Two axes in each other's place."""
    axes = list(range(call.output.ndim))
    a, b = call.axis(1), call.axis(2)
    axes[a], axes[b] = axes[b], axes[a]
    return call.result("Transpose", [call.whole(0)], perm=axes)


def _permute(call: _Call) -> Value:
    """Axes in another order."""
    axes = [axis % call.output.ndim for axis in call.argument(1)]
    return call.result("Transpose", [call.whole(0)], perm=axes)


def _softmax(call: _Call) -> Value:
    """Shares along an axis."""
    return call.result("Softmax", [call.whole(0)], axis=call.axis(1))


def _lerp(call: _Call) -> Value:
    """Between two tensors, by a fixed share."""
    start, end = call.whole(0), call.whole(1)
    share = call.build.constant(call.cast(call.operand(2), start.dtype))
    return call.result("Add", [start, call.step("Mul", call.step("Sub", end, start), share)])


def _log_softmax(call: _Call) -> Value:
    """Logarithms of shares along an axis."""
    return call.result("LogSoftmax", [call.whole(0)], axis=call.axis(1))


def _reduction(operator: str, counts: bool = False) -> Translation:
    """A reduction of some axes, or of all; of what is cast to the result's type if it counts."""

    def reduce(call: _Call) -> Value:
        value = call.whole(0)
        value = call.cast(value, call.dtype) if counts else value
        dims = call.argument(1, "dim")
        dims = [dims] if isinstance(dims, int) else list(dims or range(len(value.sizes)))
        keep = int(bool(call.argument(2, "keepdim", False)))
        axes = call.build.integers([axis % max(1, len(value.sizes)) for axis in dims])
        return call.result(operator, [value, axes], keepdims=keep)

    return reduce


def _arange(call: _Call) -> Value:
    """Whole numbers up to the length of an axis."""
    one, other = (step.arguments[0][0] for step in (call.one, call.other))
    length = call.build.length(call.build.recording.size(one, other))
    limit = call.build.node("Squeeze", [length], 0)
    start, step = (call.build.tensor(torch.tensor(v)) for v in (0, 1))
    return call.cast(call.result("Range", [start, limit, step]), call.dtype)


TRANSLATIONS: dict[Any, Translation] = {
    aten._log_softmax.default: _log_softmax,
    aten._softmax.default: _softmax,
    aten._to_copy.default: _converted,
    aten._unsafe_view.default: _reshape,
    aten.amax.default: _reduction("ReduceMax"),
    aten.amin.default: _reduction("ReduceMin"),
    aten.any.default: _reduction("ReduceMax"),
    aten.any.dim: _reduction("ReduceMax"),
    aten.arange.default: _arange,
    aten.cat.default: _concatenate,
    aten.clamp.Tensor: _clamp,
    aten.clamp.default: _clamp,
    aten.constant_pad_nd.default: _pad,
    aten.cumsum.default: _cumsum,
    aten.embedding.default: _embedding,
    aten.expand.default: _expand,
    aten.expm1.default: _expm1,
    aten.flip.default: _flip,
    aten.gather.default: _gather,
    aten.gelu.default: _gelu,
    aten.hardtanh.default: _clamp,
    aten.lerp.Scalar: _lerp,
    aten.log1p.default: _log1p,
    aten.logsumexp.default: _reduction("ReduceLogSumExp"),
    aten.permute.default: _permute,
    aten.replication_pad1d.default: _pad_with_ends,
    aten.rsub.Scalar: _reversed_subtraction,
    aten.select.int: _select,
    aten.slice.Tensor: _slice,
    aten.silu.default: _silu,
    aten.split.Tensor: _split,
    aten.squeeze.dim: _squeeze,
    aten.stack.default: _stack,
    aten.sum.dim_IntList: _reduction("ReduceSum", counts=True),
    aten.transpose.int: _transpose,
    aten.unbind.int: _unbind,
    aten.unsqueeze.default: _unsqueeze,
    aten.view.default: _reshape,
    aten.where.self: _where,
}
