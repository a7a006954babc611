"""Run folders: what training writes, and how a run is opened, created and resumed."""

from training.runs.lifecycle import dataset_of, open_or_create, with_stored_defaults
from training.runs.lock import training_lock
from training.runs.run import Progress, Run, Stateful

__all__ = [
    "Progress",
    "Run",
    "Stateful",
    "dataset_of",
    "open_or_create",
    "training_lock",
    "with_stored_defaults",
]
