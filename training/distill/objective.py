"""Distillation: a student that draws in one pass learns the density of a teacher that does not.

Parallel WaveNet (van den Oord et al. 2018) and ClariNet (Ping et al. 2019), for any teacher that
scores in one pass and any student that decodes in one.
"""

import math
import warnings
from collections.abc import Hashable

import torch
from torch import Tensor
from tqdm import tqdm

from models.bijection import Compose
from models.flow import Flow
from training.config import TermRecipe
from training.data import Dataset
from training.distill import layer_matching as conditionals
from training.distill.losses import (
    BY_LAYERS,
    BY_ONE_LAYER,
    BY_PAIRS,
    OF_LATENTS,
    TERMS,
    WINDOWS,
    Draw,
)
from training.errors import TrainingError
from training.fit import ALONE, Loss, Team, start
from training.runs import Run

ROWS_AT_ONCE = 1024

# the share of a training that is done when the last terms count
END = math.nextafter(1.0, 0.0)

# A GPU's time for the teacher's draws is that of launching kernels, however many rows they are of.
TAUGHT_AT_ONCE = {"cpu": ROWS_AT_ONCE, "cuda": 8192}


class Divergence(Loss):
    """The loss of a student's draws.

    Args:
        student, teacher: without preprocessing; the teacher is not trained.
        terms: of the loss.

    Raises:
        TrainingError: the student is none that this teacher can teach by these terms.
    """

    def __init__(self, student: Flow, teacher: Flow, terms: list[TermRecipe]) -> None:
        super().__init__()
        kinds: set[str] = {term.kind for term in terms}
        _check(student, teacher, kinds)
        self.student, self.terms, self.share = student, terms, 0.0
        self.steps = conditionals.steps(teacher, student) if kinds & BY_LAYERS else []
        if kinds & BY_ONE_LAYER and len(self.steps) > 1:
            raise TrainingError(
                f"{', '.join(sorted(kinds & BY_ONE_LAYER))} is for teachers of one layer, not "
                f"{len(self.steps)}: 'layers' is for more"
            )
        self._teacher = [teacher]  # a list: what is a module's own would be trained with it

    @property
    def counting(self) -> list[TermRecipe]:
        """The terms that count now."""
        return [term for term in self.terms if term.start <= self.share < term.end]

    @property
    def phase(self) -> Hashable:
        """Which those are, and what each is multiplied by."""
        return tuple((term.kind, term.weight) for term in self.counting)

    def draw(self, inputs: Tensor, context: Tensor | None) -> Draw:
        """Draws from latents, batch × 1 or 2 × latent shape, with what is paired with them."""
        z, *pairs = inputs.unbind(1)
        return Draw(
            self.student, self._teacher[0], self.steps, z, context, pairs[0] if pairs else None
        )

    def forward(self, inputs: Tensor, context: Tensor | None = None) -> Tensor:
        """The terms that count now, added up: batch."""
        draw = self.draw(inputs, context)
        return torch.stack([term.weight * TERMS[term.kind](draw) for term in self.counting]).sum(0)


class Distillation:
    """What a student learns of its teacher (`objective.Objective`).

    Args:
        run: the student's.
        flow: the student, on its device.
        teacher: a flow with the same preprocessing; it is put on that device.
        dataset: the teacher's data, of which contexts and first values are taken.
        team: the processes that train together.

    Raises:
        TrainingError: see `Divergence`.
    """

    def __init__(
        self, run: Run, flow: Flow, teacher: Flow, dataset: Dataset, team: Team = ALONE
    ) -> None:
        recipe = run.file.recipe.distill
        assert recipe is not None
        self.recipe, self.seed, self.team = recipe, run.file.recipe.fit.seed, team
        self.flow, self.dataset, self.rows = flow, dataset, recipe.rows
        if recipe.temperature != 1 and flow.base.name != "normal":
            raise TrainingError(f"temperature is of a normal base, not of a {flow.base.name} one")
        teacher = teacher.to(flow.like.device).eval().requires_grad_(False)
        fixed = len(run.file.flow.preprocessing)
        self.student, self.teacher = (without_first(part, fixed) for part in (flow, teacher))
        self.loss = Divergence(self.student, self.teacher, recipe.terms)
        self.contexts: Tensor | None = None
        if dataset.train.context is not None:
            self.contexts = torch.from_numpy(dataset.train.context).to(flow.like)
        by_pairs = any(term.kind in BY_PAIRS for term in recipe.terms)
        z, context = self._latents(recipe.validation_rows, self.seed + 1)
        inputs = z[:, None]
        if by_pairs and recipe.chosen_by == "loss":
            inputs, context = self._taught(z, context)
        held = team.share(len(inputs))
        self.validation = inputs[held], None if context is None else context[held]
        self.pool: tuple[Tensor, Tensor | None] | None = None
        if by_pairs:
            z, context = self._latents(recipe.rows, self.seed + 2)
            self.pool = self._taught(recipe.temperature * z, context)
            self.rows = len(self.pool[0])

    def start(self) -> None:
        """Begin with the teacher's linear maps and embeddings, where layers match."""
        start(self.flow, self.dataset, self.seed)
        if not self.loss.steps:
            return
        for theirs, ours in conditionals.shared_layers(self.teacher, self.student):
            ours.load_state_dict(theirs.state_dict())

    def batch(self, chosen: Tensor, share: float) -> tuple[Tensor, Tensor | None]:
        """Fresh latents and contexts; those of these numbers where they were paired before."""
        self.loss.share = share
        if self.pool is not None:
            pairs, context = self.pool
            return pairs[chosen], None if context is None else context[chosen]
        like, n = self.flow.like, len(chosen)
        z = self.recipe.temperature * self.flow.base.sample(n).to(like)
        context = None
        if self.contexts is not None:
            context = self.contexts[torch.randint(len(self.contexts), (n,)).to(like.device)]
        return z[:, None], context

    def score(self, flow: Flow) -> float:
        """Minus what the weights are chosen by, in nats, by draws that are always the same.

        Those that overflow do not count: `fidelity` says how many there are.
        """
        flow.eval()
        self.loss.share = END
        with torch.no_grad():
            parts = [
                self.loss(part, seen)
                if self.recipe.chosen_by == "loss"
                else TERMS["kl"](self.loss.draw(part, seen))
                for part, seen in batches(*self.validation)
            ]
        found = torch.cat(parts).double()
        found = found[torch.isfinite(found)]
        total, count = self.team.total(float(found.sum())), self.team.total(len(found))
        return -total / count if count else -math.inf

    def culprits(self, bad: Tensor) -> str:
        """How many draws have no finite loss: there is nothing to look at in them."""
        return f"{len(bad)} of the student's draws have no finite loss"

    def _taught(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Latents beside what the teacher makes of them, less those of which it makes no numbers.

        Batch × 2 × latent shape, and contexts.
        """
        rows = TAUGHT_AT_ONCE[z.device.type]
        parts = tqdm(batches(z, context, rows), "teacher's draws", unit_scale=rows, delay=5)
        with torch.no_grad():
            x = torch.cat([self.teacher.decode(part, seen)[0] for part, seen in parts])
        finite = torch.isfinite(x.flatten(1)).all(1)
        if lost := int((~finite).sum()):
            warnings.warn(
                f"{lost} of {len(x)} draws of the teacher overflow and are left out", stacklevel=2
            )
        pairs = torch.stack([z[finite], x[finite]], 1)
        return pairs, None if context is None else context[finite]

    def _latents(self, n: int, seed: int) -> tuple[Tensor, Tensor | None]:
        generator = torch.Generator().manual_seed(seed)
        z = self.flow.base.sample(n, generator).to(self.flow.like)
        if self.contexts is None:
            return z, None
        chosen = torch.randint(len(self.contexts), (n,), generator=generator)
        return z, self.contexts[chosen.to(z.device)]


def without_first(flow: Flow, layers: int) -> Flow:
    """The same flow, not a copy, from one of its layers on."""
    return Flow(flow.base, Compose(conditionals.layers_of(flow)[layers:]), flow.features)


def batches(
    z: Tensor, context: Tensor | None, rows: int = ROWS_AT_ONCE
) -> list[tuple[Tensor, Tensor | None]]:
    """Rows and their contexts, so many at once."""
    parts = torch.split(z, rows)
    if context is None:
        return [(part, None) for part in parts]
    return list(zip(parts, torch.split(context, rows), strict=True))


def _check(student: Flow, teacher: Flow, kinds: set[str]) -> None:
    """Whether the pair can be compared at all."""
    if teacher.bijection.encode_cost != "parallel":
        raise TrainingError("the teacher scores in many passes: give one that scores in one")
    if student.bijection.decode_cost != "parallel":
        raise TrainingError("the student draws in many passes: give one that draws in one")
    length = math.prod(student.bijection.event_shape)
    if "spectra" in kinds and length < WINDOWS[0]:
        raise TrainingError(
            f"spectra are of sequences of at least {WINDOWS[0]} values, not {length}"
        )
    bases = [(flow.base.name, flow.base.describe()) for flow in (student, teacher)]
    if kinds & (OF_LATENTS | BY_LAYERS) and bases[0] != bases[1]:
        raise TrainingError(
            f"a student that learns by {', '.join(sorted(kinds & (OF_LATENTS | BY_LAYERS)))} has "
            f"its teacher's base, {bases[1]}, not {bases[0]}"
        )
