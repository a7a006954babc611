"""First guesses of sweeps by a student of the run that is exported."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.flow import Flow
from models.layers import Inverse
from models.learned_start import LearnedStart, Path, has_layers_for_each
from service import bundle
from training.config import FlowSpec
from training.errors import ExportError
from training.export.inverse_search import RESIDUAL
from training.export.sweeps.counts import counted
from training.runs import Run

# Rows by which it is chosen how a student guesses.
ROWS = 64


@dataclass(frozen=True)
class StudentGuess:
    """A flow that decodes from the guesses of a student.

    Args:
        flow: the flow.
        student: name of the student's run.
        sha256: checksum of its weights.
    """

    flow: LearnedStart
    student: str
    sha256: str


def check_student(run: Run, student: Run) -> None:
    """See that a student can guess what a run's flow decodes to.

    Raises:
        ExportError: it is of another teacher or of other rows, or one of both draws in the wrong
            number of passes.
        RunError: one of both is no flow, or has no weights.
    """
    for each in (run, student):
        each.check_weights()
    teacher = student.file.teacher
    if teacher is None:
        raise ExportError(
            f"--guess takes a student of {run.folder}, and {student.folder} has no teacher: "
            "`bijecta distill` makes one"
        )
    if teacher.sha256 != bundle.sha256(run.weights):
        raise ExportError(
            f"--guess takes a student of {run.folder}, and {student.folder} is one of "
            f"{teacher.name} in {teacher.folder}, of other weights"
        )
    spec, other = run.flow_spec, student.flow_spec
    for what in ("event_shape", "preprocessing", "context"):
        if getattr(spec, what) != getattr(other, what):
            raise ExportError(
                f"--guess takes a student with the rows of {run.folder}: {student.folder} has "
                f"another {what.replace('_', ' ')}"
            )
    flow, guesser = run.new_flow(), student.new_flow()
    if flow.decode_cost != "sequential":
        raise ExportError(
            f"--guess is for flows that decode value by value, and {run.folder} of family "
            f"{spec.family!r} does not"
        )
    if guesser.decode_cost != "parallel":
        raise ExportError(
            f"--guess takes a student that draws in one pass, and {student.folder} of family "
            f"{other.family!r} does not"
        )
    latents, others = ((f.base.name, f.latent_shape) for f in (flow, guesser))
    if latents != others:
        raise ExportError(
            f"--guess takes a student with the latents of {run.folder}, {latents[0]} of shape "
            f"{latents[1]}: those of {student.folder} are {others[0]} of shape {others[1]}"
        )


def learned_start(
    flow: Flow, spec: FlowSpec, student: Run, feed: Mapping[str, NDArray[np.float32]]
) -> StudentGuess:
    """A flow that decodes from a student's guesses, on the path that takes fewer sweeps.

    Args:
        flow, spec: of the run.
        student: that `check_student` has seen.
        feed: latents and contexts that it is chosen by.
    """
    guesser, shared = student.best_flow(), len(spec.preprocessing)
    paths: list[Path] = ["draws"]
    if has_layers_for_each(flow, guesser):
        paths.append("layers")
    rows = {name: values[:ROWS] for name, values in feed.items()}
    inverse = Inverse("jacobi", math.prod(flow.event_shape), RESIDUAL)

    def cost(guided: LearnedStart) -> float:
        # encoding what the student draws costs as much as a sweep
        return float(counted(guided, "decode", inverse, rows).mean()) + (guided.path == "draws")

    candidates = [LearnedStart(flow, guesser, shared, path) for path in paths]
    best = min(candidates, key=cost) if len(candidates) > 1 else candidates[0]
    return StudentGuess(best, student.file.name, bundle.sha256(student.weights))
