"""Every operator of torch that has a translation, beside torch: 1 row and 40, both number types."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from training.export.recorded import onnx_model, recorded
from training.export.recorded.operators import TRANSLATIONS
from training.export.recorded.recorder import UNIFORM

aten = torch.ops.aten

Call = Callable[[Any, Tensor], Any]

UNARY: Call = lambda op, x: op(x)  # noqa: E731
POSITIVE: Call = lambda op, x: op(x.abs() + 0.1)  # noqa: E731
BINARY: Call = lambda op, x: (op(x, x.flip(1)), op(x, _like(x, 4)))  # noqa: E731
SCALAR: Call = lambda op, x: op(x, 0.25)  # noqa: E731
LOGICAL: Call = lambda op, x: op(x > 0, x < 1)  # noqa: E731
TURNED: Call = lambda op, x: op(x.view(-1, 2, 2), 1, 2)  # noqa: E731
TRIANGLE: Call = lambda op, x: (op(x.view(-1, 2, 2)), op(x.view(-1, 2, 2), -1))  # noqa: E731


def _like(x: Tensor, *shape: int) -> Tensor:
    """Fixed numbers of a shape and of x's number type."""
    return torch.linspace(-1, 2, torch.Size(shape).numel(), dtype=x.dtype).view(shape)


def _images(x: Tensor) -> Tensor:
    """Rows as images of 2 × 2 pixels."""
    return x.view(-1, 1, 2, 2)


# By operator, a function that runs it on x, batch × 4.
CALLS: dict[Any, Call] = {
    aten._log_softmax.default: lambda op, x: op(x, 1, False),
    aten._softmax.default: lambda op, x: op(x, -1, False),
    aten._to_copy.default: lambda op, x: op(x, dtype=torch.float64),
    aten._unsafe_view.default: lambda op, x: op(x, [len(x), 2, 2]),
    aten.abs.default: UNARY,
    aten.acosh.default: lambda op, x: op(x.abs() + 1.5),
    aten.add.Tensor: BINARY,
    aten.addmm.default: lambda op, x: op(_like(x, 3), x, _like(x, 4, 3)),
    aten.alias.default: UNARY,
    aten.all.dim: lambda op, x: op(x > -1, 1),
    aten.amax.default: lambda op, x: (op(x, [1]), op(x, [-1], True)),
    aten.amin.default: lambda op, x: op(x, [1]),
    aten.any.default: lambda op, x: op(x > 2),
    aten.any.dim: lambda op, x: op(x > 2, 1),
    aten.arange.default: lambda op, x: op(len(x)) + x[:, 0],
    aten.asinh.default: UNARY,
    aten.atanh.default: lambda op, x: op((x / 2).clamp(-1, 1)),
    aten.bitwise_and.Tensor: LOGICAL,
    aten.bitwise_not.default: lambda op, x: op(x > 0),
    aten.bitwise_or.Tensor: LOGICAL,
    aten.bmm.default: lambda op, x: op(x.view(-1, 2, 2), x.view(-1, 2, 2)),
    aten.ceil.default: UNARY,
    aten.cat.default: lambda op, x: op([x, x.new_zeros(len(x), 1), x], 1),
    aten.clamp.Tensor: lambda op, x: op(x, _like(x, 4), x.abs()),
    aten.clamp.default: lambda op, x: (op(x, -1, 1), op(x, None, 0.5), op(x, 0.5)),
    aten.clone.default: UNARY,
    aten.constant_pad_nd.default: lambda op, x: (op(x, [1, 2], 3.0), op(x, [2, 0, 0, 0])),
    aten.convolution.default: lambda op, x: op(
        _images(x), _like(x, 2, 1, 3, 3), _like(x, 2), [1, 1], [1, 1], [1, 1], False, [0, 0], 1
    ),
    aten.cos.default: UNARY,
    aten.cosh.default: UNARY,
    aten.cumsum.default: lambda op, x: op(x, -1),
    aten.detach.default: UNARY,
    aten.div.Tensor: lambda op, x: (op(x, x.abs() + 1), op(1.0 + _like(x, 4).abs(), x + 9)),
    aten.embedding.default: lambda op, x: op(_like(x, 2, 3), (x > 0).long()),
    aten.exp.default: UNARY,
    aten.expand.default: lambda op, x: (op(x[:, None], [-1, 3, -1]), op(_like(x, 1, 4), x.shape)),
    aten.expm1.default: UNARY,
    aten.flip.default: lambda op, x: (op(x, [1]), op(x.view(-1, 2, 2), [1, 2])),
    aten.floor.default: UNARY,
    aten.gather.default: lambda op, x: op(x, 1, (x > 0).long()),
    aten.gelu.default: UNARY,
    aten.hardtanh.default: lambda op, x: (op(x), op(x, 0.25), op(x, -1, 8)),
    aten.index.Tensor: lambda op, x: (
        op(x, [None, torch.tensor([3, 0, 1])]),
        op(x, [None, torch.tensor([1, 3])]),
        op(x, [None, torch.tensor([2, 1, 0])]),
        op(x, [None, torch.arange(4)]),
        op(x, [None, torch.tensor([2])]),
        op(x.view(-1, 2, 2), [None, None, torch.tensor([1, 1, 0])]),
        op(_like(x, 4, 20), [(x[:, 0] > 0).long()]),
    ),
    aten.index_select.default: lambda op, x: op(x, 1, torch.tensor([2, 0, 1])),
    aten.isinf.default: lambda op, x: op(1 / x.round()),
    aten.isnan.default: lambda op, x: op(x.sqrt()),
    aten.lerp.Scalar: lambda op, x: op(x, x.flip(1), 0.25),
    aten.linalg_vector_norm.default: lambda op, x: (op(x, 2, [1]), op(x, 2, [-1], True)),
    aten.log.default: POSITIVE,
    aten.log1p.default: POSITIVE,
    aten.logsumexp.default: lambda op, x: op(x, [1]),
    # `aten.matmul` itself runs as other operators
    aten.matmul.default: lambda _, x: (_like(x, 2, 2) @ x.view(-1, 2, 2), x @ _like(x, 4, 3)),
    aten.maximum.default: BINARY,
    aten.mean.dim: lambda op, x: (op(x, [1]), op(x, [-1], True)),
    aten.minimum.default: BINARY,
    aten.mm.default: lambda op, x: op(x, _like(x, 4, 3)),
    aten.mul.Tensor: BINARY,
    aten.native_layer_norm.default: lambda op, x: (
        *op(x, [4], _like(x, 4), _like(x, 4) - 1, 1e-3),
        *op(x.view(-1, 2, 2), [2, 2], _like(x, 2, 2), _like(x, 2, 2), 1e-5),
    ),
    aten.neg.default: UNARY,
    aten.permute.default: lambda op, x: op(x.view(-1, 2, 2), [1, 0, 2]),
    aten.pow.Tensor_Scalar: lambda op, x: (op(x, 2), op(x, 3), op(x.abs() + 0.1, -0.5)),
    aten.rsqrt.default: POSITIVE,
    aten.tan.default: lambda op, x: op(x / 4),
    aten.reciprocal.default: POSITIVE,
    aten.relu.default: UNARY,
    aten.repeat.default: lambda op, x: (op(x, [1, 3]), op(x, [2, 1, 1])),
    aten.replication_pad1d.default: lambda op, x: op(x[:, None], [1, 2])[:, 0],
    aten.round.default: UNARY,
    aten.rsub.Scalar: SCALAR,
    aten.select.int: lambda op, x: (op(x, 1, 2), op(x.view(-1, 2, 2), -1, -1), op(x.T, 0, 1)),
    aten.sigmoid.default: UNARY,
    aten.sign.default: UNARY,
    aten.silu.default: UNARY,
    aten.sin.default: UNARY,
    aten.sinh.default: UNARY,
    aten.slice.Tensor: lambda op, x: (op(x, 1, 1, -1), op(x, 1, 0, 9, 2), op(x, 0, 0, len(x))),
    aten.split.Tensor: lambda op, x: op(x, 3, 1),
    aten.split_with_sizes.default: lambda op, x: op(x, [1, 2, 1], 1),
    aten.sqrt.default: POSITIVE,
    aten.stack.default: lambda op, x: (op([x, x], 1), op([x, x.new_ones(len(x), 4)])),
    aten.sub.Tensor: BINARY,
    aten.sum.default: UNARY,
    aten.sum.dim_IntList: lambda op, x: (op(x, [1]), op(x > 0, [1], True), op(x, None)),
    aten.t.default: UNARY,
    aten.tanh.default: UNARY,
    aten.topk.default: lambda op, x: (*op(x, 2), *op(x, 3, 1, False)),
    aten.transpose.int: TURNED,
    aten.tril.default: TRIANGLE,
    aten.triu.default: TRIANGLE,
    aten.unbind.int: lambda op, x: (*op(x, 1), *op(x.view(-1, 2, 2).permute(1, 0, 2))),
    aten.unsqueeze.default: lambda op, x: (op(x, 1), op(x, -1)),
    aten.view.default: lambda op, x: (op(x, [-1, 2, 2]), op(x, [len(x) * 2, 2]), op(x, [-1])),
    aten.where.self: lambda op, x: op(x > 0, x, _like(x, 4)),
    **{
        getattr(getattr(aten, name), kind): call
        for name in ("eq", "ge", "gt", "le", "lt")
        for kind, call in (("Tensor", BINARY), ("Scalar", SCALAR))
    },
    aten.full_like.default: lambda op, x: x * op(x, 2.0),
    aten.new_full.default: lambda op, x: x * op(x, [len(x), 1], 2.0),
    aten.new_ones.default: lambda op, x: x + op(x, [len(x), 4]),
    aten.new_zeros.default: lambda op, x: x + op(x, [len(x), 1]),
    aten.ones_like.default: lambda op, x: x + op(x),
    aten.zeros_like.default: UNARY,
}


def test_every_translation_has_a_line() -> None:
    assert set(CALLS) == {*TRANSLATIONS, *UNIFORM}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("operator", CALLS, ids=str)
def test_operators_are_those_of_torch_at_any_length(operator: Any, dtype: torch.dtype) -> None:
    if operator is aten.convolution.default and dtype == torch.float64:
        pytest.skip("onnxruntime has no convolution in float64: `models.numerics.convolve`")

    def call(x: Tensor) -> tuple[Tensor, ...]:
        answer = CALLS[operator](operator, x)
        return tuple(answer) if isinstance(answer, tuple | list) else (answer,)

    count = len(call(torch.ones(2, 4, dtype=dtype)))
    graph = recorded(call, {"x": ("batch", 4)}, [f"y{i}" for i in range(count)], dtype)
    content = onnx_model(graph).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for rows in (1, 40):
        x = torch.linspace(-2, 3, 4 * rows, dtype=dtype).view(rows, 4)
        for found, expected in zip(session.run(None, {"x": x.numpy()}), call(x), strict=True):
            tolerance = 32 * torch.finfo(dtype).eps
            assert found.dtype == expected.numpy().dtype
            np.testing.assert_allclose(found, expected.numpy(), rtol=tolerance, atol=tolerance)
