"""Run folders: what training writes, and how a run is opened, created and resumed."""

from training.runs.lifecycle import (
    columns_of,
    dataset_of,
    new_student,
    open_or_create,
    rows_of,
    with_stored_defaults,
)
from training.runs.lock import training_lock
from training.runs.measured import keep, kept, kept_of
from training.runs.progress import Progress, Stateful
from training.runs.run import Run

__all__ = [
    "Progress",
    "Run",
    "Stateful",
    "columns_of",
    "dataset_of",
    "keep",
    "kept",
    "kept_of",
    "new_student",
    "open_or_create",
    "rows_of",
    "training_lock",
    "with_stored_defaults",
]
