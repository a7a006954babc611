"""Distillation: a student that draws in one pass learns the density of a teacher that does not.

Parallel WaveNet (van den Oord et al. 2018) and ClariNet (Ping et al. 2019), for any teacher that
scores in one pass and any student that decodes in one.
"""

import math
import warnings
from collections.abc import Hashable

import torch
from torch import Tensor

from models.bijection import Compose
from models.density import Density
from models.flow import Flow
from training.config import LossRecipe
from training.data import Dataset
from training.distill.layer_matching import (
    LayerMatch,
    layers_of,
    match_layers,
    shared_layers,
)
from training.distill.losses import (
    BY_LAYERS,
    BY_ONE_LAYER,
    BY_PAIRS,
    LOSSES,
    OF_LATENTS,
    WINDOWS,
    StudentDraw,
)
from training.errors import RunError, TrainingError
from training.fit import SINGLE_PROCESS, Loss, Processes, initialize_from_data
from training.progress import progress_bar
from training.runs import Run

ROWS_AT_ONCE = 1024

# On a GPU the teacher's draws take the time of launching kernels, however many rows these compute.
TEACHER_ROWS_AT_ONCE = {"cpu": ROWS_AT_ONCE, "cuda": 8192}

# The largest progress below 1, at which the losses that last to the end count.
END_OF_TRAINING = math.nextafter(1.0, 0.0)


class BasesDifferError(TrainingError):
    """A student has another base than its teacher, whose latents it would learn from."""


class DistillationLoss(Loss):
    """The weighted sum of the losses of a student's draws.

    Args:
        student, teacher: without preprocessing; the teacher is not trained.
        losses: those to add up.

    Raises:
        TrainingError: the student cannot learn from this teacher by these losses.
    """

    def __init__(self, student: Flow, teacher: Flow, losses: list[LossRecipe]) -> None:
        super().__init__()
        kinds: set[str] = {loss.kind for loss in losses}
        _check(student, teacher, kinds)
        self.student, self.losses, self.progress = student, losses, 0.0
        self.matches = match_layers(teacher, student) if kinds & BY_LAYERS else []
        if of_one := kinds & BY_ONE_LAYER:
            _check_one_layer(self.matches, ", ".join(sorted(of_one)))
        self._teacher = [teacher]  # in a list, so that its parameters are not those of this module

    @property
    def current(self) -> list[LossRecipe]:
        """The losses that count at this progress of the training."""
        return [loss for loss in self.losses if loss.start <= self.progress < loss.end]

    @property
    def phase(self) -> Hashable:
        """The kinds and weights of the losses that count."""
        return tuple((loss.kind, loss.weight) for loss in self.current)

    def draw(self, inputs: Tensor, context: Tensor | None) -> StudentDraw:
        """Draws from latents, and from what is paired with them, batch × 1 or 2 × latent shape."""
        z, *pairs = inputs.unbind(1)
        teacher = self._teacher[0]
        paired = pairs[0].reshape(len(z), *teacher.event_shape) if pairs else None
        return StudentDraw(self.student, teacher, self.matches, z, context, paired)

    def forward(self, inputs: Tensor, context: Tensor | None = None) -> Tensor:
        """The sum of the losses that count: batch."""
        draw = self.draw(inputs, context)
        return torch.stack([loss.weight * LOSSES[loss.kind](draw) for loss in self.current]).sum(0)


class Distillation:
    """What a student learns from its teacher (`objective.Objective` of `training.fit`).

    Args:
        run: the run of the student.
        flow: the student, on its device.
        teacher: a flow with the same preprocessing, which is moved to that device.
        dataset: the data of the teacher, for contexts and for initial values.
        processes: those that train together.

    Raises:
        TrainingError: see `DistillationLoss`.
        RunError: the run names no losses.
    """

    def __init__(
        self,
        run: Run,
        flow: Flow,
        teacher: Flow,
        dataset: Dataset,
        processes: Processes = SINGLE_PROCESS,
    ) -> None:
        recipe = run.file.recipe.distill
        assert recipe is not None
        if recipe.losses is None:  # which `choice.with_losses` fills in
            raise RunError(f"{run.folder / 'run.json'} is damaged: it names no losses")
        self.recipe, self.seed, self.processes = recipe, run.file.recipe.fit.seed, processes
        self.flow, self.dataset, self.rows = flow, dataset, recipe.rows
        teacher = teacher.to(flow.like.device).eval().requires_grad_(False)
        fixed = len(run.flow_spec.preprocessing)
        self.student, self.teacher = (without_first(f, fixed) for f in (flow, teacher))
        self.loss = DistillationLoss(self.student, self.teacher, recipe.losses)
        self.contexts: Tensor | None = None
        if dataset.train.context is not None:
            self.contexts = torch.from_numpy(dataset.train.context).to(flow.like)
        by_pairs = any(loss.kind in BY_PAIRS for loss in recipe.losses)
        z, context = self._latents(recipe.validation_rows, self.seed + 1)
        inputs = z[:, None]
        if by_pairs and recipe.chosen_by == "loss":
            inputs, context = self._pair(z, context)
        shard = processes.shard(len(inputs))
        self.validation = inputs[shard], None if context is None else context[shard]
        self.pool: tuple[Tensor, Tensor | None] | None = None
        if by_pairs:
            z, context = self._latents(recipe.rows, self.seed + 2)
            self.pool = self._pair(recipe.temperature * z, context)
            self.rows = len(self.pool[0])

    def initialize_from_data(self) -> None:
        """Initialize from data, then copy the teacher's linear maps where the layers match."""
        initialize_from_data(self.flow, self.dataset, self.seed)
        if not self.loss.matches:
            return
        for teacher, student in shared_layers(self.teacher, self.student):
            student.load_state_dict(teacher.state_dict())

    def batch(self, rows: Tensor, progress: float) -> tuple[Tensor, Tensor | None]:
        """Latents and contexts: those of the pool, with their pairs, or fresh ones without."""
        self.loss.progress = progress
        if self.pool is not None:
            inputs, context = self.pool
            return inputs[rows], None if context is None else context[rows]
        like, n = self.flow.like, len(rows)
        z = self.recipe.temperature * self.flow.base.sample(n).to(like)
        context = None
        if self.contexts is not None:
            context = self.contexts[torch.randint(len(self.contexts), (n,)).to(like.device)]
        return z[:, None], context

    def score(self, flow: Density) -> float:
        """Minus what the weights are chosen by, in nats, over draws of the same latents each time.

        Draws that overflow are left out; `fidelity` reports how many there are.
        """
        flow.eval()
        self.loss.progress = END_OF_TRAINING
        with torch.no_grad():
            chunks = [
                self.loss(z, context)
                if self.recipe.chosen_by == "loss"
                else LOSSES["kl"](self.loss.draw(z, context))
                for z, context in batches(*self.validation)
            ]
        losses = torch.cat(chunks).double()
        losses = losses[torch.isfinite(losses)]
        total = self.processes.all_reduce_sum(float(losses.sum()))
        count = self.processes.all_reduce_sum(len(losses))
        return -total / count if count else -math.inf

    def describe_rows(self, rows: Tensor) -> str:
        """How many draws have no finite loss; their numbers mean nothing to a user."""
        return f"{len(rows)} of the student's draws have no finite loss"

    def _pair(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Latents beside what the teacher decodes them to, without the draws that overflow.

        Returns:
            Batch × 2 × latent shape, and the contexts.
        """
        rows = TEACHER_ROWS_AT_ONCE[z.device.type]
        chunks = progress_bar(
            batches(z, context, rows), desc="teacher's draws", unit_scale=rows, delay=5
        )
        with torch.no_grad():
            x = torch.cat([self.teacher.decode(*chunk)[0] for chunk in chunks])
        finite = torch.isfinite(x.flatten(1)).all(1)
        if overflowing := int((~finite).sum()):
            warnings.warn(
                f"{overflowing} of {len(x)} draws of the teacher overflow and are left out",
                stacklevel=2,
            )
        pairs = torch.stack([z[finite], x[finite].view_as(z[finite])], 1)
        return pairs, None if context is None else context[finite]

    def _latents(self, n: int, seed: int) -> tuple[Tensor, Tensor | None]:
        """Latents and contexts that depend on the seed alone: n × latent shape, n × columns."""
        generator = torch.Generator().manual_seed(seed)
        z = self.flow.base.sample(n, generator).to(self.flow.like)
        if self.contexts is None:
            return z, None
        rows = torch.randint(len(self.contexts), (n,), generator=generator)
        return z, self.contexts[rows.to(z.device)]


def without_first(flow: Flow, layers: int) -> Flow:
    """The same flow without its first layers; the others are shared, not copied."""
    return Flow(flow.base, Compose(layers_of(flow)[layers:]), flow.features)


def batches(
    z: Tensor, context: Tensor | None, rows: int = ROWS_AT_ONCE
) -> list[tuple[Tensor, Tensor | None]]:
    """Split latents and their contexts into batches of so many rows."""
    latents = torch.split(z, rows)
    if context is None:
        return [(batch, None) for batch in latents]
    return list(zip(latents, torch.split(context, rows), strict=True))


def _check_one_layer(matches: list[LayerMatch], kinds: str) -> None:
    """Refuse layers that losses of these kinds do not compare."""
    if len(matches) > 1:
        raise TrainingError(
            f"{kinds} is for teachers of one layer, not {len(matches)}: 'teacher_path' is for more"
        )
    if not matches[0].is_gaussian:
        raise TrainingError(
            f"{kinds} is for Gaussian conditionals, univariate = 'affine' of teacher and student: "
            "'teacher_path' is for any"
        )


def _check(student: Flow, teacher: Flow, kinds: set[str]) -> None:
    """Refuse flows that cannot be compared by these kinds of losses."""
    if teacher.bijection.encode_cost != "parallel":
        raise TrainingError("the teacher scores in many passes: give one that scores in one")
    if student.bijection.decode_cost != "parallel":
        raise TrainingError("the student draws in many passes: give one that draws in one")
    length = math.prod(student.bijection.event_shape)
    if "spectra" in kinds and length < WINDOWS[0]:
        raise TrainingError(
            f"spectra are of sequences of at least {WINDOWS[0]} values, not {length}"
        )
    if of_latents := sorted(kinds & (OF_LATENTS | BY_LAYERS)):
        _check_latents(student, teacher, ", ".join(of_latents))


def _check_latents(student: Flow, teacher: Flow, kinds: str) -> None:
    """Refuse flows whose latents do not mean the same, for losses of these kinds."""
    expected, found = teacher.base.name, student.base.name
    if expected == found and teacher.base.describe() != student.base.describe():
        found = "one of other base_options"
    if teacher.latent_shape != student.latent_shape:
        expected, found = (f"of shape {f.latent_shape}" for f in (teacher, student))
    if expected != found:
        raise BasesDifferError(
            f"a student that learns by {kinds} has its teacher's base, {expected}, not {found}"
        )
