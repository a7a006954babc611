"""Sounds drawn by a model, and what the sounds of a data set are."""

import torch

from models.flow import Flow
from service.bundle import Sound
from tests.benchmarks.speech.mel import Array
from training.data.dataset import Dataset
from training.distill.objective import batches
from training.errors import DataError
from training.scoring import rows_at_once


def sound_of(dataset: Dataset) -> Sound:
    """What a data set's rows are.

    Raises:
        DataError: no sounds, or without a label for each.
    """
    if dataset.sound is None or [bool(c.classes) for c in dataset.context] != [True]:
        raise DataError(f"{dataset.name} holds no labelled sounds")
    return dataset.sound


def drawn(flow: Flow, contexts: torch.Tensor) -> Array:
    """One sound for each context, N × samples."""
    z = flow.base.sample(len(contexts), torch.Generator().manual_seed(0))
    at_once = rows_at_once(flow.bijection.event_shape, flow.bijection.decode_cost)
    with torch.no_grad():
        parts = [flow.decode(part, seen)[0] for part, seen in batches(z, contexts, at_once)]
    return torch.cat(parts).double().numpy()
