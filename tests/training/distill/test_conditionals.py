"""Students of splines and mixtures: their divergence from a teacher's layers, which falls."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from models import zoo
from models.bijection import Inverted
from models.flow import Flow
from models.layers import MaskedAutoregressive
from models.networks import Conditioner
from models.numerics import (
    Affine,
    GaussianMixture,
    LogisticMixture,
    RationalQuadratic,
    UnivariateMap,
)
from training.distill import conditionals
from training.distill.choice import choose_losses
from training.distill.conditionals import LayerOnPath
from training.distill.layer_matching import LayerMatch, layers_of, match_layers, shared_layers
from training.distill.losses import BY_ONE_LAYER, LOSSES, StudentDraw
from training.distill.objective import DistillationLoss

D = 32
ONE_VALUE: dict[str, UnivariateMap] = {
    "affine": Affine(),
    "spline": RationalQuadratic(5, 4.0),
    "logistic mixture": LogisticMixture(3),
    "Gaussian mixture": GaussianMixture(4),
}


class Backwards:
    """A map from latents to values by the parameters of the map from values to latents."""

    def __init__(self, univariate: UnivariateMap) -> None:
        self.univariate, self.size = univariate, univariate.size

    def encode(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        return self.univariate.decode(x, theta)

    def decode(self, z: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        return self.univariate.encode(z, theta)


def layer_of(univariate: UnivariateMap, seed: int) -> MaskedAutoregressive:
    """A layer of one value, whose map has random parameters."""
    torch.manual_seed(seed)
    layer = MaskedAutoregressive((1,), univariate, [0], Conditioner((4,), "relu", 0.0, 0.0, False))
    for parameter in layer.double().parameters():
        parameter.data.normal_(std=0.5)
    return layer


@pytest.mark.parametrize("theirs", ONE_VALUE)
@pytest.mark.parametrize("ours", ONE_VALUE)
def test_the_mean_of_what_is_estimated_is_the_divergence(
    ours: str, theirs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conditionals, "LATENTS_PER_POSITION", 1)
    student, teacher = layer_of(ONE_VALUE[ours], 0), layer_of(ONE_VALUE[theirs], 1)
    z = torch.linspace(-9, 9, 40_001, dtype=torch.float64)[:, None]
    weights = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi) * (18 / 40_000)
    x, log_slope = student.encode(z)
    r, log_teacher_slope = teacher.encode(x)
    log_slope = (log_slope + log_teacher_slope)[:, None]
    # KL(student‖teacher) as the mean of log q(x) − log p(x)
    expected = float((weights * (0.5 * (r.square() - z.square()) - log_slope)).sum().detach())
    match = LayerMatch(0, teacher, [student])
    found = LayerOnPath(match, z, teacher.theta(z)).divergence(None)
    assert expected > 0.01
    assert float((weights * found).sum().detach()) == pytest.approx(expected, rel=1e-5)
    if not match.is_gaussian:
        torch.testing.assert_close(
            found, 0.5 * (r - z).square() + torch.exp(log_slope) - 1 - log_slope
        )
        assert (found >= 0).all()


def test_the_maps_of_a_position_are_compared_at_latents_of_other_rows_too() -> None:
    student, teacher = layer_of(ONE_VALUE["spline"], 0), layer_of(ONE_VALUE["affine"], 1)
    z = torch.tensor([[-2.0], [-0.5], [0.0], [0.7], [1.5]], dtype=torch.float64)
    on_path = LayerOnPath(LayerMatch(0, teacher, [student]), z, teacher.theta(z))
    together = on_path.divergence(None)
    alone = torch.cat(
        [on_path._replace(z=row.expand(5, 1)).divergence(None)[:1] for row in z.unsqueeze(1)]
    )
    count = conditionals.LATENTS_PER_POSITION
    expected = torch.stack([alone.roll(rows, 0) for rows in range(count)]).mean(0)
    torch.testing.assert_close(together, expected)


def masked_layers(flow: Flow) -> Iterator[MaskedAutoregressive]:
    for layer in layers_of(flow):
        inner = layer.bijection if isinstance(layer, Inverted) else layer
        assert isinstance(inner, MaskedAutoregressive)
        yield inner


def biases(layer: MaskedAutoregressive) -> Tensor:
    """The parameters of the maps, which are those of every row: D × size."""
    bias = layer.network.get_parameter(f"linears.{len(layer.network.linears) - 1}.bias")
    return bias.data.view(D, layer.univariate.size)


def as_they_are(theta: Tensor) -> Tensor:
    return theta


def affine_inverse(theta: Tensor) -> Tensor:
    shift, raw = theta.unbind(-1)
    return torch.stack([-shift * torch.exp(4 * torch.tanh(raw / 4)), -raw], -1)


def one_component_inverse(theta: Tensor) -> Tensor:
    weight, mean, raw = theta.unbind(-1)
    return torch.stack([weight, -mean * torch.exp(-4 * torch.tanh(raw / 4)), -raw], -1)


MIXTURE = {"univariate": "gaussian-mixture"}

# options of teacher and student, whether the student has the teacher's maps backwards, and else the
# parameters of the maps that undo them
INVERSES: dict[str, tuple[dict[str, Any], bool, Callable[[Tensor], Tensor]]] = {
    "additive": ({"univariate": "additive"}, True, as_they_are),
    "affine": ({"univariate": "affine"}, True, as_they_are),
    "affine, as iaf has it": ({"univariate": "affine"}, False, affine_inverse),
    "spline": ({"univariate": "spline"}, True, as_they_are),
    "logistic mixture": ({"univariate": "logistic-mixture"}, True, as_they_are),
    "Gaussian mixture": (MIXTURE, True, as_they_are),
    "one Gaussian, as iaf has it": (MIXTURE | {"components": 1}, False, one_component_inverse),
}


@pytest.mark.parametrize("name", INVERSES)
def test_a_student_of_its_teachers_own_parameters_has_no_divergence(name: str) -> None:
    options, backwards, inverse = INVERSES[name]
    options = {"transforms": 2, "hidden": [8]} | options
    teacher, student = (zoo.build(f, (D,), options=options).double() for f in ("maf", "iaf"))
    torch.manual_seed(0)
    for theirs, ours in zip(masked_layers(teacher), masked_layers(student), strict=True):
        biases(theirs).normal_(std=0.4)
        biases(ours).copy_(inverse(biases(theirs)))
        if backwards:
            ours.univariate = Backwards(theirs.univariate)
    z = torch.randn(50, D, dtype=torch.float64)
    with torch.no_grad():
        pairs = teacher.decode(z)[0]
    draw = StudentDraw(student, teacher, match_layers(teacher, student), z, None, pairs)
    x = student.decode(z)[0]
    assert (x - z).abs().max() > 0.1  # it is not the identity
    for kind in set(LOSSES) - BY_ONE_LAYER:
        assert LOSSES[kind](draw).abs().max() < 1e-5, kind


SMALL: dict[str, Any] = {"transforms": 2, "hidden": [24], "activation": "silu"}
SPLINES = {"univariate": "spline", "linear": True}
TOKENS = {"transforms": 2, "hidden": [8], "heads": 2, "univariate": "spline"}

# teacher and student, whose losses are those that they allow
LEARNED = {
    "splines": (("nsf-ar", SMALL), ("iaf", SMALL | SPLINES)),
    "mixtures": (("maf-mog", SMALL), ("iaf", SMALL | {"last": "gaussian-mixture"})),
    "a transformer": (("transformer", TOKENS), ("iaf", SMALL | {"univariate": "spline"})),
    "layers that differ": (("nsf-ar", SMALL), ("nsf", SMALL)),
}


@pytest.mark.parametrize("name", LEARNED)
def test_a_students_divergence_falls(name: str) -> None:
    (theirs, their_options), (ours, our_options) = LEARNED[name]
    torch.manual_seed(0)
    teacher = zoo.build(theirs, (3,), options=their_options)
    for parameter in teacher.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    teacher.requires_grad_(False)
    student = zoo.build(ours, (3,), options=our_options)
    chosen, _ = choose_losses(student, teacher)
    for theirs_too, ours_too in shared_layers(teacher, student) if "layers" not in name else ():
        ours_too.load_state_dict(theirs_too.state_dict())  # as `initialize_from_data` does
    loss = DistillationLoss(student, teacher, chosen)
    optimizer = torch.optim.Adam(student.parameters(), 1e-2)
    held_out, latents = torch.randn(1000, 1, 3), torch.randn(2048, 3)
    pairs = torch.stack([latents, teacher.decode(latents)[0]], 1)

    def divergence() -> float:
        with torch.no_grad():
            return float(LOSSES["kl"](loss.draw(held_out, None)).mean())

    before, steps = divergence(), 40
    for step in range(steps):
        loss.progress = step / steps
        value = loss(pairs[torch.randint(len(pairs), (128,))]).mean()
        optimizer.zero_grad()
        value.backward()
        gradients = [p.grad for p in student.parameters() if p.grad is not None]
        assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
        optimizer.step()
    assert before > 0.05
    assert divergence() < 0.5 * before
