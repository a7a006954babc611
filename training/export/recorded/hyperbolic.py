"""Hyperbolic functions and their inverses, which onnxruntime has in float32 alone.

In float64 they are put together of functions that it has, with the digits of float64 beside 1.
"""

from typing import Any

import torch

from training.export.recorded.call import Call
from training.export.recorded.shapes import Translation
from training.export.recorded.value import Value

aten = torch.ops.aten


def _in_float64(operator: str, put_together: Translation) -> Translation:
    """ONNX's operator in float32, and in float64 what is put together."""

    def translation(call: Call) -> Value | list[Value]:
        if call.dtype == torch.float32:
            return call.result(operator, [call.whole(0)])
        return put_together(call)

    return translation


def _sinh(call: Call) -> Value:
    """(eˣ − e⁻ˣ) / 2; near zero 2t / (1 − t²) of t = tanh(x/2), where the other cancels."""
    x, one, half = call.whole(0), call.scalar(1.0), call.scalar(0.5)
    t = call.step("Tanh", call.step("Mul", x, half))
    rest = call.step("Sub", one, call.step("Mul", t, t))
    near = call.step("Div", call.step("Add", t, t), rest)
    grown = call.step("Sub", call.step("Exp", x), call.step("Exp", call.step("Neg", x)))
    is_near = call.step("Less", call.step("Abs", x), one, dtype=torch.bool)
    return call.result("Where", [is_near, near, call.step("Mul", grown, half)])


def _cosh(call: Call) -> Value:
    """(eˣ + e⁻ˣ) / 2."""
    x = call.whole(0)
    grown = call.step("Add", call.step("Exp", x), call.step("Exp", call.step("Neg", x)))
    return call.result("Mul", [grown, call.scalar(0.5)])


def _asinh(call: Call) -> Value:
    """sign(x) log(|x| + √(x² + 1))."""
    x = call.whole(0)
    size = call.step("Log", call.step("Add", call.step("Abs", x), _root(call, x, 1.0)))
    return call.result("Mul", [call.step("Sign", x), size])


def _acosh(call: Call) -> Value:
    """log(x + √(x² − 1))."""
    x = call.whole(0)
    return call.result("Log", [call.step("Add", x, _root(call, x, -1.0))])


def _atanh(call: Call) -> Value:
    """log((1 + x) / (1 − x)) / 2."""
    x, one = call.whole(0), call.scalar(1.0)
    above, below = call.step("Add", x, one), call.step("Sub", one, x)
    log = call.step("Log", call.step("Div", above, below))
    return call.result("Mul", [log, call.scalar(0.5)])


def _root(call: Call, x: Value, number: float) -> Value:
    """√(x² + number)."""
    return call.step("Sqrt", call.step("Add", call.step("Mul", x, x), call.scalar(number)))


HYPERBOLIC: dict[Any, Translation] = {
    aten.acosh.default: _in_float64("Acosh", _acosh),
    aten.asinh.default: _in_float64("Asinh", _asinh),
    aten.atanh.default: _in_float64("Atanh", _atanh),
    aten.cosh.default: _in_float64("Cosh", _cosh),
    aten.sinh.default: _in_float64("Sinh", _sinh),
}
