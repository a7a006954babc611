"""Laws of causal convolutions: what an output sees, and decoding that computes each unit once."""

import math
from dataclasses import replace
from itertools import combinations
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from models import zoo
from models.bijection import Bijection
from models.layers.autoregressive import causal as causal_module
from models.layers.autoregressive.causal import CausalAutoregressive
from models.networks import doubled_dilations
from models.networks.conditioner import Conditioner, set_precision
from models.numerics.univariate import Affine
from service.graphs import read_graph, row_bytes
from tests.helpers.layers import jacobian
from tests.laws.zoo_table import randomise
from training.export.graphs import draft

STEPS = 20
NET = Conditioner((6, 6, 6, 5), "tanh")


def causal(
    cycle: int = 10, reverse: bool = False, context: int = 0, net: Conditioner = NET
) -> CausalAutoregressive:
    torch.manual_seed(0)
    shape = (context,) if context else None
    dilations = doubled_dilations(len(net.hidden), cycle)
    layer = CausalAutoregressive((STEPS,), Affine(), net, dilations, reverse, shape)
    randomise(layer, 0.3)
    return layer.double().eval()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("cycle", "seen"), [(10, 16), (3, 9), (2, 7), (1, 5)])
def test_a_value_depends_on_all_that_its_dilations_reach_before_it_and_on_nothing_else(
    cycle: int, seen: int, reverse: bool
) -> None:
    derivatives = jacobian(causal(cycle, reverse), torch.randn(STEPS, dtype=torch.float64))
    time = torch.arange(STEPS)
    lag = (time[:, None] - time[None, :]) * (-1 if reverse else 1)
    assert torch.equal(derivatives != 0, (lag >= 0) & (lag <= seen))


@given(dilations=st.lists(st.integers(1, STEPS + 2), min_size=1, max_size=4))
@settings(max_examples=20)
def test_a_value_depends_on_what_sums_of_dilations_lead_to(dilations: list[int]) -> None:
    torch.manual_seed(0)
    net = Conditioner((6,) * len(dilations), "tanh")
    layer = CausalAutoregressive((STEPS,), Affine(), net, dilations)
    randomise(layer, 0.3)
    derivatives = jacobian(layer.double().eval(), torch.randn(STEPS, dtype=torch.float64))
    sums = {sum(some) for n in range(len(dilations) + 1) for some in combinations(dilations, n)}
    time = torch.arange(STEPS)
    lag = time[:, None] - time[None, :]
    reached = torch.tensor([0, *(1 + each for each in sums)])
    assert torch.equal(derivatives != 0, torch.isin(lag, reached))


@pytest.fixture(params=[3, 5, 8, 64])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Steps between moves of long queues: a part of the way, or all of it."""
    monkeypatch.setattr(causal_module, "BLOCK_STEPS", request.param)
    return int(request.param)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("cycle", [2, 10])
@pytest.mark.parametrize("reverse", [False, True])
def test_decode_is_ancestral_sampling(cycle: int, reverse: bool) -> None:
    layer = causal(cycle, reverse, context=2, net=replace(NET, positional_bias=True))
    z, context = (torch.randn(7, n, dtype=torch.float64) for n in (STEPS, 2))
    x = torch.full_like(z, 1e3)  # what is not drawn yet must not matter
    in_time = z.flip(1) if reverse else z
    for t in range(STEPS):
        theta = layer.network.sequence(x, context)
        x[:, t] = layer.univariate.decode(in_time, theta)[0][:, t]
    decoded, _ = layer.decode(z, context)
    assert (decoded - (x.flip(1) if reverse else x)).abs().max() <= 1e-12


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 19, 20])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("batch", [1, 7])
def test_encoding_in_chunks_of_time_is_encoding_at_once(
    steps: int, reverse: bool, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = causal(10, reverse, context=2, net=replace(NET, positional_bias=True))
    monkeypatch.setattr(causal_module, "CHUNK_UNITS", steps * max(NET.hidden))
    x, context = (torch.randn(batch, n, dtype=torch.float64) for n in (STEPS, 2))
    x.requires_grad_()
    expected, slopes = layer.univariate.encode(x, layer.theta(x, context))
    found, log_det = layer.encode(x, context)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(log_det, slopes.sum(1), rtol=0, atol=1e-12)
    upstream = torch.randn_like(x)
    both = [torch.autograd.grad(z, x, upstream)[0] for z in (found, expected)]
    torch.testing.assert_close(*both, rtol=0, atol=1e-12)


def test_training_encodes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = causal()
    x = torch.randn(3, STEPS, dtype=torch.float64)
    in_chunks, _ = layer.encode(x)
    monkeypatch.setattr(causal_module, "ChunkedEncoding", None)
    torch.testing.assert_close(layer.train().encode(x)[0], in_chunks, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("steps", [4, 9])
def test_exported_encode_in_chunks_agrees(
    steps: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    options = {"hidden": (8, 8, 8), "transforms": 2, "positional_bias": True}
    flow = zoo.build("wavenet", (9,), context_shape=(2,), options=options).to(dtype).eval()
    randomise(flow, 0.15)
    monkeypatch.setattr(causal_module, "CHUNK_UNITS", steps * 8)
    content = draft(flow, "x", "z").finish(None)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for batch in (1, 5):
        x, context = torch.randn(batch, 9), torch.randn(batch, 2)
        with torch.no_grad():
            expected = flow.double().encode(x.double(), context.double())
        feed = {"x": x.numpy(), "context": context.numpy()}
        for got, value in zip(session.run(None, feed), expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(got).double(), value, rtol=0, atol=1e-5)


def test_memory_of_an_exported_encode_does_not_grow_with_time() -> None:
    def of(length: int) -> int:
        options = {"hidden": (128,) * 3, "transforms": 1}
        content = draft(zoo.build("wavenet", (length,), options=options), "x", "z").finish(None)
        return row_bytes(read_graph(content))

    chunk = causal_module.CHUNK_UNITS // 128
    assert of(8 * chunk) < 1.2 * of(2 * chunk)


def multiplications(layer: Bijection, encode: bool, values: Tensor, context: Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        (layer.encode if encode else layer.decode)(values, context)
    return int(counter.get_total_flops()) // 2


@pytest.mark.usefixtures("block")
def test_decode_computes_each_hidden_unit_once() -> None:
    layer, rows = causal(context=2), 3
    values, context = (torch.randn(rows, n, dtype=torch.float64) for n in (STEPS, 2))
    channels = (1, *NET.hidden)
    a_step = sum(2 * a * b for a, b in zip(channels, NET.hidden, strict=False))
    a_step += NET.hidden[-1] * layer.univariate.size
    one_pass = rows * (STEPS * a_step + 2 * sum(NET.hidden))
    assert multiplications(layer, True, values, context) == one_pass
    assert multiplications(layer, False, values, context) == one_pass


@pytest.mark.parametrize("encode", [False, True])
def test_dropout_is_one_function_in_both_directions(encode: bool) -> None:
    layer = causal(net=Conditioner(NET.hidden, "tanh", dropout=0.5)).train()
    go = layer.encode if encode else layer.decode
    values = torch.randn(1, STEPS, dtype=torch.float64)

    def seeded(values: Tensor) -> tuple[Tensor, Tensor]:
        torch.manual_seed(1)
        return go(values)

    found = torch.autograd.functional.jacobian(lambda v: seeded(v)[0][0], values)
    assert isinstance(found, Tensor)
    expected = torch.linalg.slogdet(found[:, 0]).logabsdet
    torch.testing.assert_close(seeded(values)[1][0], expected, rtol=0, atol=1e-12)
    assert not torch.equal(go(values)[0], layer.eval().encode(values)[0])


# blocks that divide the 9 steps, leave some over, and are longer; each export takes seconds
@pytest.mark.parametrize(
    ("univariate", "layers", "block"),
    [
        pytest.param("affine", 2, 3, marks=pytest.mark.long),
        pytest.param("affine", 1, 5, marks=pytest.mark.long),
        pytest.param("affine", 2, 64, marks=pytest.mark.long),
        pytest.param("logistic-mixture", 1, 5, marks=pytest.mark.long),
    ],
    indirect=["block"],
)
def test_exported_decode_is_one_scan_a_layer_and_agrees(
    univariate: str, layers: int, block: int
) -> None:
    torch.manual_seed(0)
    options = {"hidden": (8, 8, 8), "univariate": univariate, "transforms": layers}
    flow = zoo.build("wavenet", (9,), options=options).eval()
    randomise(flow, 0.15)
    content = draft(flow, "z", "x").finish(None)
    operators = [node.op_type for node in onnx.load_from_string(content).graph.node]
    # all blocks are one, within which each is one, and what is left over is one
    assert operators.count("Scan") == layers * ((block <= 9) + (9 % block > 0))
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for batch in (1, 5):
        z = torch.randn(batch, 9)
        with torch.no_grad():
            expected = flow.double().decode(z.double())
        for got, value in zip(session.run(None, {"z": z.numpy()}), expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(got).double(), value, rtol=0, atol=1e-4)


def test_parallel_wavenet_is_wavenet_with_the_directions_swapped() -> None:
    bijections = [zoo.build(name, (4,)).bijection for name in ("wavenet", "parallel-wavenet")]
    costs = [(one.encode_cost, one.decode_cost) for one in bijections]
    assert costs == [("parallel", "sequential"), ("sequential", "parallel")]


def test_time_runs_backwards_in_every_other_layer_unless_told_otherwise() -> None:
    for alternate in (True, False):
        flow = zoo.build("wavenet", (4,), options={"transforms": 3, "alternate": alternate})
        layers = [part for part in flow.modules() if isinstance(part, CausalAutoregressive)]
        assert [layer.reverse for layer in layers] == [False, alternate, False]


def test_units_that_are_cut_off_bound_a_walk_that_reads_itself() -> None:
    z = torch.zeros(1, STEPS, dtype=torch.float64)
    z[0, 0] = 1000

    def later(activation: str) -> tuple[float, float]:
        """The largest value after the first, and the largest that bounded units could make."""
        layer = causal(net=Conditioner((8, 8, 8), activation))
        randomise(layer, 1.0)
        x = layer.double().decode(z)[0].detach()
        weight, bias = (values[0].detach() for values in layer.network.last.parameters())
        shift = 3 * 8 * weight.abs().sum() + bias.abs()  # each of three layers adds at most 8
        return float(x[0, 1:].abs().max()), float(math.exp(4) * shift)

    found, bound = later("silu8")
    assert found <= bound
    found, bound = later("silu")
    assert found > 1000 * bound


def test_hidden_layers_compute_in_the_precision_of_training_whatever_moves_them() -> None:
    net = replace(NET, hidden=(6, 6, 6), positional_bias=True)
    layer = causal(context=2, net=net).float().train()
    set_precision(layer, torch.bfloat16)
    seen = []
    for hidden in layer.network.hidden[1:]:
        hidden.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].dtype))
    theta = layer.theta(torch.randn(3, STEPS), torch.randn(3, 2))
    assert seen == [torch.bfloat16] * 2
    assert theta.dtype == torch.float32


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((2, 3), {"hidden": (8,)}, r"T values in time, got \(2, 3\)"),
        ((5,), {"hidden": ()}, "at least one"),
        ((5,), {"hidden": (8,), "cycle": 0}, "cycle is at least 1, got 0"),
        ((5,), {"hidden": (8,), "dilations": (1, 2)}, "dilations as hidden layers, 1, .* got 2"),
        ((5,), {"hidden": (8, 8), "dilations": (3, 0)}, "at least 1, got 0"),
    ],
)
def test_what_is_no_sequence_or_reads_nothing_is_refused(
    shape: tuple[int, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        zoo.build("wavenet", shape, options=options)
