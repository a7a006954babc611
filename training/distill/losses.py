"""Terms of a distillation's loss, each of rows in nats or, where it is a regression, like nats.

A student q and its teacher p are compared without the preprocessing that they share.
"""

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor

from models.flow import Flow
from training.distill import layer_matching as conditionals
from training.distill.layer_matching import Gaussians, Step, layers_of

# Samples of the windows of short-time spectra, where sequences are that long; hops are quarters.
WINDOWS = (32, 128, 512)

# What is added to a spectrum's magnitudes before their logarithm, in deviations of the data.
QUIET = 1e-2


class Draw:
    """Draws of the student, and what its teacher makes of them; each is computed when asked for.

    Args:
        student, teacher: without preprocessing.
        steps: of the teacher, and the student's in their place; empty where no term needs them.
        z: latents, batch × latent shape.
        context: batch × columns, exactly when the flows have one.
        pairs: what the teacher decodes the same latents to; None where no term needs it.
    """

    def __init__(
        self,
        student: Flow,
        teacher: Flow,
        steps: Sequence[Step],
        z: Tensor,
        context: Tensor | None,
        pairs: Tensor | None,
    ) -> None:
        self.student, self.teacher, self.steps = student, teacher, steps
        self.z, self.context, self.pairs = z, context, pairs

    @cached_property
    def drawn(self) -> tuple[Tensor, Tensor]:
        """What the student decodes the latents to, and its own log-density in nats."""
        return self.student.decode(self.z, self.context)

    @cached_property
    def judged(self) -> tuple[Tensor, Tensor]:
        """The teacher's latents of those draws, and its log-density in nats."""
        return self.teacher.encode(self.drawn[0], self.context)

    def gaussians(self, x: Tensor) -> list[tuple[Gaussians, Gaussians]]:
        """Student's and teacher's conditionals in each step of the teacher's way to its latents.

        Args:
            x: where the way starts, taken as it is: no gradient goes through it.
        """
        way: list[tuple[Step, Tensor, Gaussians]] = []
        steps = {step.place: step for step in self.steps}
        with torch.no_grad():
            seen = self.teacher.featured(self.context)
            for place, layer in enumerate(layers_of(self.teacher)):
                if (step := steps.get(place)) is None:
                    x, _ = layer.encode(x, None if layer.context_shape is None else seen)
                else:
                    theirs = conditionals.teachers(step, x, seen)
                    x = theirs.standardized(x)
                    way.append((step, x, theirs))
        features = self.student.featured(self.context)
        return [(conditionals.students(step, z, features), theirs) for step, z, theirs in way]


def kl(draw: Draw) -> Tensor:
    """KL(student‖teacher) by the student's draws, whose own density is exact."""
    return draw.drawn[1] - draw.judged[1]


def conditional_kl(draw: Draw) -> Tensor:
    """KL(student‖teacher) of one step, with each place's expectation in closed form.

    ClariNet (Ping et al. 2019, eq. 6): less noisy than `kl`, and its gradient is the same on
    average.
    """
    ours, theirs = _on_policy(draw)
    return ours.divergence(theirs).sum(1)


def log_deviations(draw: Draw) -> Tensor:
    """Squared differences of the log deviations of one step (ClariNet, eq. 7).

    They keep narrow conditionals from blowing up the gradients of a divergence.
    """
    ours, theirs = _on_policy(draw)
    return (ours.log_deviation - theirs.log_deviation).square().sum(1)


def _on_policy(draw: Draw) -> tuple[Gaussians, Gaussians]:
    (step,) = draw.steps
    ours = conditionals.students(step, draw.z, draw.student.featured(draw.context))
    x = ours.mean + torch.exp(ours.log_deviation) * draw.z.flatten(1)
    return ours, conditionals.teachers(step, x, draw.teacher.featured(draw.context))


def layers(draw: Draw) -> Tensor:
    """Divergence of each step's conditionals, along the teacher's way from its own draws.

    Each of the student's layers learns to undo its teacher's alone, so that a deep student trains
    as fast as a shallow one. Zero exactly where every layer does.
    """
    assert draw.pairs is not None
    found = [ours.divergence(theirs).sum(1) for ours, theirs in draw.gaussians(draw.pairs)]
    return torch.stack(found).sum(0)


def own_layers(draw: Draw) -> Tensor:
    """The same along the teacher's way from the student's draws.

    Of each place's divergence d it takes log(1 + d): d where that is small, and draws far from all
    that the teacher knows do not drown the others.
    """
    x = draw.drawn[0]  # with its gradient, which another term may want
    found = [torch.log1p(ours.divergence(theirs)).sum(1) for ours, theirs in draw.gaussians(x)]
    return torch.stack(found).sum(0)


def pairs(draw: Draw) -> Tensor:
    """Half the squared distance between what student and teacher make of the same latents."""
    assert draw.pairs is not None
    return 0.5 * (draw.drawn[0] - draw.pairs).square().flatten(1).sum(1)


def latents(draw: Draw) -> Tensor:
    """Half the squared distance of the latents from those that the teacher finds in the draws."""
    return 0.5 * (draw.judged[0] - draw.z).square().flatten(1).sum(1)


def spectra(draw: Draw) -> Tensor:
    """Distance of short-time spectra, in magnitude and its logarithm, over windows of all lengths.

    Of what student and teacher make of the same latents (Parallel WaveNet, van den Oord et al.
    2018, §4.2; ClariNet, §3.4); summed over the values of a row.
    """
    assert draw.pairs is not None
    ours, theirs = draw.drawn[0].flatten(1), draw.pairs.flatten(1)
    length = ours.shape[1]
    total = ours.new_zeros(len(ours))
    for window in (w for w in WINDOWS if w <= length):
        a, b = (_magnitudes(values, window) for values in (ours, theirs))
        distance = (a - b).square() + (torch.log(a + QUIET) - torch.log(b + QUIET)).abs()
        total = total + length * distance.mean((1, 2))
    return total


def _magnitudes(x: Tensor, window: int) -> Tensor:
    """Batch × T → batch × frequencies × frames."""
    shape = torch.hann_window(window, device=x.device, dtype=x.dtype)
    spectrum = torch.stft(x, window, window // 4, window=shape, return_complex=True)
    # not abs(), whose gradient at zero is not a number
    magnitude: Tensor = (spectrum.real**2 + spectrum.imag**2 + 1e-8).sqrt() / window**0.5
    return magnitude


TERMS: dict[str, Callable[[Draw], Tensor]] = {
    "kl": kl,
    "conditional-kl": conditional_kl,
    "log-deviations": log_deviations,
    "layers": layers,
    "own-layers": own_layers,
    "pairs": pairs,
    "latents": latents,
    "spectra": spectra,
}

BY_LAYERS = {"layers", "own-layers", "conditional-kl", "log-deviations"}
"""Terms of teachers and students that match layer by layer."""

BY_ONE_LAYER = {"conditional-kl", "log-deviations"}
"""Terms of teachers of one layer."""

BY_PAIRS = {"layers", "pairs", "spectra"}
"""Terms that need what the teacher makes of the latents."""

OF_LATENTS = BY_PAIRS | {"latents"}
"""Terms of students with their teacher's base."""
