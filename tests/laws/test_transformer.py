"""Laws of causal transformers: what an output sees, and decoding with cached keys and values."""

from collections.abc import Sequence

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from models import zoo
from models.layers.autoregressive import cached_decoding
from models.layers.autoregressive.transformer import TransformerAutoregressive
from models.networks import transformer as network_module
from models.networks.conditioner import Conditioner
from models.numerics.univariate import Affine
from tests.helpers.layers import jacobian
from tests.laws.zoo_table import randomise
from training.export.graphs import draft

D, NET = 12, Conditioner((8, 8), "tanh")


def layer(
    values: int = 2,
    order: Sequence[int] = range(D),
    context: int = 0,
    net: Conditioner = NET,
    inner: Sequence[int] = (),
) -> TransformerAutoregressive:
    torch.manual_seed(0)
    within = Conditioner(tuple(inner), "tanh")
    shape = (context,) if context else None
    made = TransformerAutoregressive((D,), Affine(), order, values, net, 2, within, shape)
    randomise(made, 0.3)
    return made.double().eval()


@pytest.mark.parametrize("inner", [(), (24,)])
@pytest.mark.parametrize("values", [1, 3, 12])
def test_a_value_depends_on_all_values_before_it_in_the_order_and_on_nothing_else(
    values: int, inner: Sequence[int]
) -> None:
    order = torch.randperm(D, generator=torch.Generator().manual_seed(1))
    one = layer(values, order.tolist(), inner=inner)
    derivatives = jacobian(one, torch.randn(D, dtype=torch.float64))
    place = order.argsort()
    assert torch.equal(derivatives != 0, place[:, None] >= place[None, :])


@pytest.fixture(params=[2, 4, 5, 64])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Tokens of a run: a part of the way, or all of it."""
    monkeypatch.setattr(cached_decoding, "run_length", lambda tokens: min(request.param, tokens))
    return int(request.param)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("values", [1, 2])
def test_decode_is_ancestral_sampling(values: int, context: int) -> None:
    one = layer(values, range(D)[::-1], context, inner=(9,))
    z = torch.randn(7, D, dtype=torch.float64)
    given = torch.randn(7, context, dtype=torch.float64) if context else None
    x = torch.full_like(z, 1e3)  # what is not drawn yet must not matter
    for place in one.order.tolist():
        x[:, place] = one.univariate.decode(z, one.theta(x, given))[0][:, place]
    torch.testing.assert_close(one.decode(z, given)[0], x, rtol=0, atol=1e-10)


def test_decode_costs_the_products_of_one_pass_beside_those_of_attention() -> None:
    one, rows = layer(1), torch.randn(3, D, dtype=torch.float64)
    counts = []
    for go in (one.encode, one.decode):
        with FlopCounterMode(display=False) as counter:
            go(rows)
        flops = counter.get_flop_counts()["Global"]
        counts.append(flops[torch.ops.aten.mm] + flops.get(torch.ops.aten.addmm, 0))
    # of a token of one value, encoding multiplies that value by weights that are masked
    masked = 2 * rows.numel() * one.univariate.size
    assert counts[0] - masked == counts[1]


def test_attention_in_a_narrow_type_is_the_fused_one_with_its_gradients() -> None:
    torch.manual_seed(0)
    tokens = network_module.QUERIES + 5
    wide = torch.randn(3, 2, 2, tokens, 8)
    wide[0] /= 8**0.5  # queries are scaled before they attend
    wide.requires_grad_()
    narrow = wide.detach().bfloat16().requires_grad_()
    weights = torch.randn(2, 2, tokens, 8)
    results = [network_module.causal_attention(*values) for values in (wide, narrow)]
    gradients = [
        torch.autograd.grad((result * weights).sum(), values)[0]
        for result, values in zip(results, (wide, narrow), strict=True)
    ]
    assert results[1].dtype == torch.bfloat16
    for exact, rounded in (results, gradients):
        torch.testing.assert_close(rounded.float(), exact, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("direction", ["encode", "decode"])
def test_dropout_is_one_function_in_both_directions(direction: str) -> None:
    one = layer(net=Conditioner((8, 8), "tanh", dropout=0.5)).train()
    go, values = getattr(one, direction), torch.randn(1, D, dtype=torch.float64)

    def seeded(values: Tensor) -> tuple[Tensor, Tensor]:
        torch.manual_seed(1)
        found: tuple[Tensor, Tensor] = go(values)
        return found

    matrix = torch.autograd.functional.jacobian(lambda v: seeded(v)[0][0], values)
    assert isinstance(matrix, Tensor)
    expected = torch.linalg.slogdet(matrix[:, 0]).logabsdet
    torch.testing.assert_close(seeded(values)[1][0], expected, rtol=0, atol=1e-12)
    assert not torch.equal(go(values)[0], getattr(one.eval(), direction)(values)[0])


# runs that divide the 9 tokens, leave some over, and are longer
@pytest.mark.long
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("queries", [4, 128])
@pytest.mark.parametrize(("context", "block"), [(0, 3), (2, 4), (2, 64)], indirect=["block"])
def test_exported_graphs_agree_and_decode_is_one_loop_a_layer(
    context: int, block: int, queries: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_module, "QUERIES", queries)
    torch.manual_seed(0)
    options = {"hidden": (8, 8), "heads": 2, "transforms": 2, "patch": 2}
    shape = (context,) if context else None
    flow = zoo.build("transformer", (18,), context_shape=shape, options=options).eval()
    randomise(flow, 0.15)
    flow = flow.to(dtype)
    for source, target in (("x", "z"), ("z", "x")):
        content = draft(flow, source, target).finish(None)
        operators = [node.op_type for node in onnx.load_from_string(content).graph.node]
        loops = 2 * (1 + (block < 9)) if source == "z" else 0
        assert operators.count("Loop") == loops
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        for batch in (1, 5):
            feed = {source: torch.randn(batch, 18)}
            if context:
                feed["context"] = torch.randn(batch, context)
            go = flow.encode if source == "x" else flow.decode
            with torch.no_grad():
                expected = go(*(value.to(dtype) for value in feed.values()))
            got = session.run(None, {name: value.numpy() for name, value in feed.items()})
            for found, value in zip(got, expected, strict=True):
                torch.testing.assert_close(
                    torch.from_numpy(found), value.float(), rtol=1e-5, atol=1e-4
                )


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((5,), {"patch": 2}, "patch divides the 5 values of a row, got 2"),
        ((1, 4, 6), {"patch": 4}, "patch divides both sides of 4 × 6, got 4"),
        ((4,), {"patch": 0}, "patch is at least 1, got 0"),
        ((4,), {"patch_hidden": (0,)}, "patch_hidden: hidden widths are at least 1"),
        ((4,), {"hidden": ()}, "at least one block"),
        ((4,), {"hidden": (8, 16)}, "equal widths"),
        ((4,), {"heads": 3}, "heads divide the width of a block, 64, got 3"),
        ((4,), {"heads": 0}, "heads divide"),
        ((4,), {"residual": True}, "always residual"),
    ],
)
def test_what_makes_no_transformer_is_refused(
    shape: tuple[int, ...], options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        zoo.build("transformer", shape, options=options)


def test_patches_are_squares_in_raster_order_with_all_their_channels() -> None:
    flow = zoo.build("transformer", (2, 2, 4), options={"patch": 2, "transforms": 2})
    layers = [part for part in flow.modules() if isinstance(part, TransformerAutoregressive)]
    first = [0, 8, 1, 9, 4, 12, 5, 13]
    order = first + [i + 2 for i in first]
    assert [one.order.tolist() for one in layers] == [order, order[::-1]]
    assert [(one.tokens, one.values) for one in layers] == [(2, 8)] * 2
