"""Laws of base distributions: they integrate to one, and their samples follow their density."""

import json
import math

import pytest
import torch

from models import zoo
from models.distributions import Base, Logistic, Mixture, Normal, StudentT, Uniform
from tests.laws.zoo_table import randomise


def mixture() -> Mixture:
    torch.manual_seed(0)
    made = Mixture((1,), components=3)
    randomise(made, 0.7)
    return made


BASES: dict[str, Base] = {
    "normal": Normal((1,)),
    "logistic": Logistic((1,)),
    "uniform": Uniform((1,), bound=3.0),
    "student-t": StudentT((1,), df=3.0),
    "student-t of one degree, Cauchy": StudentT((1,), df=1.0),
    "mixture": mixture(),
    "mixture of one": Mixture((1,), components=1),
}


@pytest.mark.parametrize("name", BASES)
def test_density_integrates_to_one_and_matches_its_samples(name: str) -> None:
    base = BASES[name]
    # z = sinh(u), so that the grid reaches far into heavy tails
    u = torch.linspace(-18, 18, 400_001, dtype=torch.float64)
    z, weight = torch.sinh(u), torch.cosh(u) * (u[1] - u[0])
    with torch.no_grad():
        mass = base.double().log_prob(z[:, None]).exp() * weight
    # the box's edges fall between points of the grid
    assert abs(float(mass.sum()) - 1) < (1e-4 if name == "uniform" else 1e-7)
    drawn = base.sample(200_000, torch.Generator().manual_seed(0))[:, 0].double()
    assert torch.isfinite(drawn).all()
    cdf = torch.cumsum(mass, 0)
    for probability in (0.01, 0.25, 0.5, 0.9, 0.999):
        quantile = z[torch.searchsorted(cdf, probability)]
        share = (drawn <= quantile).double().mean()
        spread = math.sqrt(probability * (1 - probability) / 2e5)
        assert abs(float(share) - probability) < 5 * spread


@pytest.mark.parametrize("name", zoo.BASES)
def test_shapes_seeds_and_description(name: str) -> None:
    torch.manual_seed(0)
    base = zoo.BASES[name]((2, 3))
    for n in (0, 1, 7):
        drawn = base.sample(n, torch.Generator().manual_seed(n))
        assert drawn.shape == (n, 2, 3)
        assert drawn.dtype == torch.float32
        assert torch.equal(drawn, base.sample(n, torch.Generator().manual_seed(n)))
        assert base.log_prob(drawn).shape == (n,)
    json.dumps(base.describe(), allow_nan=False)


def test_mixture_density_is_that_of_torch_distributions() -> None:
    torch.manual_seed(0)
    base = Mixture((2, 2), components=4)
    randomise(base, 0.5)
    base.double()
    z = torch.randn(50, 2, 2, dtype=torch.float64)
    parts = torch.distributions.Independent(
        torch.distributions.Normal(base.means, base.log_scales.exp()), 1
    )
    weights = torch.distributions.Categorical(logits=base.logits)
    expected = torch.distributions.MixtureSameFamily(weights, parts).log_prob(z.flatten(1))
    torch.testing.assert_close(base.log_prob(z), expected)
    means = torch.tensor(base.describe()["means"], dtype=torch.float64)
    torch.testing.assert_close(means, base.means.detach())


def test_student_t_is_that_of_torch_distributions() -> None:
    z = torch.tensor([[-1e6, 0.0], [0.3, 1e6], [2.0, -7.0]], dtype=torch.float64)
    expected = torch.distributions.StudentT(torch.tensor(2.5, dtype=torch.float64)).log_prob(z)
    torch.testing.assert_close(StudentT((2,), df=2.5).log_prob(z), expected.sum(1))


def test_uniform_has_no_density_outside_its_box() -> None:
    base = Uniform((2,), bound=2.0)
    log_prob = base.log_prob(torch.tensor([[0.0, -2.0], [0.0, 2.1], [-1e6, 0.0]]))
    assert log_prob.isneginf().tolist() == [False, True, True]
    assert float(log_prob[0]) == pytest.approx(-math.log(16))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": "cauchy"}, "unknown base 'cauchy': one of normal"),
        ({"base": "student-t", "base_options": {"df": 0}}, "df must be above zero"),
        ({"base": "uniform", "base_options": {"bound": -1}}, "bound must be above zero"),
        ({"base": "mixture", "base_options": {"components": 0}}, "components is at least 1"),
        ({"base": "normal", "base_options": {"df": 3}}, "base_options of normal: .*df"),
    ],
)
def test_zoo_refuses_bases_that_are_none(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        zoo.build("maf", (2,), options=options)
