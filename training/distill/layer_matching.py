"""Which layers of a student stand for which autoregressive layers of its teacher."""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from models.bijection import Bijection, Compose, Inverted
from models.flow import Flow
from models.layers import (
    Autoregressive,
    CausalAutoregressive,
    MaskedAutoregressive,
    TransformerAutoregressive,
)
from models.numerics import Affine
from training.errors import TrainingError

Ordered = MaskedAutoregressive | TransformerAutoregressive


class LayersDifferError(TrainingError):
    """The layers of a student do not correspond to those of its teacher.

    Args:
        expected: what would correspond, and what there is.
    """

    def __init__(self, expected: str) -> None:
        self.expected = expected
        super().__init__(
            f"the student does not match its teacher layer by layer: expected {expected}. Give it "
            "the teacher's transforms and order, or losses that do not match layers"
        )


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

    @property
    def is_gaussian(self) -> bool:
        """Whether the conditionals of all these layers are Gaussians, given normal latents."""
        layers = [self.teacher, *self.student]
        return all(isinstance(layer.univariate, Affine) for layer in layers)


def match_layers(teacher: Flow, student: Flow) -> list[LayerMatch]:
    """Match the layers of a student to those of its teacher; both without preprocessing.

    Raises:
        LayersDifferError: they do not match; the message says what was expected.
    """
    teacher_layers, student_layers = layers_of(teacher), layers_of(student)
    teacher_count, student_count = (
        sum(_is_autoregressive(layer) for layer in layers)
        for layers in (teacher_layers, student_layers)
    )
    per_layer, left_over = divmod(student_count, teacher_count or 1)
    if not teacher_count:
        raise LayersDifferError("a teacher of autoregressive layers")
    if not per_layer or left_over:
        raise LayersDifferError(
            f"{teacher_count} autoregressive layers, or a multiple, not {student_count}"
        )
    matches, remaining = [], iter(student_layers)
    for index, layer in enumerate(teacher_layers):
        if isinstance(layer, Autoregressive):
            group = [_inverted_layer(next(remaining, None), index, layer) for _ in range(per_layer)]
            matches.append(LayerMatch(index, layer, group))
        elif type(other := next(remaining, None)) is not type(layer):
            kind = type(layer).__name__
            raise LayersDifferError(
                f"a layer of kind {kind} at index {index}, not {type(other).__name__}"
            )
    if (other := next(remaining, None)) is not None:
        raise LayersDifferError(f"no {type(other).__name__} after the last layer")
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
        LayersDifferError: it is no inverted layer, or its order is not that of the teacher's.
    """
    inner = layer.bijection if isinstance(layer, Inverted) else None
    if not isinstance(inner, Autoregressive):
        raise LayersDifferError(f"an inverted layer for the teacher's layer {index}")
    if isinstance(inner, Ordered) and isinstance(teacher, Ordered):
        same_order = torch.equal(inner.order, teacher.order)
    elif isinstance(inner, CausalAutoregressive) and isinstance(teacher, CausalAutoregressive):
        same_order = inner.reverse == teacher.reverse
    else:
        same_order = False
    if not same_order:
        raise LayersDifferError(
            f"the order of the teacher's layer {index} in the student's, not another"
        )
    return inner
