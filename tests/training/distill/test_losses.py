"""The losses of a distillation, against laws and torch's own divergences."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from models import zoo
from models.bijection import Inverted
from models.flow import Flow
from models.layers.autoregressive import MaskedAutoregressive
from models.layers.autoregressive.causal import CausalAutoregressive
from training.config.distill import LossRecipe
from training.distill import conditionals, layer_matching, losses
from training.distill.conditionals import Gaussians
from training.distill.losses import LOSSES, StudentDraw
from training.distill.objective import DistillationLoss
from training.errors import TrainingError

D = 32

ONE_LAYER: dict[str, Any] = {"transforms": 1, "hidden": [16]}
WAVES: dict[str, Any] = {"hidden": [8, 8], "alternate": False}

TOKENS: dict[str, Any] = {"transforms": 2, "hidden": [8], "heads": 2}

# teacher and student: family and options
COUPLES = {
    "one layer": (("maf", ONE_LAYER), ("iaf", ONE_LAYER)),
    "three layers": (
        ("maf", {"transforms": 3, "hidden": [16, 16]}),
        ("iaf", {"transforms": 3, "hidden": [8]}),
    ),
    "linear maps": (
        ("maf", {"transforms": 2, "hidden": [16], "linear": True}),
        ("iaf", {"transforms": 2, "hidden": [16], "linear": True}),
    ),
    "waves": (
        ("wavenet", WAVES | {"transforms": 1}),
        ("parallel-wavenet", WAVES | {"transforms": 3}),
    ),
    "tokens": (
        ("transformer", TOKENS | {"patch": 4}),
        ("parallel-transformer", TOKENS | {"patch": 8}),
    ),
    "splines": (
        ("nsf-ar", {"transforms": 2, "hidden": [8]}),
        ("iaf", {"transforms": 2, "hidden": [8], "univariate": "spline", "linear": True}),
    ),
    "mixtures of Gaussians": (
        ("maf-mog", {"transforms": 2, "hidden": [8]}),
        ("iaf", {"transforms": 2, "hidden": [8], "last": "gaussian-mixture"}),
    ),
    "mixtures and splines": (
        ("maf-logistic", {"transforms": 2, "hidden": [8], "components": 3}),
        (
            "iaf",
            {"transforms": 2, "hidden": [8], "univariate": "spline", "base": "logistic"},
        ),
    ),
    "tokens and splines": (
        ("transformer", TOKENS | {"patch": 4, "univariate": "spline"}),
        ("iaf", {"transforms": 2, "hidden": [8], "univariate": "spline"}),
    ),
    "waves back and forth": (
        ("wavenet", {"hidden": [8, 8], "transforms": 2}),
        ("parallel-wavenet", {"hidden": [8], "transforms": 2}),
    ),
}

ONE = ["one layer", "waves"]

# whose conditionals are all Gaussians, and which have no linear maps, which start apart
GAUSSIAN = [*ONE, "three layers", "tokens", "waves back and forth"]


def random(family: str, options: dict[str, Any], seed: int) -> Flow:
    """A flow far enough from the identity, in float64, of D dimensions."""
    torch.manual_seed(seed)
    flow = zoo.build(family, (D,), options=options).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return flow


def couple(name: str) -> tuple[Flow, Flow]:
    (theirs, their_options), (ours, our_options) = COUPLES[name]
    return random(theirs, their_options, 0), random(ours, our_options, 1)


def drawn(teacher: Flow, student: Flow, n: int) -> StudentDraw:
    z = torch.randn(n, D, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        pairs = teacher.decode(z)[0]
    return StudentDraw(
        student, teacher, layer_matching.match_layers(teacher, student), z, None, pairs
    )


def gradient(value: Tensor, flow: Flow) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(flow.parameters()))])


def test_every_loss_has_a_name_in_recipes() -> None:
    assert set(get_args(LossRecipe.model_fields["kind"].annotation)) == set(LOSSES)


def test_a_closed_divergence_is_that_of_torch() -> None:
    values = torch.randn(4, 30, 5, dtype=torch.float64)
    ours, theirs = Gaussians(values[0], values[1]), Gaussians(values[2], values[3])
    normals = [torch.distributions.Normal(g.mean, g.log_deviation.exp()) for g in (ours, theirs)]
    expected = torch.distributions.kl_divergence(*normals)
    torch.testing.assert_close(ours.divergence(theirs), expected)
    assert (ours.divergence(ours) == 0).all()


@pytest.mark.parametrize("name", ONE)
def test_a_students_conditionals_are_those_of_its_draws(name: str) -> None:
    teacher, student = couple(name)
    (step,) = layer_matching.match_layers(teacher, student)
    z = torch.randn(1, D, dtype=torch.float64)
    found = conditionals.student_gaussians(step, z, None)
    x, log_det = student.bijection.decode(z)
    torch.testing.assert_close(found.mean + found.log_deviation.exp() * z, x)
    torch.testing.assert_close(found.log_deviation.sum(1), log_det)
    # the mean does not move with the place's own latent, and the deviation is the slope there
    jacobian = torch.autograd.functional.jacobian(lambda z: student.bijection.decode(z)[0], z)
    slopes = jacobian[0, :, 0].diagonal()
    torch.testing.assert_close(found.log_deviation.exp()[0], slopes)
    moved = torch.autograd.functional.jacobian(
        lambda z: conditionals.student_gaussians(step, z, None).mean, z
    )
    assert moved[0, :, 0].diagonal().abs().max() < 1e-12


@pytest.mark.parametrize("name", GAUSSIAN)
def test_no_loss_finds_fault_with_a_student_that_is_its_teacher(name: str) -> None:
    (theirs, their_options), (ours, our_options) = COUPLES[name]
    teacher = zoo.build(theirs, (D,), options=their_options).double()  # the identity, both
    student = zoo.build(ours, (D,), options=our_options).double()
    # a teacher whose conditionals are not standard, but the same everywhere
    for teachers, students in zip(_biases(teacher), _biases(student), strict=False):
        shift, log_scale = 0.3, 0.5
        with torch.no_grad():
            teachers.copy_(torch.tensor([shift, log_scale]).repeat(len(teachers) // 2))
            bounded = 4 * torch.tanh(torch.tensor(log_scale) / 4)
            back = torch.tensor([-shift * float(bounded.exp()), -log_scale])
            students.copy_(back.repeat(len(students) // 2))
    draw = drawn(teacher, student, 50)
    for kind in set(LOSSES) - (set() if name in ONE else losses.BY_ONE_LAYER):
        assert LOSSES[kind](draw).abs().max() < 1e-5


def _biases(flow: Flow) -> Iterator[Tensor]:
    """Of the last layer of each network."""
    for layer in layer_matching.layers_of(flow):
        inner = layer.bijection if isinstance(layer, Inverted) else layer
        if isinstance(inner, MaskedAutoregressive):
            yield inner.network.get_parameter(f"linears.{len(inner.network.linears) - 1}.bias")
        elif isinstance(inner, CausalAutoregressive):
            yield inner.network.last.bias


@pytest.mark.parametrize("kind", sorted(LOSSES))
@pytest.mark.parametrize("name", COUPLES)
def test_each_loss_finds_fault_and_teaches_the_student_alone(name: str, kind: str) -> None:
    teacher, student = couple(name)
    if kind in losses.BY_ONE_LAYER and name not in ONE:
        with pytest.raises(TrainingError, match="is for teachers of one layer"):
            DistillationLoss(student, teacher, [LossRecipe.model_validate({"kind": kind})])
        return
    teacher.requires_grad_(False)
    loss = DistillationLoss(student, teacher, [LossRecipe.model_validate({"kind": kind})])
    assert {*map(id, loss.parameters())} == {*map(id, student.parameters())}
    draw = drawn(teacher, student, 64)
    inputs = draw.z[:, None]
    if kind in losses.BY_PAIRS:
        assert draw.pairs is not None
        inputs = torch.stack([draw.z, draw.pairs], 1)
    value = loss(inputs, None)
    assert value.shape == (64,)
    torch.testing.assert_close(value, LOSSES[kind](draw))
    if kind != "kl":  # of a single draw, a ratio of densities may be below one
        assert (value > 0).all()
    value.mean().backward()
    moved = [p for p in student.parameters() if p.grad is not None and bool(p.grad.abs().sum())]
    assert len(moved) > 1
    assert all(bool(torch.isfinite(p.grad).all()) for p in moved if p.grad is not None)


@pytest.mark.parametrize("name", COUPLES)
def test_kl_is_the_mean_of_the_densities_ratio(name: str) -> None:
    teacher, student = couple(name)
    draw = drawn(teacher, student, 100)
    x, own = student.decode(draw.z)
    torch.testing.assert_close(losses.kl(draw), student.log_prob(x) - teacher.log_prob(x))
    torch.testing.assert_close(own, student.log_prob(x))


@pytest.mark.parametrize("name", ["one layer", pytest.param("waves", marks=pytest.mark.long)])
def test_the_closed_form_is_kl_with_less_noise(name: str) -> None:
    teacher, student = couple(name)
    n = 40_000
    draw = drawn(teacher, student, n)
    sampled, closed = losses.kl(draw), losses.conditional_kl(draw)
    gap = (sampled - closed).detach()
    assert float(gap.mean().abs()) < 4 * float(gap.std()) / n**0.5
    assert float(closed.detach().std()) < 0.8 * float(sampled.detach().std())
    noisy, exact = (gradient(value.mean(), student) for value in (sampled, closed))
    assert nn.functional.cosine_similarity(noisy, exact, dim=0) > 0.99
    assert float((noisy - exact).norm()) < 0.1 * float(exact.norm())


def test_what_counts_depends_on_how_far_training_is() -> None:
    teacher, student = couple("three layers")
    chosen = [
        LossRecipe(kind="student_path", weight=2.0, end=0.5),
        LossRecipe(kind="latents", start=0.5),
        LossRecipe(kind="kl", weight=0.1, start=0.25, end=0.8),
        LossRecipe(kind="kl", weight=0.2, start=0.8),
    ]
    loss = DistillationLoss(student, teacher, chosen)
    draw = drawn(teacher, student, 20)
    alone = {kind: LOSSES[kind](draw) for kind in ("student_path", "latents", "kl")}
    for progress, expected in (
        (0.0, 2 * alone["student_path"]),
        (0.3, 2 * alone["student_path"] + 0.1 * alone["kl"]),
        (0.7, alone["latents"] + 0.1 * alone["kl"]),
        (0.9, alone["latents"] + 0.2 * alone["kl"]),
    ):
        loss.progress = progress
        torch.testing.assert_close(loss(draw.z[:, None], None), expected)
    phases = []
    for progress in (0.0, 0.2, 0.25, 0.4, 0.5, 0.9):
        loss.progress = progress
        phases.append(loss.phase)
    assert phases == [
        *[(("student_path", 2.0),)] * 2,
        *[(("student_path", 2.0), ("kl", 0.1))] * 2,
        (("latents", 1.0), ("kl", 0.1)),
        (("latents", 1.0), ("kl", 0.2)),
    ]


@pytest.mark.parametrize(
    ("student", "words"),
    [
        (("iaf", {"transforms": 2, "hidden": [8]}), "expected 3 autoregressive layers, or a mult"),
        (("iaf", {"transforms": 3, "hidden": [8], "order": "random"}), "the order of the teacher"),
        (("iaf", {"transforms": 3, "linear": True}), "an inverted layer for the teacher's"),
        (("realnvp", {"transforms": 3}), "expected 3 autoregressive layers"),
        (("maf", {"transforms": 3}), "the student draws in many passes"),
        (("iaf", {"transforms": 3, "base": "logistic"}), "its teacher's base"),
    ],
)
def test_students_that_do_not_match_are_refused(
    student: tuple[str, dict[str, Any]], words: str
) -> None:
    teacher = zoo.build("maf", (D,), options={"transforms": 3, "hidden": [16, 16]})
    flow = zoo.build(student[0], (D,), options=student[1])
    with pytest.raises(TrainingError, match=words):
        DistillationLoss(flow, teacher, [LossRecipe(kind="teacher_path")])


def test_short_rows_have_no_spectra() -> None:
    student, teacher = (zoo.build(name, (31,), options=ONE_LAYER) for name in ("iaf", "maf"))
    with pytest.raises(TrainingError, match="of at least 32 values, not 31"):
        DistillationLoss(student, teacher, [LossRecipe(kind="spectra")])


@pytest.mark.parametrize(
    ("teacher", "kind", "words"),
    [
        (("iaf", {"transforms": 3}), "teacher_path", "the teacher scores in many passes"),
        (("realnvp", {"transforms": 3}), "teacher_path", "expected a teacher of autoregressive"),
        (("nsf-ar", ONE_LAYER | {"linear": False}), "conditional-kl", "for Gaussian conditionals"),
        (("nsf-ar", ONE_LAYER | {"linear": False}), "log-deviations", "for Gaussian conditionals"),
    ],
)
def test_teachers_that_cannot_teach_are_refused(
    teacher: tuple[str, dict[str, Any]], kind: str, words: str
) -> None:
    flow = zoo.build(teacher[0], (D,), options=teacher[1])
    student = zoo.build("iaf", (D,), options={"transforms": teacher[1]["transforms"]})
    with pytest.raises(TrainingError, match=words):
        DistillationLoss(student, flow, [LossRecipe.model_validate({"kind": kind})])
