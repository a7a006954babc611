"""Gaussian conditionals of a teacher's autoregressive layers, and of the student's matching layers.

The inverse of an autoregressive layer with Gaussian conditionals is an inverse autoregressive
layer of the same order: x_i = mean(z_<i) + deviation(z_<i) · z_i. So a student can learn each layer
of its teacher separately, and its divergence from that layer has a closed form at each position
(ClariNet, Ping et al. 2019, eq. 6).
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from models.bijection import Bijection, Compose, Inverted
from models.flow import Flow
from models.layers import (
    CausalAutoregressive,
    MaskedAutoregressive,
    TransformerAutoregressive,
)
from models.numerics import Affine
from training.errors import TrainingError

Ordered = MaskedAutoregressive | TransformerAutoregressive
Autoregressive = Ordered | CausalAutoregressive


class LayerMatch(NamedTuple):
    """An autoregressive layer of the teacher, and the layers of the student that stand for it.

    Args:
        teacher_index: index of the layer among those of the teacher.
        teacher: the layer.
        student: one inverse autoregressive layer or several, in the order of encoding.
    """

    teacher_index: int
    teacher: Autoregressive
    student: list[Autoregressive]


class Gaussians(NamedTuple):
    """Means and log standard deviations of the conditionals of one layer, each batch × D."""

    mean: Tensor
    log_deviation: Tensor

    def standardized(self, x: Tensor) -> Tensor:
        """How many deviations x, batch × event shape, lies from the means."""
        deviations = (x.flatten(1) - self.mean) * torch.exp(-self.log_deviation)
        return deviations.view_as(x)

    def divergence(self, other: "Gaussians") -> Tensor:
        """KL(self‖other) at each position, in nats: batch × D."""
        log_ratio = self.log_deviation - other.log_deviation
        distance = (self.mean - other.mean) * torch.exp(-other.log_deviation)
        return 0.5 * (torch.exp(2 * log_ratio) + distance**2 - 1) - log_ratio


def teacher_conditionals(match: LayerMatch, x: Tensor, context: Tensor | None) -> Gaussians:
    """The teacher's conditional of each position of x, given the positions before it."""
    univariate = match.teacher.univariate
    assert isinstance(univariate, Affine)
    return Gaussians(*univariate.mean_and_log_deviation(_theta(match.teacher, x, context)))


def student_conditionals(match: LayerMatch, z: Tensor, context: Tensor | None) -> Gaussians:
    """The student's conditional of each position of x, given the positions of z before it."""
    z = z.flatten(1)
    x, log_deviation = z, torch.zeros_like(z)
    for layer in reversed(match.student):
        x, log_slope = layer.univariate.encode(x, _theta(layer, x, context))
        log_deviation = log_deviation + log_slope
    return Gaussians(x - z * torch.exp(log_deviation), log_deviation)


def _theta(layer: Autoregressive, x: Tensor, context: Tensor | None) -> Tensor:
    """The parameters of a layer's univariate maps: batch × D × size."""
    return layer.theta(x, None if layer.context_shape is None else context)


def match_layers(teacher: Flow, student: Flow) -> list[LayerMatch]:
    """Match the layers of a student to those of its teacher; both without preprocessing.

    Raises:
        TrainingError: they do not match; the message says what was expected.
    """
    teacher_layers, student_layers = layers_of(teacher), layers_of(student)
    teacher_count, student_count = (
        sum(_is_autoregressive(layer) for layer in layers)
        for layers in (teacher_layers, student_layers)
    )
    per_layer, left_over = divmod(student_count, teacher_count or 1)
    if not per_layer or left_over:
        raise _mismatch(
            f"{teacher_count} autoregressive layers, or a multiple, not {student_count}"
        )
    matches, remaining = [], iter(student_layers)
    for index, layer in enumerate(teacher_layers):
        if isinstance(layer, Autoregressive):
            if not isinstance(layer.univariate, Affine):
                raise TrainingError("the teacher's conditionals are no Gaussians: use other losses")
            group = [_inverted_layer(next(remaining, None), index, layer) for _ in range(per_layer)]
            matches.append(LayerMatch(index, layer, group))
        elif type(other := next(remaining, None)) is not type(layer):
            kind = type(layer).__name__
            raise _mismatch(f"a layer of kind {kind} at index {index}, not {type(other).__name__}")
    if (other := next(remaining, None)) is not None:
        raise _mismatch(f"no {type(other).__name__} after the last layer")
    return matches


def shared_layers(teacher: Flow, student: Flow) -> Iterator[tuple[Bijection, Bijection]]:
    """Pairs of layers that are not autoregressive, the teacher's first, of flows that match."""
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


def _inverted_layer(layer: Bijection | None, index: int, teacher: Autoregressive) -> Autoregressive:
    """The layer inside an inverted layer of the student.

    Raises:
        TrainingError: it is no inverted affine layer, or its order is not that of the teacher's.
    """
    inner = layer.bijection if isinstance(layer, Inverted) else None
    if not isinstance(inner, Autoregressive) or not isinstance(inner.univariate, Affine):
        raise _mismatch(f"an inverted affine layer for the teacher's layer {index}")
    if isinstance(inner, Ordered) and isinstance(teacher, Ordered):
        same_order = torch.equal(inner.order, teacher.order)
    elif isinstance(inner, CausalAutoregressive) and isinstance(teacher, CausalAutoregressive):
        same_order = inner.reverse == teacher.reverse
    else:
        same_order = False
    if not same_order:
        raise _mismatch(f"the order of the teacher's layer {index} in the student's, not another")
    return inner


def _mismatch(expected: str) -> TrainingError:
    return TrainingError(
        f"the student does not match its teacher layer by layer: expected {expected}. Give it the "
        "teacher's transforms and order, or losses that do not match layers"
    )
