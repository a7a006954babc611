"""Run folders: what training writes, and how a run is opened, created and resumed."""

from training.runs.lifecycle import dataset_of, open_or_create
from training.runs.run import Progress, Run, Stateful

__all__ = [
    "Progress",
    "Run",
    "Stateful",
    "dataset_of",
    "open_or_create",
]
