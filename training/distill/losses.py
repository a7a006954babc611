"""The losses of a distillation, for each row in nats or, where it is a regression, like nats.

A student q and its teacher p are compared without the preprocessing that they share.
"""

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor

from models.flow import Flow
from training.distill.conditionals import (
    Gaussians,
    LayerOnPath,
    student_gaussians,
    teacher_gaussians,
    theta_of,
)
from training.distill.layer_matching import LayerMatch, layers_of

# Window lengths of short-time spectra, in samples, of those that fit a row; hops are quarters.
WINDOWS = (32, 128, 512)

# Added to the magnitudes of a spectrum before the logarithm, in deviations of the data.
MAGNITUDE_FLOOR = 1e-2


class StudentDraw:
    """Draws of a student and what the losses compare; each value is computed on first use.

    Args:
        student, teacher: without preprocessing.
        matches: the layers that match; empty where no loss needs them.
        z: latents, batch × latent shape.
        context: batch × columns, exactly when the flows have one.
        pairs: what the teacher decodes the same latents to; None where no loss needs it.
    """

    def __init__(
        self,
        student: Flow,
        teacher: Flow,
        matches: Sequence[LayerMatch],
        z: Tensor,
        context: Tensor | None,
        pairs: Tensor | None,
    ) -> None:
        self.student, self.teacher, self.matches = student, teacher, matches
        self.z, self.context, self.pairs = z, context, pairs

    @cached_property
    def decoded(self) -> tuple[Tensor, Tensor]:
        """What the student decodes the latents to, and its own log-density in nats."""
        return self.student.decode(self.z, self.context)

    @cached_property
    def teacher_encoded(self) -> tuple[Tensor, Tensor]:
        """What the teacher encodes those draws to, and its log-density in nats."""
        return self.teacher.encode(self.decoded[0], self.context)

    def divergences(self, x: Tensor) -> list[Tensor]:
        """KL of the conditionals in each layer on the path of x, in nats, each batch × D.

        The path is the sequence of values that the teacher's layers encode x to.

        Args:
            x: batch × event shape; no gradient goes through it.
        """
        path: list[LayerOnPath] = []
        matches = {match.teacher_index: match for match in self.matches}
        with torch.no_grad():
            features = self.teacher.featurize(self.context)
            for index, layer in enumerate(layers_of(self.teacher)):
                if (match := matches.get(index)) is None:
                    x, _ = layer.encode(x, None if layer.context_shape is None else features)
                else:
                    theta = theta_of(match.teacher, x, features)
                    x = match.teacher.univariate.encode(x.flatten(1), theta)[0].view_as(x)
                    path.append(LayerOnPath(match, x, theta))
        features = self.student.featurize(self.context)
        return [layer.divergence(features) for layer in path]


def kl(draw: StudentDraw) -> Tensor:
    """KL(student‖teacher), estimated by the student's draws and their exact densities."""
    return draw.decoded[1] - draw.teacher_encoded[1]


def conditional_kl(draw: StudentDraw) -> Tensor:
    """KL(student‖teacher) of one layer, with the expectation at each position in closed form.

    ClariNet (Ping et al. 2019, eq. 6): less noisy than `kl`, and its gradient has the same mean.
    """
    student, teacher = _conditionals_of_one_layer(draw)
    return student.divergence(teacher).sum(1)


def log_deviations(draw: StudentDraw) -> Tensor:
    """Squared differences of the log deviations of one layer (ClariNet, eq. 7).

    They keep the gradients of a divergence bounded where conditionals are narrow.
    """
    student, teacher = _conditionals_of_one_layer(draw)
    return (student.log_deviation - teacher.log_deviation).square().sum(1)


def _conditionals_of_one_layer(draw: StudentDraw) -> tuple[Gaussians, Gaussians]:
    """The conditionals of student and teacher at the student's draws, with their gradients."""
    (match,) = draw.matches
    student = student_gaussians(match, draw.z, draw.student.featurize(draw.context))
    x = student.mean + torch.exp(student.log_deviation) * draw.z.flatten(1)
    theta = theta_of(match.teacher, x, draw.teacher.featurize(draw.context))
    return student, teacher_gaussians(match, theta)


def teacher_path(draw: StudentDraw) -> Tensor:
    """Divergence of the conditionals of each layer, along the paths of the teacher's draws.

    Each layer of the student learns separately to invert its layer of the teacher, so that a deep
    student trains as fast as a shallow one. It is zero exactly where every layer does.
    """
    assert draw.pairs is not None
    return torch.stack([layer.sum(1) for layer in draw.divergences(draw.pairs)]).sum(0)


def student_path(draw: StudentDraw) -> Tensor:
    """The logarithm of one plus that divergence, along the paths of the student's draws.

    Of the divergence d at each position it takes log(1 + d), which is about d where that is small:
    draws that are far from all data of the teacher do not outweigh the others.
    """
    # with its gradient, for other losses that use it
    layers = draw.divergences(draw.decoded[0])
    return torch.stack([torch.log1p(layer).sum(1) for layer in layers]).sum(0)


def pairs(draw: StudentDraw) -> Tensor:
    """Half the squared distance between what student and teacher decode the same latents to."""
    assert draw.pairs is not None
    return 0.5 * (draw.decoded[0] - draw.pairs).square().flatten(1).sum(1)


def latents(draw: StudentDraw) -> Tensor:
    """Half the squared distance of the latents from those that the teacher encodes the draws to."""
    return 0.5 * (draw.teacher_encoded[0] - draw.z).square().flatten(1).sum(1)


def spectra(draw: StudentDraw) -> Tensor:
    """Distance of short-time spectra, in magnitude and log-magnitude, over all window lengths.

    The spectra are of what student and teacher decode the same latents to (Parallel WaveNet, van
    den Oord et al. 2018, §4.2; ClariNet, §3.4). The mean over a spectrum is multiplied by the
    number of values of a row.
    """
    assert draw.pairs is not None
    student, teacher = draw.decoded[0].flatten(1), draw.pairs.flatten(1)
    length = student.shape[1]
    total = student.new_zeros(len(student))
    for window in (w for w in WINDOWS if w <= length):
        a, b = (_magnitudes(values, window) for values in (student, teacher))
        log_distance = torch.log(a + MAGNITUDE_FLOOR) - torch.log(b + MAGNITUDE_FLOOR)
        distance = (a - b).square() + log_distance.abs()
        total = total + length * distance.mean((1, 2))
    return total


def _magnitudes(x: Tensor, window: int) -> Tensor:
    """Short-time magnitudes: batch × T → batch × frequencies × frames."""
    shape = torch.hann_window(window, device=x.device, dtype=x.dtype)
    spectrum = torch.stft(x, window, window // 4, window=shape, return_complex=True)
    # not abs(), whose gradient at zero is not a number
    magnitude: Tensor = (spectrum.real**2 + spectrum.imag**2 + 1e-8).sqrt() / window**0.5
    return magnitude


LOSSES: dict[str, Callable[[StudentDraw], Tensor]] = {
    "kl": kl,
    "conditional-kl": conditional_kl,
    "log-deviations": log_deviations,
    "teacher_path": teacher_path,
    "student_path": student_path,
    "pairs": pairs,
    "latents": latents,
    "spectra": spectra,
}

BY_LAYERS = {"teacher_path", "student_path", "conditional-kl", "log-deviations"}
"""Losses of teachers and students that match layer by layer."""

BY_ONE_LAYER = {"conditional-kl", "log-deviations"}
"""Losses of teachers and students of one layer with Gaussian conditionals."""

BY_PAIRS = {"teacher_path", "pairs", "spectra"}
"""Losses that need what the teacher decodes the latents to."""

OF_LATENTS = BY_PAIRS | {"latents"}
"""Losses of students that have the base of their teacher."""
