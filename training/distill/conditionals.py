"""The conditionals of a teacher's layers, and of the student's matching layers.

The inverse of an autoregressive layer is an inverse autoregressive layer of the same order: with
the value x_i = g(z_i; z_<i) of the student and the latent f(x_i; x_<i) of the teacher, the layer is
inverted where r = f(g(z)) is z at each position, given what both have read before it. So a student
can learn each layer of its teacher separately.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from models.layers import Autoregressive
from models.numerics import Affine
from training.distill.layer_matching import LayerMatch

# Latents at which two maps of a position are compared: its own, and those of as many other rows of
# the batch less one. The parameters of the maps, which take a network's time, are the same for all.
LATENTS_PER_POSITION = 4


class Gaussians(NamedTuple):
    """Means and log standard deviations of the conditionals of one layer, each batch × D."""

    mean: Tensor
    log_deviation: Tensor

    def divergence(self, other: "Gaussians") -> Tensor:
        """KL(self‖other) at each position, in nats: batch × D."""
        log_ratio = self.log_deviation - other.log_deviation
        distance = (self.mean - other.mean) * torch.exp(-other.log_deviation)
        return 0.5 * (torch.exp(2 * log_ratio) + distance**2 - 1) - log_ratio


class LayerOnPath(NamedTuple):
    """A layer of the teacher where a path of values goes through it.

    Args:
        match: the layer, and the student's.
        z: what the teacher's layer encodes the values to: batch × event shape.
        theta: parameters of the teacher's maps there: batch × D × size.
    """

    match: LayerMatch
    z: Tensor
    theta: Tensor

    def divergence(self, context: Tensor | None) -> Tensor:
        """KL of the student's conditional at each position from the teacher's, in nats.

        Of Gaussians it has a closed form (ClariNet, Ping et al. 2019, eq. 6). Of other maps it is
        an estimate that is never below zero, and zero where the maps are inverse to each other: by
        Stein's identity, E[z (r − z)] = E[r' − 1] of normal z, the divergence
        E[½ (r² − z²) − log r'] is E[½ (r − z)² + r' − 1 − log r'].

        Args:
            context: batch × features of the student, exactly when it has a context.

        Returns:
            Batch × D.
        """
        if self.match.is_gaussian:
            student = student_gaussians(self.match, self.z, context)
            return student.divergence(teacher_gaussians(self.match, self.theta))
        own = self.z.flatten(1)
        z = torch.stack([own.roll(rows, 0) for rows in range(LATENTS_PER_POSITION)])
        x, log_slope = _student_values(self.match, z, context)
        r, log_teacher_slope = self.match.teacher.univariate.encode(x, self.theta[None])
        log_slope = log_slope + log_teacher_slope
        return (0.5 * (r - z).square() + torch.expm1(log_slope) - log_slope).mean(0)


def teacher_gaussians(match: LayerMatch, theta: Tensor) -> Gaussians:
    """The teacher's conditionals where its maps have these parameters: batch × D × 2."""
    univariate = match.teacher.univariate
    assert isinstance(univariate, Affine)
    return Gaussians(*univariate.mean_and_log_deviation(theta))


def student_gaussians(match: LayerMatch, z: Tensor, context: Tensor | None) -> Gaussians:
    """The student's conditional of each position of x, given the positions of z before it."""
    z = z.flatten(1)
    (x,), (log_deviation,) = _student_values(match, z[None], context)
    return Gaussians(x - z * torch.exp(log_deviation), log_deviation)


def theta_of(layer: Autoregressive, x: Tensor, context: Tensor | None) -> Tensor:
    """The parameters of a layer's univariate maps: batch × D × size."""
    return layer.theta(x, None if layer.context_shape is None else context)


def _student_values(match: LayerMatch, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """What the student decodes latents to, given the positions of the first of them.

    Args:
        match: layers that match.
        z: latents of each position, any number × batch × D.
        context: batch × features, exactly when the student has a context.

    Returns:
        x and log|dx/dz|, each of the shape of z.
    """
    x, log_slope = z, torch.zeros_like(z)
    for layer in reversed(match.student):
        theta = theta_of(layer, x[0], context)
        x, log_slope_of_layer = layer.univariate.encode(x, theta[None])
        log_slope = log_slope + log_slope_of_layer
    return x, log_slope
