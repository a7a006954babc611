"""Run folders: what training writes, and how a run is opened, created and resumed."""

from training.runs.lifecycle import dataset_of, open_or_create
from training.runs.run import Progress, Run

__all__ = [
    "Progress",
    "Run",
    "dataset_of",
    "open_or_create",
]
