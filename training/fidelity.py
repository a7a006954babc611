"""How near a student is to its teacher."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.flow import Flow
from service.manifest_fidelity import Fidelity, Figure
from training.checkpoint import Run, write_atomically
from training.data import Dataset
from training.distill import batches
from training.evaluate import log_prob
from training.two_sample import accuracy

# Draws of the student, and of the teacher.
ROWS = 5000


def fidelity(run: Run, dataset: Dataset) -> Fidelity:
    """Compare a student's best weights with its teacher, and keep the figures in the run folder.

    Args:
        run: the student's.
        dataset: its teacher's data; contexts are those of its test rows.

    Raises:
        RunError: the teacher is not there any more.
    """
    student, teacher = run.best_flow(), run.teacher().best_flow()
    seed = run.file.recipe.fit.seed
    generator = torch.Generator().manual_seed(seed + 3)
    contexts = None if dataset.test_context is None else torch.from_numpy(dataset.test_context)

    def sample(flow: Flow) -> tuple[Tensor, Tensor | None, Tensor]:
        context = None
        if contexts is not None:
            context = contexts[torch.randint(len(contexts), (ROWS,), generator=generator)]
        z = flow.base.sample(ROWS, generator)
        parts = [flow.decode(part, seen) for part, seen in batches(z, context)]
        x, score = (torch.cat(values) for values in zip(*parts, strict=True))
        return x, context, score

    with torch.no_grad():
        drawn, drawn_context, own = sample(student)
        taught, taught_context, teachers_own = sample(teacher)
        more, _, _ = sample(teacher)
    judged = _scores(teacher, drawn, drawn_context)
    recovered = _scores(student, taught, taught_context)
    copies = run.file.recipe.fit.noise_copies
    held_out = log_prob(
        teacher, dataset.noisy(dataset.test, copies, seed + 1), dataset.test_context
    )
    n = math.prod(dataset.event_shape)
    first, second, third = (x.flatten(1).numpy() for x in (drawn, taught, more))
    found = Fidelity(
        rows=ROWS,
        kl_student_teacher=_figure((_numbers(own) - judged) / n),
        kl_teacher_student=_figure((_numbers(teachers_own) - recovered) / n),
        teacher_of_student=_figure(judged),
        teacher_of_teacher=_figure(_numbers(teachers_own)),
        teacher_held_out=_figure(held_out),
        two_sample=accuracy(first, second),
        two_sample_of_teacher=accuracy(third, second),
    )
    write_atomically(run.folder / "fidelity.json", found.model_dump_json(indent=2).encode())
    return found


def _scores(flow: Flow, x: Tensor, context: Tensor | None) -> NDArray[np.float64]:
    return log_prob(flow, x.numpy()[None], None if context is None else context.numpy())


def _numbers(values: Tensor) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = values.double().numpy()
    return numbers


def _figure(values: NDArray[np.float64]) -> Figure:
    return Figure(mean=float(values.mean()), se=float(values.std(ddof=1) / math.sqrt(len(values))))
