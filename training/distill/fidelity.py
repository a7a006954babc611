"""How close a student is to its teacher."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.flow import Flow
from service.bundle import Fidelity, Figure
from training.data import Dataset
from training.distill.objective import batches
from training.distill.two_sample import accuracy
from training.evaluate import EVALUATION, evaluation_options
from training.files import write_atomically
from training.runs import Run, keep, kept
from training.scoring import log_prob, row_flops, rows_at_once, threads_for

# Draws of the student and of the teacher. Long rows, which take a teacher long, are limited to
# MAX_VALUES in all, and those of much arithmetic to MAX_FLOPS in a pass of both: a WaveNet of
# sounds takes 0.2 s of a core for each row, in each of three directions that go value by value.
# But MIN_ROWS are needed for standard errors and for both halves of the classifiers' rows.
ROWS, MIN_ROWS, MAX_VALUES, MAX_FLOPS = 5000, 100, 2_000_000, 2**40

# The name of what is kept.
FIDELITY = "fidelity"


def measured_fidelity(run: Run, dataset: Dataset) -> Fidelity:
    """The figures that `measure_fidelity` has kept of these weights, or makes now."""
    figures = kept(run, FIDELITY, _options_of(run))
    return measure_fidelity(run, dataset) if figures is None else Fidelity.model_validate(figures)


def measure_fidelity(run: Run, dataset: Dataset) -> Fidelity:
    """Compare the best weights of a student with its teacher; save the figures in the run folder.

    Args:
        run: the run of the student.
        dataset: the data of its teacher; contexts are those of its test rows.

    Raises:
        RunError: the teacher's run is gone or has other weights.
    """
    teacher_run = run.teacher()
    student, teacher = run.best_flow(), teacher_run.best_flow()
    seed = run.file.recipe.fit.seed
    generator = torch.Generator().manual_seed(seed + 3)
    contexts = None if dataset.test.context is None else torch.from_numpy(dataset.test.context)
    n = math.prod(dataset.event_shape)
    flops = sum(row_flops(flow) or 0 for flow in (student, teacher))
    rows = min(ROWS, max(MIN_ROWS, min(MAX_VALUES // n, MAX_FLOPS // max(1, flops))))
    of_student = _draw(rows, student, teacher, contexts, generator)
    of_teacher = _draw(rows, teacher, student, contexts, generator)
    of_teacher_again = _draw(rows, teacher, None, contexts, generator)
    draws = (of_student, of_teacher, of_teacher_again)
    fidelity = Fidelity(
        rows=rows,
        overflowing=sum(rows - len(scored.x) for scored in draws),
        kl_student_teacher=_figure((of_student.log_prob - of_student.other_log_prob) / n),
        kl_teacher_student=_figure((of_teacher.log_prob - of_teacher.other_log_prob) / n),
        teacher_of_student=_figure(of_student.other_log_prob),
        teacher_of_teacher=_figure(of_teacher.log_prob),
        teacher_held_out=_held_out_score(teacher_run, teacher, dataset, run),
        two_sample=accuracy(of_student.x, of_teacher.x),
        two_sample_of_teacher=accuracy(of_teacher_again.x, of_teacher.x),
    )
    write_atomically(run.folder / "fidelity.json", fidelity.model_dump_json(indent=2).encode())
    keep(run, FIDELITY, _options_of(run), fidelity.model_dump(mode="json"))
    return fidelity


def _options_of(run: Run) -> dict[str, Any]:
    """What the figures depend on beside the student's weights and the data."""
    teacher, fit = run.file.teacher, run.file.recipe.fit
    assert teacher is not None
    return {"teacher": teacher.sha256, "noise_copies": fit.noise_copies, "seed": fit.seed}


def _held_out_score(teacher_run: Run, teacher: Flow, dataset: Dataset, run: Run) -> Figure:
    """The teacher's score of the held-out rows: of its own evaluation, where that is kept."""
    figures = kept(teacher_run, EVALUATION, evaluation_options(teacher_run))
    if figures is not None:
        return Figure(mean=figures["log_prob"], se=figures["se"])
    fit, test = run.file.recipe.fit, dataset.test
    noisy = dataset.noisy(test.rows, fit.noise_copies, fit.seed + 1)
    return _figure(log_prob(teacher, noisy, test.context))


class _ScoredDraws(NamedTuple):
    """Draws of a flow, N × D, and their log-densities under it and another flow, in nats: N each.

    Where there is no other flow, the latter are the former.
    """

    x: NDArray[np.float32]
    log_prob: NDArray[np.float64]
    other_log_prob: NDArray[np.float64]


def _draw(
    rows: int, flow: Flow, other: Flow | None, contexts: Tensor | None, generator: torch.Generator
) -> _ScoredDraws:
    """Draw and score rows; those that are not finite, or have no finite score, are left out."""
    context = None
    if contexts is not None:
        context = contexts[torch.randint(len(contexts), (rows,), generator=generator)]
    z, cost = flow.base.sample(rows, generator), flow.bijection.decode_cost
    with torch.no_grad(), threads_for(cost):
        at_once = rows_at_once(flow.bijection.event_shape, cost)
        decoded = [flow.decode(*batch) for batch in batches(z, context, at_once)]
    x, own = (torch.cat(values).numpy() for values in zip(*decoded, strict=True))
    others = own.astype(float)
    if other is not None:
        others = log_prob(other, x[None], None if context is None else context.numpy())
    finite = np.isfinite(x).reshape(rows, -1).all(1) & np.isfinite(own) & np.isfinite(others)
    return _ScoredDraws(x.reshape(rows, -1)[finite], own[finite].astype(float), others[finite])


def _figure(values: NDArray[np.float64]) -> Figure:
    """Mean and standard error."""
    return Figure(mean=float(values.mean()), se=float(values.std(ddof=1) / math.sqrt(len(values))))
