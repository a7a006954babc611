"""Laws of whole flows: densities, samples, gradients, saving."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models import zoo
from models.bijection import Compose, Inverted
from models.distributions import Normal
from models.flow import Flow
from models.layers.autoregressive import MaskedAutoregressive
from models.layers.coupling import Coupling
from models.layers.permutation import Permutation
from models.layers.preprocessing import Logit
from models.networks.conditioner import Conditioner
from models.numerics.univariate import Additive, Affine
from tests.laws.zoo_table import FLOWS, case, randomise

NET = Conditioner((24, 16), "tanh")


def flow(name: str, dtype: torch.dtype = torch.float64, scale: float = 0.15) -> Flow:
    made = FLOWS[name].flow()
    randomise(made, scale)
    return made.to(dtype).eval()


@pytest.mark.parametrize("name", FLOWS)
def test_decode_and_encode_give_the_same_density(name: str) -> None:
    one, made = case(name, torch.float64), flow(name)
    z, log_prob = made.encode(one.x, one.context)
    x, decoded = made.decode(z, one.context)
    torch.testing.assert_close(x, one.x)
    torch.testing.assert_close(decoded, log_prob)
    torch.testing.assert_close(made.log_prob(one.x, one.context), log_prob)
    _, log_det = made.bijection.encode(one.x, one.context)
    torch.testing.assert_close(log_prob, made.base.log_prob(z) + log_det)


@pytest.mark.parametrize("name", FLOWS)
def test_starts_as_an_isometry_of_its_preprocessed_rows(name: str) -> None:
    one, made = case(name, torch.float64, scale=0.0), flow(name, scale=0.0)
    fixed = [zoo.fixed_layer(FLOWS[name].event_shape, **s) for s in FLOWS[name].preprocessing]
    x, log_det = Compose(fixed).double().encode(one.x) if fixed else (one.x, one.x.new_zeros(6))
    z, log_prob = made.encode(one.x, one.context)
    # rotations are kept in float32; mixtures are only nearly the identity, see test_univariate.py
    line = FLOWS[name]
    mixture = line.family in ("maf-mog", "maf-logistic", "gaussianization")
    mixture = mixture or "mixture" in line.options.get("univariate", "")
    near = 1.0 if mixture else 1e-6
    torch.testing.assert_close(
        z.flatten(1).norm(dim=1), x.flatten(1).norm(dim=1), rtol=0, atol=near
    )
    torch.testing.assert_close(log_prob - made.base.log_prob(z), log_det, rtol=0, atol=near)


@pytest.mark.parametrize("name", [n for n in FLOWS if "iterative" not in n])
def test_gradients_reach_every_parameter(name: str) -> None:
    one, made = case(name, torch.float64, rows=64), flow(name).train()
    z, log_prob = made.encode(one.x, one.context)
    x, decoded = made.decode(z.detach(), one.context)
    for loss in (-log_prob.mean(), -decoded.mean() + (x**2).mean()):
        made.zero_grad()
        loss.backward()
        for parameter_name, parameter in made.named_parameters():
            assert parameter.grad is not None, parameter_name
            assert torch.isfinite(parameter.grad).all(), parameter_name
            # in one dimension a network has nothing to read: only its biases matter
            assert "1-D" in name or parameter.grad.abs().max() > 0, parameter_name


@pytest.mark.parametrize("name", FLOWS)
def test_save_and_load_give_equal_log_prob(name: str, tmp_path: Path) -> None:
    one, made = case(name, torch.float32), flow(name, torch.float32)
    save_file(made.state_dict(), tmp_path / "weights.safetensors")
    again = flow(name, torch.float32, scale=0.0)
    again.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(again.log_prob(one.x, one.context), made.log_prob(one.x, one.context))


@pytest.mark.parametrize("name", FLOWS)
def test_sample_scores_its_own_rows(name: str) -> None:
    made = flow(name)
    shape = made.context_shape
    context = None if shape is None else torch.zeros(50, *shape, dtype=torch.float64)
    x, log_prob = made.sample(50, context, torch.Generator().manual_seed(1))
    torch.testing.assert_close(made.log_prob(x, context), log_prob)
    again, _ = made.sample(50, context, torch.Generator().manual_seed(1))
    assert torch.equal(x, again)


def test_rows_outside_the_support_have_no_density() -> None:
    made, inside = flow("nice logit"), torch.full((5, 5), 3.0, dtype=torch.float64)
    rows = inside.clone()
    rows[1, 2], rows[2, 0], rows[3, 4] = -0.5, 16.5, 1e6
    rows.requires_grad_()
    log_prob = made.log_prob(rows)
    assert log_prob.isneginf().tolist() == [False, True, True, True, False]
    torch.testing.assert_close(log_prob[0], made.log_prob(inside)[0])
    log_prob[[0, 4]].sum().backward()
    assert rows.grad is not None
    assert torch.isfinite(rows.grad[[0, 4]]).all()


# Splines and mixtures have features that only a finer grid resolves: `make family-table`
# integrates trained ones, with a grid that is halved until the integral stands still.
SMOOTH = ["nice", "realnvp", "glow", "maf", "iaf", "mintnet", "planar", "radial", "sylvester"]


@pytest.mark.parametrize("family", SMOOTH)
def test_density_integrates_to_one_in_two_dimensions(family: str) -> None:
    torch.manual_seed(0)
    options = {"transforms": 3, "hidden": (16,), "activation": "tanh"}
    made = zoo.build(family, (2,), options=options)
    randomise(made, 0.3)
    made.double().eval()
    # a grid in latent-independent coordinates, wide enough for the logistic base's tails
    edge, n = 60.0, 401
    u = torch.linspace(-math.asinh(edge), math.asinh(edge), n, dtype=torch.float64)
    weight = torch.cosh(u) * (u[1] - u[0])
    x, y = torch.meshgrid(torch.sinh(u), torch.sinh(u), indexing="ij")
    with torch.no_grad():
        density = made.log_prob(torch.stack([x.flatten(), y.flatten()], 1)).exp()
    integral = (density.view(n, n) * weight[:, None] * weight[None, :]).sum()
    assert abs(float(integral) - 1) < 1e-3


def test_additive_coupling_has_a_log_det_of_exactly_zero() -> None:
    layer = Coupling((5,), Additive(), [0, 3], NET)
    randomise(layer, 1.0)
    x = torch.randn(20, 5)
    assert torch.equal(layer.encode(x)[1], torch.zeros(20))
    assert torch.equal(layer.decode(x)[1], torch.zeros(20))


def test_permutation_has_a_log_det_of_exactly_zero() -> None:
    assert torch.equal(Permutation((3,), [2, 0, 1]).encode(torch.randn(4, 3))[1], torch.zeros(4))


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [3, 0, 4, 1, 2]])
def test_autoregressive_jacobian_is_exactly_triangular(order: list[int]) -> None:
    layer = MaskedAutoregressive((5,), Affine(), order, NET)
    randomise(layer, 0.5)
    layer.double()
    jacobian = torch.autograd.functional.jacobian(
        lambda x: layer.encode(x[None])[0][0], torch.randn(5, dtype=torch.float64)
    )
    assert isinstance(jacobian, torch.Tensor)
    sorted_jacobian = jacobian[order][:, order]
    assert torch.equal(sorted_jacobian.triu(1), torch.zeros(5, 5, dtype=torch.float64))
    # and nothing that could be free is masked away
    assert bool((sorted_jacobian.tril().abs() + torch.ones(5, 5).triu(1) > 0).all())


def test_maf_log_prob_is_the_sum_of_its_gaussian_conditionals() -> None:
    affine = Affine()
    layer = MaskedAutoregressive((5,), affine, [2, 0, 4, 1, 3], NET)
    randomise(layer, 0.4)
    layer.double()
    x = torch.randn(30, 5, dtype=torch.float64)
    mean, log_deviation = affine.mean_and_log_deviation(layer.theta(x))
    conditionals = torch.distributions.Normal(mean, log_deviation.exp()).log_prob(x)
    log_prob = Flow(Normal((5,)), layer).log_prob(x)
    torch.testing.assert_close(log_prob, conditionals.sum(1), rtol=0, atol=1e-12)


def test_maf_decode_is_ancestral_sampling() -> None:
    affine, order = Affine(), [2, 0, 4, 1, 3]
    layer = MaskedAutoregressive((5,), affine, order, NET)
    randomise(layer, 0.4)
    layer.double()
    z = torch.randn(30, 5, dtype=torch.float64)
    x = torch.full_like(z, 1e3)  # what is not drawn yet must not matter
    for i in order:
        mean, log_deviation = affine.mean_and_log_deviation(layer.theta(x))
        x[:, i] = mean[:, i] + log_deviation[:, i].exp() * z[:, i]
    torch.testing.assert_close(layer.decode(z)[0], x, rtol=0, atol=1e-12)


def test_iaf_is_maf_with_the_directions_swapped() -> None:
    maf = zoo.build("maf", (4,), options={"transforms": 2}).bijection
    iaf = zoo.build("iaf", (4,), options={"transforms": 2}).bijection
    assert (maf.encode_cost, maf.decode_cost) == ("parallel", "sequential")
    assert (iaf.encode_cost, iaf.decode_cost) == ("sequential", "parallel")
    with pytest.raises(ValueError, match="bounded support"):
        Inverted(Logit((2,), 0, 1))


def test_logit_tells_rows_apart_near_both_edges() -> None:
    layer = Logit((1,), 0.0, 16.5)
    for x in (torch.tensor([[1e-30], [1e-6]]), torch.tensor([[16.499998], [16.499996]])):
        z, _ = layer.encode(x)
        assert torch.isfinite(z).all()
        assert z[0] != z[1]
    far, _ = layer.decode(torch.tensor([[-200.0], [200.0]]))
    assert 0 < far[0] < far[1] < 16.5
    assert np.isfinite(layer.encode(far)[0].numpy()).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"family": "glowing"}, "unknown family 'glowing': the zoo has"),
        ({"family": "maf", "options": {"layers": 3}}, "layers"),
        ({"family": "maf", "options": {"transforms": 0}}, "transforms is at least 1"),
        ({"family": "maf", "options": {"activation": "swash"}}, "activation is one of"),
        ({"family": "nice", "preprocessing": [{"kind": "log"}]}, "unknown preprocessing 'log'"),
        ({"family": "nice", "preprocessing": [{"kind": "logit", "low": 0}]}, "high"),
        (
            {"family": "nice", "preprocessing": [{"kind": "standardize", "mean": [1], "scale": 1}]},
            "mean has 1 values for the 3 coordinates",
        ),
        ({"family": "nice", "preprocessing": [{"kind": "logit", "low": 1, "high": 0}]}, "below"),
    ],
)
def test_zoo_refuses_what_makes_no_flow(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        zoo.build(event_shape=(3,), **arguments)  # type: ignore[arg-type]


def test_compose_refuses_layers_that_do_not_meet() -> None:
    with pytest.raises(
        ValueError, match=r"layer 0 encodes to rows of shape \(3,\), layer 1 takes \(4,\)"
    ):
        Compose([Permutation((3,), [0, 1, 2]), Permutation((4,), [0, 1, 2, 3])])
    with pytest.raises(ValueError, match="put it first"):
        Compose([Permutation((3,), [0, 1, 2]), Logit((3,), 0, 1)])
