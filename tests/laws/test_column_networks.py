"""Networks over typed columns: what they read, and what decoding with a cache computes."""

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from models import zoo
from models.columns import (
    AttentionColumnNetwork,
    ColumnLayout,
    ColumnNetwork,
    MaskedColumnNetwork,
    TokenMaps,
)
from models.networks import Conditioner
from tests.laws.typed_tables import fitted
from tests.laws.zoo_table import randomise

ORDER, INPUTS, SIZES = (2, 0, 3, 1), (1, 3, 2, 3), (4, 2, 4, 5)
NETWORKS = ("masked", "attention")


def network(kind: str, context: int = 0, dropout: float = 0.0) -> ColumnNetwork:
    """A network over four columns that reads and computes different numbers of each."""
    torch.manual_seed(0)
    layout = ColumnLayout(ORDER, INPUTS, SIZES, context)
    shape = Conditioner((12, 12), "tanh", dropout)
    made = (
        MaskedColumnNetwork(layout, shape)
        if kind == "masked"
        else AttentionColumnNetwork(layout, shape, 3)
    )
    randomise(made, 0.3)
    return made.double().eval()


def given(rows: int, context: int) -> tuple[Tensor, Tensor | None]:
    """Features of all columns, and of a context."""
    inputs = torch.randn(rows, sum(INPUTS), dtype=torch.float64)
    return inputs, torch.randn(rows, context, dtype=torch.float64) if context else None


@pytest.mark.parametrize("kind", NETWORKS)
def test_parameters_depend_on_all_columns_before_and_on_no_other(kind: str) -> None:
    made, (inputs, context) = network(kind, 2), given(1, 2)
    derivatives = torch.autograd.functional.jacobian(lambda x: made(x, context)[0], inputs)
    assert isinstance(derivatives, Tensor)
    for column, of_column in enumerate(derivatives[:, 0].split(SIZES)):
        for other, of_other in enumerate(of_column.split(INPUTS, 1)):
            reads = ORDER.index(other) < ORDER.index(column)
            assert bool((of_other != 0).all() if reads else not of_other.any())


@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("kind", NETWORKS)
def test_column_by_column_the_parameters_are_those_of_a_pass(kind: str, context: int) -> None:
    made, (inputs, raw) = network(kind, context), given(7, context)
    found = dict[int, Tensor]()

    def solve(position: int, theta: Tensor) -> Tensor:
        found[position] = theta
        return torch.split(inputs, list(INPUTS), 1)[ORDER[position]]

    made.go_through(inputs[:, :0], raw, solve)
    theta = torch.cat([found[ORDER.index(column)] for column in range(len(ORDER))], 1)
    torch.testing.assert_close(theta, made(inputs, raw), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", NETWORKS)
def test_all_parameters_are_zero_where_the_last_maps_are(kind: str) -> None:
    made, (inputs, context) = network(kind, 2), given(3, 2)
    with torch.no_grad():
        assert bool(made(inputs, context).all())
        for parameter in made.last.parameters():
            parameter.zero_()
        assert not made(inputs, context).any()


def test_decoding_with_a_cache_costs_the_products_of_one_pass_beside_those_of_attention() -> None:
    made, (inputs, _) = network("attention").requires_grad_(False), given(5, 0)
    counts = []
    for decodes in (False, True):
        with FlopCounterMode(display=False) as counter:
            if decodes:
                made.go_through(
                    inputs[:, :0],
                    None,
                    lambda position, _: inputs.split(INPUTS, 1)[ORDER[position]],
                )
            else:
                made(inputs, None)
        counts.append(counter.get_flop_counts()["Global"])
    # maps of columns are among the products of attention in a pass, and by themselves in decoding
    of_columns = 2 * len(inputs) * 12 * (sum(INPUTS) - INPUTS[ORDER[-1]] + sum(SIZES))
    passed, stepped = (
        sum(flops.get(op, 0) for op in (torch.ops.aten.mm, torch.ops.aten.addmm))
        for flops in counts
    )
    assert passed + of_columns == stepped


@pytest.mark.parametrize(("inputs", "outputs"), [((2, 3, 2), (4, 4, 4)), ((3, 3), (1, 5))])
def test_each_token_has_a_map_of_its_own(inputs: tuple[int, ...], outputs: tuple[int, ...]) -> None:
    maps = TokenMaps(inputs, outputs, bias=True)
    randomise(maps, 0.3)
    x = torch.randn(6, sum(inputs))
    alone = [maps.of_token(token, part) for token, part in enumerate(x.split(inputs, 1))]
    assert [part.shape[1] for part in alone] == list(outputs)
    torch.testing.assert_close(maps(x), torch.cat(alone, 1))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"heads": 5}, "heads divide the width of a block, 64, got 5"),
        ({"heads": 0}, "heads divide the width"),
        ({"hidden": (64, 32)}, "blocks of a transformer are of equal widths"),
        ({"hidden": ()}, "a transformer has at least one block"),
        ({"residual": True}, "a transformer is always residual: leave `residual` out"),
        ({"patch": 2}, "tabular-transformer: .*patch"),
    ],
)
def test_options_that_make_no_transformer_are_refused(
    options: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        zoo.build_tabular(fitted("classes"), 10, family="tabular-transformer", options=options)
    with pytest.raises(ValueError, match="unknown family 'maf' of typed columns"):
        zoo.build_tabular(fitted("classes"), 10, family="maf")
