"""Recorded operators: graphs equal to their functions at any length, and what is refused."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.networks import Conditioner
from models.networks.conditioner import ACTIVATIONS
from models.numerics import (
    Additive,
    Affine,
    GaussianMixture,
    LogisticMixture,
    RationalQuadratic,
    Tensors,
    UnivariateMap,
    fixed_point,
    scan_loop,
)
from training.export.recorded import Axes, RecordingError, onnx_model, recorded

BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
MAPS = [
    Additive(),
    Affine(),
    RationalQuadratic(8),
    RationalQuadratic(5, 3.0, "linear"),
    LogisticMixture(8),
    LogisticMixture(3, normal=True),
    GaussianMixture(4),
]


def run(graph: onnx.GraphProto, *inputs: Tensor) -> list[Any]:
    session = onnxruntime.InferenceSession(
        onnx_model(graph).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feed = {i.name: v.numpy() for i, v in zip(graph.input, inputs, strict=True)}
    answers: list[Any] = session.run(None, feed)
    return answers


def assert_equal(
    call: Callable[..., Any], shapes: Mapping[str, Axes], *inputs: Tensor
) -> onnx.GraphProto:
    """Record a function and compare its graph with it; returns the graph."""
    with torch.no_grad():
        expected = call(*inputs)
    several = expected if isinstance(expected, tuple) else (expected,)
    names = [f"out{i}" for i in range(len(several))]
    graph = recorded(call, shapes, names, inputs[0].dtype)
    eps = torch.finfo(inputs[0].dtype).eps
    for found, wanted in zip(run(graph, *inputs), several, strict=True):
        assert found.dtype == wanted.numpy().dtype
        scale = max(1.0, float(wanted.double().nan_to_num(0, 0, 0).abs().max()))
        np.testing.assert_allclose(found, wanted.numpy(), rtol=0, atol=256 * eps * scale)
    return graph


@BOTH
@pytest.mark.parametrize("rows", [1, 40])
@pytest.mark.parametrize("univariate", MAPS, ids=lambda m: f"{type(m).__name__} {m.size}")
def test_univariate_maps_are_decoded_as_in_torch(
    univariate: UnivariateMap, rows: int, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(0)
    z = 2 * torch.randn(rows, generator=generator, dtype=dtype)
    theta = torch.randn(rows, univariate.size, generator=generator, dtype=dtype)
    shapes: dict[str, Axes] = {"z": ("points",), "theta": ("points", univariate.size)}
    assert_equal(univariate.decode, shapes, z, theta)


@BOTH
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_hidden_units_are_those_of_torch(activation: str, dtype: torch.dtype) -> None:
    x = torch.linspace(-9, 9, 60, dtype=dtype).view(4, 15)
    conditioner = Conditioner((8, 8), activation, residual=True)
    shapes: dict[str, Axes] = {"x": ("batch", "units"), "before": ("batch", "units")}
    assert_equal(lambda x, before: conditioner.hidden_units(x, before), shapes, x, x.flip(0))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "shapes": lambda x: (
        x.view(-1, 2, 2).transpose(1, 2).flatten(1),
        x.unsqueeze(1).expand(-1, 3, -1),
    ),
    "lengths": lambda x: x + torch.arange(len(x), dtype=x.dtype)[:, None],
    "padded": lambda x: F.pad(x, (1, 2), value=-math.inf),
    "choices": lambda x: torch.where(x > 0, x, math.nan),
    "ends": lambda x: torch.cat(
        [torch.zeros_like(x), torch.full_like(x, 2.0), x.new_ones(len(x), 1)], 1
    ),
    "no columns": lambda x: torch.cat([x.new_zeros(len(x), 0), x], 1),
    "outputs twice": lambda x: (x, 2 * x, 2 * x, torch.ones(3, dtype=x.dtype)),
    "equal constants": lambda x: torch.zeros_like(x) + torch.arange(4, dtype=x.dtype),
    "constants": lambda x: x * torch.linspace(0, 1, 4, dtype=x.dtype) - torch.ones_like(x),
}


@BOTH
@pytest.mark.parametrize("rows", [1, 6])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_those_of_torch_at_any_length(
    name: str, rows: int, dtype: torch.dtype
) -> None:
    x = torch.linspace(-2, 3, 4 * rows, dtype=dtype).view(rows, 4)
    call = FUNCTIONS[name]
    assert_equal(call, {"x": ("batch", 4)}, x)


@pytest.mark.parametrize("rows", [1, 6])
def test_the_digits_of_small_numbers_are_kept_in_float64(rows: int) -> None:
    x = torch.linspace(-2, 3, 4 * rows, dtype=torch.float64).view(rows, 4)
    assert_equal(lambda x: torch.expm1(x * 1e-12) * 1e12, {"x": ("batch", 4)}, x)


def test_a_loop_computes_once_what_no_step_changes() -> None:
    def half_way(x: Tensor) -> Tensor:
        return fixed_point(lambda s: 0.5 * s + torch.exp(torch.sin(x)), x, 1e-12, 100)

    x = torch.linspace(-2, 3, 5, dtype=torch.float64)
    graph = assert_equal(half_way, {"x": ("points",)}, x)
    (loop,) = [node for node in graph.node if node.op_type == "Loop"]
    inside = [node.op_type for node in loop.attribute[0].g.node]
    assert "Exp" not in inside
    assert inside.count("Mul") <= 2


@BOTH
@pytest.mark.parametrize("rows", [1, 6])
def test_a_scan_is_one_node_with_other_loops_inside(rows: int, dtype: torch.dtype) -> None:
    shares = torch.linspace(0.1, 0.9, 5, dtype=dtype)

    def blend(x: Tensor) -> tuple[Tensor, ...]:
        def step(states: Tensors, row: Tensors) -> tuple[Tensors, Tensors]:
            (total, _), (share, column) = states, row
            root = fixed_point(lambda s: 0.5 * torch.cos(s) + share * column, column, 0.0, 80)
            return [total + root[:, None] * torch.exp(x[:, :1]), column], [root]

        rows = [shares, x.T.repeat(2, 1)[:5]]
        (total, last), (roots,) = scan_loop(step, [torch.zeros_like(x), x[:, 0]], rows)
        return total, last, roots.T

    x = torch.linspace(-2, 3, 4 * rows, dtype=dtype).view(rows, 4)
    graph = assert_equal(blend, {"x": ("batch", 4)}, x)
    (scan,) = [node for node in graph.node if node.op_type == "Scan"]
    (body,) = [a.g for a in scan.attribute if a.HasField("g")]
    inside = [node.op_type for node in body.node]
    assert inside.count("Loop") == 1
    assert "Exp" not in inside  # no step changes it


@BOTH
@pytest.mark.parametrize("length", [0, 1])
@pytest.mark.parametrize("rows", [1, 6])
def test_loops_whose_states_grow_are_those_of_torch(
    rows: int, length: int, dtype: torch.dtype
) -> None:
    def sums(x: Tensor) -> tuple[Tensor, ...]:
        """Of runs of three columns, each column with the softmax of all before it."""

        def run(states: Tensors, row: Tensors) -> tuple[Tensors, Tensors]:
            long, total = states

            def step(states: Tensors, row: Tensors) -> tuple[Tensors, Tensors]:
                short, total = states
                longer = torch.cat([short, row[0][:, None]], 1)
                shares = torch.cat([long, longer], 1).softmax(1)
                count = long.shape[1]
                earlier = (shares[:, :count] * long).sum(1)
                read = earlier + (shares[:, count:] * longer).sum(1)
                return [longer, total + read], [read]

            none = x.new_zeros(len(x), 0)
            (short, total), outputs = scan_loop(step, [none, total], row, {0: 1})
            return [torch.cat([long, short], 1), total], outputs

        states = [x[:, :length], x[:, 0]]
        columns = x.T.reshape(4, 3, len(x))
        (long, total), (read,) = scan_loop(run, states, [columns], {0: 1})
        return long, total, read.flatten(0, 1).T

    x = torch.linspace(-2, 3, 12 * rows, dtype=dtype).view(rows, 12)
    graph = assert_equal(sums, {"x": ("batch", 12)}, x)
    assert [node.op_type for node in graph.node].count("Loop") == 1
    shapes = {
        value.name: [side.dim_value for side in value.type.tensor_type.shape.dim[1:]]
        for value in (*graph.value_info, *graph.output)
    }
    (loop,) = [node for node in graph.node if node.op_type == "Loop"]
    assert [12 + length] in [shapes[name] for name in loop.output if name in shapes]


def test_what_grows_in_a_loop_is_read_by_no_other_shape() -> None:
    def call(x: Tensor) -> Tensor:
        def step(states: Tensors, row: Tensors) -> tuple[Tensors, Tensors]:
            longer = torch.cat([states[0], row[0][:, None]], 1)
            return [longer], [x.new_ones(longer.shape).sum(1)]

        return scan_loop(step, [x[:, :0]], [x.T], {0: 1})[1][0]

    with pytest.raises(RecordingError, match="length of no state"):
        recorded(call, {"x": ("batch", 4)}, ("y",), torch.float32)


def test_states_grow_in_two_loops_within_each_other_and_in_no_more() -> None:
    def nested(depth: int, x: Tensor) -> Tensor:
        def step(states: Tensors, row: Tensors) -> tuple[Tensors, Tensors]:
            new = nested(depth - 1, x) if depth else row[0]
            return [torch.cat([states[0], new[:, None]], 1)], []

        return scan_loop(step, [x[:, :0]], [x.T], {0: 1})[0][0].sum(1)

    recorded(lambda x: nested(1, x), {"x": ("batch", 4)}, ("y",), torch.float32)
    with pytest.raises(RecordingError, match="at most 2 loops"):
        recorded(lambda x: nested(2, x), {"x": ("batch", 4)}, ("y",), torch.float32)


def test_a_scan_copies_no_state_that_a_step_has_made() -> None:
    def total(x: Tensor) -> tuple[Tensor, Tensor]:
        def step(states: Tensors, row: Tensors) -> tuple[Tensors, Tensors]:
            return [states[0] + row[0], row[0]], []

        (first, second), _ = scan_loop(step, [torch.zeros_like(x[0])] * 2, [x])
        return first, second

    def columns(x: Tensor) -> tuple[Tensor, Tensor]:
        return total(x.T)

    graph = assert_equal(columns, {"x": ("batch", 4)}, torch.linspace(-2, 3, 8).view(2, 4))
    (scan,) = [node for node in graph.node if node.op_type == "Scan"]
    (body,) = [a.g for a in scan.attribute if a.HasField("g")]
    assert [node.op_type for node in body.node] == ["Add", "Identity"]  # of what it was given


def test_a_scan_whose_steps_give_nothing_has_its_last_state() -> None:
    def product(x: Tensor) -> Tensor:
        factors = torch.linspace(0.5, 2, 3)
        return scan_loop(lambda now, row: ([now[0] * row[0]], []), [x], [factors])[0][0]

    assert_equal(product, {"x": ("batch", 4)}, torch.linspace(-2, 3, 8).view(2, 4))


def test_weights_are_stored_once_by_their_names() -> None:
    layer = torch.nn.Linear(4, 4).requires_grad_(False)
    names = dict(layer.named_parameters())
    graph = recorded(lambda x: layer(layer(x)), {"x": ("batch", 4)}, ("y",), torch.float32, names)
    assert {tensor.name for tensor in graph.initializer} == {"weight", "bias"}
    x = torch.linspace(-2, 3, 8).view(2, 4)
    np.testing.assert_allclose(run(graph, x)[0], layer(layer(x)).numpy(), rtol=1e-5, atol=1e-6)


def test_equal_nodes_are_written_once_and_others_only_if_read() -> None:
    def twice(x: Tensor) -> Tensor:
        _ = torch.sin(x)
        return torch.exp(x) + torch.exp(x)

    graph = assert_equal(twice, {"x": ("points",)}, torch.ones(3))
    assert [node.op_type for node in graph.node] == ["Exp", "Add"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (torch.erfinv, "no translation"),
        (lambda x: x + len(x), "depends on lengths"),
        (lambda x: torch.cat([x, x[:1]]), "products"),
        (lambda x: x if len(x) < 6 else x + 1, "other steps"),
        (lambda x: x if x.sum() > 0 else -x, "reads the elements"),
        (lambda x: x.clone().add_(1), "in place"),
    ],
)
def test_what_cannot_be_recorded_is_refused(call: Callable[..., Any], words: str) -> None:
    with pytest.raises(RecordingError, match=words):
        recorded(call, {"x": ("batch", 3)}, ("y",), torch.float64)
