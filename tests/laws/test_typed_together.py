"""Densities over typed columns of all columns at once, and of rows that are prepared once."""

import pytest
import torch
from torch import Tensor

from models.columns.log_mixture import log_mixture
from models.columns.logistics import FlooredLogistics
from models.numerics import Components
from tests.laws.typed_tables import TABLES, context_of, density, rows, rows_of


@pytest.mark.parametrize("name", TABLES)
def test_all_columns_together_have_the_densities_of_their_groups(name: str) -> None:
    made, x = density(name), rows(name)
    context = context_of(name, len(x))
    with torch.no_grad():
        features = torch.cat(
            [g.features(x[:, g.columns]).flatten(1) for g in made.column_groups], 1
        )
        inputs = made.together.inputs(made.prepare(x), torch.float64)
        assert torch.equal(inputs, features.index_select(1, made.inputs_to_columns))
        theta = made.network(inputs, made.context_features(context))
        start, alone = 0, torch.zeros(len(x), dtype=torch.float64)
        for group in made.column_groups:
            end = start + len(group.index) * group.size
            own = theta[:, made.parameters_to_groups[start:end]].view(len(x), -1, group.size)
            alone, start = alone + group.log_prob(x[:, group.columns], own).sum(1), end
        together = made.log_prob(x, context)
    torch.testing.assert_close(together, alone, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", ["mixed", "mixed context", "mixed context transformer"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_that_are_prepared_once_score_the_same_to_the_last_digit(
    name: str, dtype: torch.dtype
) -> None:
    made, x = density(name, dtype), rows(name)
    prepared, weights = made.prepare(x), list(made.parameters())
    assert torch.equal(prepared[:, : x.shape[1]].nan_to_num(0), x.nan_to_num(0))
    for batch in torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).split(37):
        context = context_of(name, len(batch))
        log_prob = made.log_prob_prepared(prepared[batch], context)
        assert torch.equal(log_prob, made.log_prob(x[batch], context))
        expected = torch.autograd.grad(made.log_prob(x[batch], context).sum(), weights)
        gradients = torch.autograd.grad(log_prob.sum(), weights)
        assert all(map(torch.equal, gradients, expected))


@pytest.mark.parametrize(("cells", "points"), [(3, 2), (2, 0), (0, 2)])
def test_the_gradient_of_all_mixtures_is_that_of_their_formula(cells: int, points: int) -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    low, point, broad = 3 * draw(50, cells), 3 * draw(50, points), draw(50, cells + points) - 7
    width = torch.exp(4 * draw(50, cells) - 4)
    high = low + width
    for place, end in ((0, -1e30), (1, 1e30)):  # the first and the last cell of a closed lattice
        (low if place == 0 else high)[place] = end
        width[place] = 1e30
    mixture = FlooredLogistics(4, 1e-3)
    theta = (2 * draw(50, cells + points, mixture.size)).requires_grad_()
    learned = mixture.learned(theta)
    of_cells = Components(*(part[:, :cells] for part in learned))
    of_points = Components(*(part[:, cells:] for part in learned))
    terms = [
        mixture.cell_terms(low, high, width, of_cells),
        mixture.density_terms(point, of_points),
    ]
    expected = torch.cat([torch.cat(terms, 1), broad[..., None]], -1).logsumexp(-1)
    log_prob = log_mixture(learned, low, high, width, point, broad)
    torch.testing.assert_close(log_prob, expected, rtol=1e-13, atol=1e-13)
    weights = draw(*expected.shape)
    gradients = [
        torch.autograd.grad((weights * each).sum(), theta, retain_graph=True)[0]
        for each in (log_prob, expected)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)


def test_a_gradient_in_the_rows_is_refused() -> None:
    made, x = density("one number first"), torch.from_numpy(rows_of("one number first"))[:3]
    with pytest.raises(NotImplementedError, match="no gradient in the rows"):
        made.log_prob(x.requires_grad_()).sum().backward()
