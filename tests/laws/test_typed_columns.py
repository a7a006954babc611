"""Laws of densities over typed columns."""

import math
from typing import Any

import pytest
import torch

from models import zoo
from tests.laws.typed_tables import (
    ROWS,
    TABLES,
    cells,
    context_of,
    density,
    equal,
    fitted,
    rows,
    rows_of,
)

DISCRETE = [name for name in TABLES if "discrete" in name]
# 100,000 rows take a transformer several seconds
DRAWN = [
    pytest.param(name, marks=[pytest.mark.long] * ("transformer" in name)) for name in DISCRETE
]
PLACES = [1e-300, 1e-16, 0.3, 0.5, 1 - 2**-53]


@pytest.mark.parametrize("name", DISCRETE)
@pytest.mark.parametrize("order", ["given", "random"])
def test_probabilities_of_discrete_tables_sum_to_one(name: str, order: str) -> None:
    x = cells(name)
    assert len(x) > 200
    with torch.no_grad():
        log_prob = density(name, order=order, seed=1).log_prob(x, context_of(name, len(x)))
    assert float(log_prob.exp().sum()) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", ["one number", "one number first", "one number transformer"])
def test_integrals_over_one_number_sum_to_one(name: str) -> None:
    made = density(name)
    number = next(i for i, column in enumerate(TABLES[name]) if column["kind"] == "numeric")
    other = 1 - number
    classes = len(fitted(name)[other]["shares"])
    codes = [float(i) for i in range(classes)] + [math.nan] * bool(
        TABLES[name][other].get("missing")
    )
    u = torch.linspace(-12, 12, 8001, dtype=torch.float64)
    grid = 3.0 + torch.sinh(u) * 1e-2
    weight = torch.cosh(u) * 1e-2 * (u[1] - u[0])
    total = torch.zeros((), dtype=torch.float64)
    for code in codes:
        x = torch.full((len(grid) + 3, 2), code, dtype=torch.float64)
        x[:, number] = torch.cat([grid, torch.tensor([0.0, 20.0, math.nan])])
        p = made.log_prob(x).detach().exp()
        total += (p[: len(grid)] * weight).sum() + p[len(grid) :].sum()
    assert float(total) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", DRAWN)
def test_frequencies_of_samples_fit_the_probabilities(name: str) -> None:
    x, made, n = cells(name), density(name), 100_000
    probability = made.log_prob(x, context_of(name, len(x))).detach().exp()

    def p_value(seed: int) -> float:
        with torch.no_grad():
            draws, _ = made.sample(n, context_of(name, n), torch.Generator().manual_seed(seed))
        # numbers of cells: missing values become a number, so that rows can be compared
        both = torch.cat([x, draws]).nan_to_num(-99.0)
        index = both.unique(dim=0, return_inverse=True)[1]
        assert int(index.max()) + 1 == len(x)
        observed = torch.bincount(index[len(x) :], minlength=len(x))[index[: len(x)]].double()
        expected = n * probability
        rare = expected < 5
        pairs = [(observed[~rare], expected[~rare]), (observed[rare].sum(), expected[rare].sum())]
        statistic = sum(((o - e) ** 2 / e).sum() for o, e in pairs)
        freedom = torch.tensor((~rare).sum().item() / 2.0, dtype=torch.float64)
        return float(torch.special.gammaincc(freedom, statistic / 2))

    assert p_value(1) > 1e-3 or p_value(2) > 1e-3


@pytest.mark.parametrize("name", TABLES)
def test_samples_score_as_their_rows(name: str) -> None:
    made, context = density(name), context_of(name, 200)
    with torch.no_grad():
        x, log_prob = made.sample(200, context, torch.Generator().manual_seed(1))
        torch.testing.assert_close(made.log_prob(x, context), log_prob, rtol=1e-10, atol=1e-10)
        again, _ = made.sample(200, context, torch.Generator().manual_seed(1))
    assert bool(torch.isfinite(log_prob).all())
    assert bool(equal(again, x).all())


@pytest.mark.parametrize("name", TABLES)
def test_latents_of_samples_are_standard_normal(name: str) -> None:
    made, n = density(name), 2000
    context = context_of(name, n)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        x, _ = made.sample(n, context, generator)
        u = torch.rand(x.shape, generator=generator, dtype=torch.float64)
        z, _ = made.encode(x, context, u)
    # Kolmogorov's statistic of each column; beyond 1.95 in one of 1000
    uniform = torch.special.ndtr(z).sort(0).values
    steps = torch.arange(n + 1, dtype=torch.float64)[:, None] / n
    distance = torch.maximum((uniform - steps[:-1]).amax(0), (steps[1:] - uniform).amax(0))
    assert float(distance.max()) * math.sqrt(n) < 2.2
    correlation = torch.corrcoef(z.T) if z.shape[1] > 1 else torch.eye(1)
    assert float((correlation - torch.eye(len(correlation))).abs().max()) < 0.1


@pytest.mark.parametrize("name", TABLES)
def test_decoding_gives_the_encoded_row(name: str) -> None:
    x, made = rows(name), density(name)
    u = torch.tensor(PLACES, dtype=torch.float64).repeat_interleave(len(x))
    x = x.repeat(len(PLACES), 1)
    context = context_of(name, len(x))
    with torch.no_grad():
        z, log_prob = made.encode(x, context, u[:, None].expand_as(x))
        again, decoded = made.decode(z, context)
    assert bool(torch.isfinite(z).all())
    for i, column in enumerate(TABLES[name]):
        if column["kind"] == "categorical" or "step" in column:
            assert bool(equal(again[:, i], x[:, i]).all()), i
        else:
            scale = float(x[:, i].nan_to_num(0).std())
            torch.testing.assert_close(
                again[:, i], x[:, i], rtol=1e-10, atol=1e-8 * scale, equal_nan=True
            )
            masses = torch.tensor(column.get("point_masses", []), dtype=torch.float64)
            at = (x[:, i, None] == masses).any(1)
            assert bool((again[at, i] == x[at, i]).all())
    torch.testing.assert_close(decoded, log_prob, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(made.log_prob(x, context), log_prob)


@pytest.mark.parametrize("name", TABLES)
def test_starts_with_independent_columns(name: str) -> None:
    made, x = density(name, scale=0.0), torch.from_numpy(rows_of(name))
    shuffled = torch.stack([x[:, i].roll(i) for i in range(x.shape[1])], 1)
    with torch.no_grad():
        total, again = (made.log_prob(rows, context_of(name, ROWS)) for rows in (x, shuffled))
    assert float(total.mean()) == pytest.approx(float(again.mean()), abs=1e-9)


def test_starts_with_the_frequencies_of_the_training_rows() -> None:
    made, x = density("discrete", scale=0.0), torch.from_numpy(rows_of("discrete"))
    possible = cells("discrete")
    with torch.no_grad():
        probability = made.log_prob(possible).exp()
    for i in range(3):
        for value in possible[:, i].unique():
            share = float(probability[equal(possible[:, i], value)].sum())
            frequency = float(equal(x[:, i], value).double().mean())
            assert share == pytest.approx(frequency, abs=0.01)


@pytest.mark.parametrize("name", TABLES)
def test_gradients_are_finite_and_reach_every_parameter(name: str) -> None:
    x, made = rows(name), density(name).train()
    for i, column in enumerate(TABLES[name]):
        if column["kind"] == "numeric":
            x[0, i], x[1, i] = 1e12, -1e12
    context = context_of(name, len(x))
    made.log_prob(x, context).mean().backward()
    with torch.no_grad():
        z, _ = made.encode(x[2:], None if context is None else context[2:])
    _, decoded = made.decode(z, None if context is None else context[2:])
    (0.1 * decoded.mean()).backward()
    for parameter_name, parameter in made.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert bool(torch.isfinite(parameter.grad).all()), parameter_name
        assert name == "one column" or float(parameter.grad.abs().max()) > 0, parameter_name


@pytest.mark.parametrize(
    "name", ["mixed", "discrete context", "mixed transformer", "discrete context transformer"]
)
def test_a_float32_network_gives_nearly_the_same_density(name: str) -> None:
    x, context = rows(name), context_of(name, len(rows(name)))
    exact, made = density(name), density(name, torch.float32)
    torch.testing.assert_close(
        made.log_prob(x, context), exact.log_prob(x, context), rtol=1e-4, atol=1e-4
    )
    again, _ = made.decode(made.encode(x, context)[0], context)
    # far outside, cells are smaller than the rounding of a transformer in float32
    kept = slice(100 if "transformer" in name else None)
    for i, column in enumerate(TABLES[name]):
        if column["kind"] == "categorical" or "step" in column:
            assert bool(equal(again[kept, i], x[kept, i]).all()), i


@pytest.mark.parametrize("name", ["mixed context", "mixed context transformer"])
def test_a_context_changes_the_density(name: str) -> None:
    made, x = density(name), rows(name)
    context = context_of(name, len(x))
    assert context is not None
    assert bool((made.log_prob(x, context) != made.log_prob(x, -context)).all())


@pytest.mark.parametrize("name", ["mixed", "mixed transformer"])
def test_columns_do_not_depend_on_later_columns(name: str) -> None:
    made, x = density(name, order="random"), torch.from_numpy(rows_of(name))[:20]
    with torch.no_grad():
        z, _ = made.encode(x)
        for position, column in enumerate(made.order):
            changed = x.clone()
            changed[:, column] = x[:, column].roll(1)
            moved = (made.encode(changed)[0] - z).abs().amax(0)[made.order]
            assert not bool(moved[:position].any())
            assert bool(moved[position:].all())


OUTSIDE: list[tuple[str, int, float]] = [
    ("discrete", 0, 4.0),
    ("discrete", 0, 0.5),
    ("discrete", 0, -1.0),
    ("discrete", 1, 7.0),
    ("discrete", 1, 2.5),
    ("discrete", 2, -0.5),
    ("discrete", 2, math.nan),
    ("one number first", 0, math.inf),
    ("mixed", 1, -math.inf),
    ("mixed", 1, 0.25),
]


@pytest.mark.parametrize(("name", "column", "value"), OUTSIDE)
def test_rows_outside_the_support_have_no_density(name: str, column: int, value: float) -> None:
    made, x = density(name), torch.from_numpy(rows_of(name))[:5]
    other = x.clone()
    other[2, column] = value
    z, log_prob = made.encode(other)
    assert log_prob.isneginf().tolist() == [False, False, True, False, False]
    assert bool(z[2].isnan().all())
    keep = [0, 1, 3, 4]
    torch.testing.assert_close(z[keep], made.encode(x)[0][keep], rtol=0, atol=1e-12)


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"kind": "text"}, "column 1: a kind is"),
    ({"kind": "categorical", "shares": []}, "at least one class"),
    ({"kind": "categorical", "shares": [0.5, 0.0]}, "shares are above 0"),
    ({"kind": "categorical", "shares": [1.0], "colour": 1}, "colour"),
    ({"kind": "numeric", "warp": {"x": [0, 1], "y": [0, 1], "slope": [1, 1]}}, "at least 3 knots"),
    ({"kind": "lattice", "warp": {k: [1, 2, 3] for k in ("x", "y", "slope")}}, "has a step"),
]


@pytest.mark.parametrize(("column", "message"), BROKEN)
def test_broken_descriptions_are_refused(column: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        zoo.build_tabular([{"kind": "categorical", "shares": [0.5, 0.5]}, column], 10)


def test_wrong_shapes_are_refused() -> None:
    made = density("discrete context")
    with pytest.raises(ValueError, match=r"expected x of shape \(4, 3\), got \(4, 2\)"):
        made.log_prob(torch.zeros(4, 2), torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"context of row shape \(2,\), got None"):
        made.decode(torch.zeros(4, 3))
