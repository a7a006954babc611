"""How near a student is to its teacher."""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.flow import Flow
from service.bundle import Fidelity, Figure
from training.data import Dataset
from training.distill.objective import batches
from training.distill.two_sample import accuracy
from training.files import write_atomically
from training.runs import Run
from training.scoring import log_prob, rows_at_once

# Draws of the student, and of the teacher; fewer of long rows, which take a teacher long, but
# enough for a standard error and both halves of the classifiers' rows.
ROWS, FEWEST, VALUES = 5000, 100, 2_000_000


def measure_fidelity(run: Run, dataset: Dataset) -> Fidelity:
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
    contexts = None if dataset.test.context is None else torch.from_numpy(dataset.test.context)
    n = math.prod(dataset.event_shape)
    rows = min(ROWS, max(FEWEST, VALUES // n))
    drawn = _draw(rows, student, teacher, contexts, generator)
    taught = _draw(rows, teacher, student, contexts, generator)
    more = _draw(rows, teacher, teacher, contexts, generator)
    copies = run.file.recipe.fit.noise_copies
    held_out = log_prob(
        teacher, dataset.noisy(dataset.test.rows, copies, seed + 1), dataset.test.context
    )
    found = Fidelity(
        rows=rows,
        overflowing=sum(rows - len(draws.x) for draws in (drawn, taught, more)),
        kl_student_teacher=_figure((drawn.own - drawn.others) / n),
        kl_teacher_student=_figure((taught.own - taught.others) / n),
        teacher_of_student=_figure(drawn.others),
        teacher_of_teacher=_figure(taught.own),
        teacher_held_out=_figure(held_out),
        two_sample=accuracy(drawn.x, taught.x),
        two_sample_of_teacher=accuracy(more.x, taught.x),
    )
    write_atomically(run.folder / "fidelity.json", found.model_dump_json(indent=2).encode())
    return found


class _Draws(NamedTuple):
    """Draws of a flow, N × D, and their scores under it and under another, in nats: N."""

    x: NDArray[np.float32]
    own: NDArray[np.float64]
    others: NDArray[np.float64]


def _draw(
    rows: int, flow: Flow, other: Flow, contexts: Tensor | None, generator: torch.Generator
) -> _Draws:
    """Draws with scores, less those that are no numbers or have none."""
    context = None
    if contexts is not None:
        context = contexts[torch.randint(len(contexts), (rows,), generator=generator)]
    z = flow.base.sample(rows, generator)
    with torch.no_grad():
        at_once = rows_at_once(flow.bijection.event_shape, flow.bijection.decode_cost)
        parts = [flow.decode(part, seen) for part, seen in batches(z, context, at_once)]
    x, own = (torch.cat(values).numpy() for values in zip(*parts, strict=True))
    others = log_prob(other, x[None], None if context is None else context.numpy())
    finite = np.isfinite(x).reshape(rows, -1).all(1) & np.isfinite(own) & np.isfinite(others)
    return _Draws(x.reshape(rows, -1)[finite], own[finite].astype(float), others[finite])


def _figure(values: NDArray[np.float64]) -> Figure:
    return Figure(mean=float(values.mean()), se=float(values.std(ddof=1) / math.sqrt(len(values))))
