"""Operators of torch as ONNX nodes, for graphs of recorded functions.

Float64 stays float64, and exp(x) − 1 keeps its digits.
"""

from typing import Any

import torch

from training.export.recorded.builder import GraphBuilder
from training.export.recorded.call import Call
from training.export.recorded.hyperbolic import HYPERBOLIC
from training.export.recorded.products import PRODUCTS
from training.export.recorded.recording import CustomNode, RecordingError, Step, Symbol
from training.export.recorded.shapes import SHAPES, Translation
from training.export.recorded.value import Value

aten = torch.ops.aten

UNARY = {
    aten.abs.default: "Abs",
    aten.ceil.default: "Ceil",
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
    "eq": "Equal",
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "lt": "Less",
}
LOGICAL = {
    aten.bitwise_and.Tensor: "And",
    aten.bitwise_not.default: "Not",
    aten.bitwise_or.Tensor: "Or",
}


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
    if isinstance(one.operator, CustomNode):
        return call.custom(one.operator)
    if call.is_uniform():
        return [call.uniform()]
    translation = TRANSLATIONS.get(one.operator)
    if translation is None:
        raise RecordingError(
            f"{one.operator} has no translation: add one to training/export/recorded, and a line "
            "to tests/training/export/test_operators.py"
        )
    answer = translation(call)
    return answer if isinstance(answer, list) else [answer]


def _as_it_is(call: Call) -> Value:
    """The argument."""
    return call.value(0)


def _elementwise(operator: str) -> Translation:
    """An operator of ONNX of the same arguments."""
    return lambda call: call.elementwise(operator)


def _arithmetic(operator: str) -> Translation:
    """An operator of two arguments in the number type of the result."""

    def arithmetic(call: Call) -> Value:
        if call.one.arguments[1].get("alpha", 1) != 1:
            raise RecordingError(f"{call.one.operator} with a factor has no translation")
        return call.elementwise(operator, call.dtype)

    return arithmetic


def _comparison(operator: str) -> Translation:
    """A comparison of two arguments."""
    return lambda call: call.elementwise(operator, call.common_dtype)


def _logical(operator: str) -> Translation:
    """An operator of truth values."""

    def logical(call: Call) -> Value:
        if call.dtype != torch.bool:
            raise RecordingError(f"{call.one.operator} of numbers has no translation")
        return call.elementwise(operator)

    return logical


def _clamp(low: float | None = None, high: float | None = None) -> Translation:
    """Between bounds, by default these, of which each may be missing."""

    def clamp(call: Call) -> Value:
        value = call.value(0)
        bounds = [call.argument(1, "min", low), call.argument(2, "max", high)]
        if not any(isinstance(bound, Symbol) for bound in bounds):
            numbers = [call.scalar(bound) if bound is not None else "" for bound in bounds]
            return call.result("Clip", [call.whole(0), *numbers])
        for place, (operator, bound) in enumerate(zip(("Max", "Min"), bounds, strict=True), 1):
            if bound is not None:
                operands = [value, call.operand(place, ("min", "max")[place - 1])]
                value = call.elementwise(operator, call.dtype, operands)
        return value

    return clamp


def _expm1(call: Call) -> Value:
    """exp(x) − 1; in float64 exact near zero, by 2 tanh(x/2) / (1 − tanh(x/2))."""
    x, one = call.whole(0), call.scalar(1.0)
    if call.dtype == torch.float32:
        return call.result("Sub", [call.step("Exp", x), one])
    tangent = call.step("Tanh", call.step("Mul", x, call.scalar(0.5)))
    near = call.step("Div", call.step("Add", tangent, tangent), call.step("Sub", one, tangent))
    far = call.step("Sub", call.step("Exp", x), one)
    return call.result("Where", [call.step("Less", x, one, dtype=torch.bool), near, far])


def _silu(call: Call) -> Value:
    """SiLU: x σ(x); in float64, where Sigmoid takes three times as long as Tanh, by the latter."""
    x = call.whole(0)
    if call.dtype == torch.float32:
        return call.result("Mul", [x, call.step("Sigmoid", x)])
    half = call.step("Mul", x, call.scalar(0.5))
    return call.result("Add", [half, call.step("Mul", half, call.step("Tanh", half))])


def _gelu(call: Call) -> Value:
    """GELU in float32; in float64 it is recorded as other operators (`recording`)."""
    if call.argument(1, "approximate", "none") != "none":
        raise RecordingError("an approximate gelu has no translation")
    return call.result("Gelu", [call.whole(0)])


def _log1p(call: Call) -> Value:
    """log(1 + x)."""
    return call.result("Log", [call.step("Add", call.whole(0), call.scalar(1.0))])


def _reversed_subtraction(call: Call) -> Value:
    """A number less a tensor."""
    return call.elementwise("Sub", call.dtype, [call.operand(1), call.value(0)])


def _power(call: Call) -> Value:
    """A fixed power; a square is faster as a product."""
    exponent = call.argument(1)
    if exponent == 2:
        return call.result("Mul", [call.whole(0), call.whole(0)])
    return call.result("Pow", [call.whole(0), call.scalar(exponent)])


def _reciprocal_root(call: Call) -> Value:
    """1 / √x."""
    return call.result("Reciprocal", [call.step("Sqrt", call.whole(0))])


def _tangent(call: Call) -> Value:
    """sin(x) / cos(x)."""
    x = call.whole(0)
    return call.result("Div", [call.step("Sin", x), call.step("Cos", x)])


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
    share = call.scalar(call.argument(2))
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
    **HYPERBOLIC,
    **PRODUCTS,
    **SHAPES,
    **{operator: _elementwise(name) for operator, name in UNARY.items()},
    **{operator: _arithmetic(name) for operator, name in ARITHMETIC.items()},
    **{
        operator: _comparison(name)
        for packet, name in COMPARISONS.items()
        for operator in (getattr(aten, packet).Tensor, getattr(aten, packet).Scalar)
    },
    **{operator: _logical(name) for operator, name in LOGICAL.items()},
    aten._log_softmax.default: _log_softmax,
    aten._softmax.default: _softmax,
    aten._to_copy.default: _converted,
    aten.alias.default: _as_it_is,
    aten.all.dim: _reduction("ReduceMin"),
    aten.amax.default: _reduction("ReduceMax"),
    aten.amin.default: _reduction("ReduceMin"),
    aten.any.default: _reduction("ReduceMax"),
    aten.any.dim: _reduction("ReduceMax"),
    aten.clamp.Tensor: _clamp(),
    aten.clamp.default: _clamp(),
    aten.clone.default: _as_it_is,
    aten.cumsum.default: _cumsum,
    aten.detach.default: _as_it_is,
    aten.expm1.default: _expm1,
    aten.gelu.default: _gelu,
    aten.hardtanh.default: _clamp(-1.0, 1.0),
    aten.lerp.Scalar: _lerp,
    aten.log1p.default: _log1p,
    aten.logsumexp.default: _reduction("ReduceLogSumExp"),
    aten.mean.dim: _reduction("ReduceMean"),
    aten.pow.Tensor_Scalar: _power,
    aten.rsub.Scalar: _reversed_subtraction,
    aten.silu.default: _silu,
    aten.rsqrt.default: _reciprocal_root,
    aten.tan.default: _tangent,
    aten.sum.default: _reduction("ReduceSum", counts=True),
    aten.sum.dim_IntList: _reduction("ReduceSum", counts=True),
    aten.where.self: _where,
}
