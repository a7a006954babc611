"""Gaussian conditionals of a teacher's autoregressive layers, and of a student's in their place.

The inverse of an autoregressive layer with Gaussian conditionals is one of inverse autoregressive
layers of the same order: x_i = mean(z_<i) + deviation(z_<i) · z_i. So a student can learn each
layer of its teacher by itself, and its own divergence from it, place by place, has a closed form
(ClariNet, Ping et al. 2019, eq. 6).
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from models.bijection import Bijection, Compose, Inverted
from models.flow import Flow
from models.layers import CausalAutoregressive, MaskedAutoregressive
from models.numerics import Affine
from training.errors import TrainingError

Autoregressive = MaskedAutoregressive | CausalAutoregressive


class Step(NamedTuple):
    """One of the teacher's autoregressive layers, and the student's in its place.

    Args:
        place: of the layer among the teacher's.
        teacher: the layer.
        student: one inverse autoregressive layer or several, in the order of encoding.
    """

    place: int
    teacher: Autoregressive
    student: list[Autoregressive]


class Gaussians(NamedTuple):
    """Means and log standard deviations of one step, each batch × D."""

    mean: Tensor
    log_deviation: Tensor

    def standardized(self, x: Tensor) -> Tensor:
        """Deviations of x, batch × event shape, from the means."""
        deviations = (x.flatten(1) - self.mean) * torch.exp(-self.log_deviation)
        return deviations.view_as(x)

    def divergence(self, other: "Gaussians") -> Tensor:
        """KL(self‖other) of each place, in nats: batch × D."""
        log_ratio = self.log_deviation - other.log_deviation
        distance = (self.mean - other.mean) * torch.exp(-other.log_deviation)
        return 0.5 * (torch.exp(2 * log_ratio) + distance**2 - 1) - log_ratio


def teachers(step: Step, x: Tensor, context: Tensor | None) -> Gaussians:
    """What the teacher says of each place of x, given those before it."""
    univariate = step.teacher.univariate
    assert isinstance(univariate, Affine)
    return Gaussians(*univariate.mean_and_log_deviation(_theta(step.teacher, x, context)))


def students(step: Step, z: Tensor, context: Tensor | None) -> Gaussians:
    """What the student says of each place of x, given those of z before it."""
    z = z.flatten(1)
    x, log_deviation = z, torch.zeros_like(z)
    for layer in reversed(step.student):
        x, log_slope = layer.univariate.encode(x, _theta(layer, x, context))
        log_deviation = log_deviation + log_slope
    return Gaussians(x - z * torch.exp(log_deviation), log_deviation)


def _theta(layer: Autoregressive, x: Tensor, context: Tensor | None) -> Tensor:
    return layer.theta(x, None if layer.context_shape is None else context)


def steps(teacher: Flow, student: Flow) -> list[Step]:
    """Match a student's layers to its teacher's; both without preprocessing.

    Raises:
        TrainingError: they do not match; says what was expected.
    """
    theirs, ours = layers_of(teacher), layers_of(student)
    count = [sum(_is_autoregressive(layer) for layer in layers) for layers in (theirs, ours)]
    each, left_over = divmod(count[1], count[0] or 1)
    if not each or left_over:
        raise _mismatch(f"{count[0]} autoregressive layers, or a multiple, not {count[1]}")
    found, rest = [], iter(ours)
    for place, layer in enumerate(theirs):
        if isinstance(layer, Autoregressive):
            if not isinstance(layer.univariate, Affine):
                raise TrainingError("the teacher's conditionals are no Gaussians: use other terms")
            group = [_inside(next(rest, None), place, layer) for _ in range(each)]
            found.append(Step(place, layer, group))
        elif type(other := next(rest, None)) is not type(layer):
            kind = type(layer).__name__
            raise _mismatch(f"a layer of kind {kind} at place {place}, not {type(other).__name__}")
    if (other := next(rest, None)) is not None:
        raise _mismatch(f"no {type(other).__name__} after the last")
    return found


def shared_layers(teacher: Flow, student: Flow) -> Iterator[tuple[Bijection, Bijection]]:
    """Layers that are not autoregressive, teacher's and student's, of flows that match."""
    layers = (
        [layer for layer in layers_of(flow) if not _is_autoregressive(layer)]
        for flow in (teacher, student)
    )
    return zip(*layers, strict=True)


def layers_of(flow: Flow) -> list[Bijection]:
    """The layers of a flow, in the order of encoding."""
    assert isinstance(flow.bijection, Compose)
    return [layer for layer in flow.bijection.layers if isinstance(layer, Bijection)]


def _is_autoregressive(layer: Bijection) -> bool:
    inner = layer.bijection if isinstance(layer, Inverted) else layer
    return isinstance(inner, Autoregressive)


def _inside(layer: Bijection | None, place: int, teacher: Autoregressive) -> Autoregressive:
    """The layer that a student's layer inverts, which must go in the teacher's order."""
    inner = layer.bijection if isinstance(layer, Inverted) else None
    if not isinstance(inner, Autoregressive) or not isinstance(inner.univariate, Affine):
        raise _mismatch(f"an inverted affine layer for the teacher's layer {place}")
    if isinstance(inner, MaskedAutoregressive) and isinstance(teacher, MaskedAutoregressive):
        same = torch.equal(inner.order, teacher.order)
    elif isinstance(inner, CausalAutoregressive) and isinstance(teacher, CausalAutoregressive):
        same = inner.reverse == teacher.reverse
    else:
        same = False
    if not same:
        raise _mismatch(f"the order of the teacher's layer {place}, which it goes in another than")
    return inner


def _mismatch(expected: str) -> TrainingError:
    return TrainingError(
        f"the student does not match its teacher layer by layer: expected {expected}. Give it the "
        "teacher's transforms and order, or terms that do not go by layers"
    )
