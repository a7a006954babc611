"""Operators of torch as ONNX nodes, for graphs of recorded functions.

Float64 stays float64, and exp(x) − 1 keeps its digits; the translations of torch's exporter round
float64 constants to float32.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import onnx
import torch
from torch import Tensor

from training.export.recorded.builder import GraphBuilder, Value
from training.export.recorded.call import Call
from training.export.recorded.entries import ENTRIES
from training.export.recorded.recording import Axes, RecordingError, Step, record
from training.export.recorded.shapes import SHAPES, Translation

aten = torch.ops.aten

UNARY = {
    aten.abs.default: "Abs",
    aten.cos.default: "Cos",
    aten.exp.default: "Exp",
    aten.floor.default: "Floor",
    aten.isinf.default: "IsInf",
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
}
SAME = {aten.alias.default, aten.clone.default, aten.detach.default}
UNIFORM = {
    aten.full_like.default,
    aten.new_ones.default,
    aten.ones_like.default,
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
    call = Call(build, one, other)
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


def _clamp(call: Call) -> Value:
    """Between bounds, of which each may be missing."""
    value, bounds = call.value(0), [call.argument(1, "min"), call.argument(2, "max")]
    for place, (name, bound) in enumerate(zip(("min", "max"), bounds, strict=True), 1):
        if bound is not None:
            operator = "Max" if name == "min" else "Min"
            operands = [value, call.operand(place, name)]
            value = call.elementwise(operator, call.dtype, operands)
    return value


def _expm1(call: Call) -> Value:
    """exp(x) − 1, exact near zero by 2 tanh(x/2) / (1 − tanh(x/2))."""
    x = call.whole(0)
    one, half = (call.build.constant(call.cast(call.number(v), x.dtype)) for v in (1.0, 0.5))
    tangent = call.step("Tanh", call.step("Mul", x, half))
    near = call.step("Div", call.step("Add", tangent, tangent), _minus(call, one, tangent))
    far = call.step("Sub", call.step("Exp", x), one)
    return call.result("Where", [call.step("Less", x, one, dtype=torch.bool), near, far])


def _silu(call: Call) -> Value:
    """SiLU: x σ(x)."""
    x = call.whole(0)
    return call.result("Mul", [x, call.step("Sigmoid", x)])


def _gelu(call: Call) -> Value:
    """GELU in float32; in float64 it is recorded as other operators (`recording`)."""
    if call.argument(1, "approximate", "none") != "none":
        raise RecordingError("an approximate gelu has no translation")
    return call.result("Gelu", [call.whole(0)])


def _minus(call: Call, number: Value, value: Value) -> Value:
    """A number less a value, of the value's shape."""
    name = call.build.node("Sub", [number.name, value.name], value.level)
    return Value(name, value.sizes, value.dtype, value.level)


def _log1p(call: Call) -> Value:
    """log(1 + x)."""
    x = call.whole(0)
    one = call.build.constant(call.cast(call.number(1.0), x.dtype))
    return call.result("Log", [call.step("Add", x, one)])


def _reversed_subtraction(call: Call) -> Value:
    """A number less a tensor."""
    return call.elementwise("Sub", call.dtype, [call.operand(1), call.value(0)])


def _where(call: Call) -> Value:
    """One of two values, elementwise."""
    values = [call.value(0), *(call.cast(call.operand(i), call.dtype) for i in (1, 2))]
    return call.elementwise("Where", None, values)


def _converted(call: Call) -> Value:
    """Another number type."""
    return call.cast(call.value(0), call.dtype)


def _cumsum(call: Call) -> Value:
    """Sums of all elements up to each."""
    axis = call.build.tensor(torch.tensor(call.axis(1)))
    return call.result("CumSum", [call.whole(0), axis])


def _softmax(call: Call) -> Value:
    """Shares along an axis."""
    return call.result("Softmax", [call.whole(0)], axis=call.axis(1))


def _lerp(call: Call) -> Value:
    """Between two tensors, by a fixed share."""
    start, end = call.whole(0), call.whole(1)
    share = call.build.constant(call.cast(call.operand(2), start.dtype))
    return call.result("Add", [start, call.step("Mul", call.step("Sub", end, start), share)])


def _log_softmax(call: Call) -> Value:
    """Logarithms of shares along an axis."""
    return call.result("LogSoftmax", [call.whole(0)], axis=call.axis(1))


def _reduction(operator: str, counts: bool = False) -> Translation:
    """A reduction of some axes, or of all; of what is cast to the result's type if it counts."""

    def reduce(call: Call) -> Value:
        value = call.whole(0)
        value = call.cast(value, call.dtype) if counts else value
        dims = call.argument(1, "dim")
        dims = [dims] if isinstance(dims, int) else list(dims or range(len(value.sizes)))
        keep = int(bool(call.argument(2, "keepdim", False)))
        axes = call.build.integers([axis % max(1, len(value.sizes)) for axis in dims])
        return call.result(operator, [value, axes], keepdims=keep)

    return reduce


TRANSLATIONS: dict[Any, Translation] = {
    **ENTRIES,
    **SHAPES,
    aten._log_softmax.default: _log_softmax,
    aten._softmax.default: _softmax,
    aten._to_copy.default: _converted,
    aten.all.dim: _reduction("ReduceMin"),
    aten.amax.default: _reduction("ReduceMax"),
    aten.amin.default: _reduction("ReduceMin"),
    aten.any.default: _reduction("ReduceMax"),
    aten.any.dim: _reduction("ReduceMax"),
    aten.clamp.Tensor: _clamp,
    aten.clamp.default: _clamp,
    aten.cumsum.default: _cumsum,
    aten.expm1.default: _expm1,
    aten.gelu.default: _gelu,
    aten.hardtanh.default: _clamp,
    aten.lerp.Scalar: _lerp,
    aten.log1p.default: _log1p,
    aten.logsumexp.default: _reduction("ReduceLogSumExp"),
    aten.mean.dim: _reduction("ReduceMean"),
    aten.rsub.Scalar: _reversed_subtraction,
    aten.silu.default: _silu,
    aten.sum.dim_IntList: _reduction("ReduceSum", counts=True),
    aten.where.self: _where,
}
