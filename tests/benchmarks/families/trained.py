"""A family trained on one source, in a run folder that table and gallery share."""

import re
from pathlib import Path

import torch

from service.bundle import HeldOut
from tests.benchmarks.families.entries import Entry, recipe
from training import commands
from training.data import load as data
from training.data.dataset import Dataset
from training.evaluate import evaluate
from training.runs import Progress, lifecycle
from training.runs.run import Run


def slug(title: str, source: str) -> str:
    """A name of the cell that files and bundles may have."""
    return re.sub(r"[^a-z0-9]+", "-", f"{title} {source}".lower()).strip("-")


def train(
    folder: Path, name: str, entry: Entry, source: str
) -> tuple[Run, Dataset, Progress, HeldOut]:
    """Train a family, as far as it is not trained yet, and score it."""
    torch.set_num_threads(1)
    chosen = recipe(entry, source)
    dataset = data.load_dataset(chosen.data)
    run = lifecycle.open_or_create(folder / name, name, chosen, dataset)
    progress = commands.fit_run(run, dataset, torch.device("cpu"))
    return run, dataset, progress, evaluate(run, dataset)
