"""Scores of a trained flow on rows it has not seen."""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from models.flow import Flow
from service.bundle import HeldOut
from training.checkpoint import Run, write_atomically
from training.data import Dataset, Float32

ROWS_AT_ONCE = 4096


def log_prob(flow: Flow, noisy: Float32) -> NDArray[np.float64]:
    """Score rows in nats, averaged over their noisy copies: copies × N × D → N."""
    flow.eval()
    copies, n = noisy.shape[:2]
    like = next(flow.parameters())
    flat = torch.from_numpy(noisy.reshape(copies * n, *noisy.shape[2:]))
    with torch.no_grad():
        scores = [flow.log_prob(rows.to(like)).cpu() for rows in torch.split(flat, ROWS_AT_ONCE)]
    mean: NDArray[np.float64] = torch.cat(scores).double().view(copies, n).mean(0).numpy()
    return mean


def evaluate(run: Run, dataset: Dataset) -> HeldOut:
    """Score the run's best weights on the test rows and keep the figures in the run folder."""
    copies = run.file.recipe.fit.noise_copies
    # another seed than the validation noise that stopped the training
    noisy = dataset.noisy(dataset.test, copies, run.file.recipe.fit.seed + 1)
    evaluation = summary(log_prob(run.best_flow(), noisy), dataset, len(noisy))
    content = evaluation.model_dump_json(indent=2)
    write_atomically(run.folder / "evaluation.json", content.encode())
    return evaluation


def summary(scores: NDArray[np.float64], dataset: Dataset, noise_copies: int) -> HeldOut:
    """Mean and standard error of rows' scores, and the same in bits per dimension."""
    mean, se = float(scores.mean()), float(scores.std(ddof=1) / math.sqrt(len(scores)))
    bits = math.log(2) * math.prod(dataset.event_shape)
    defined = bool(dataset.integer.all())
    return HeldOut(
        log_prob=mean,
        se=se,
        rows=len(scores),
        noise_copies=noise_copies,
        bits_per_dim=-mean / bits if defined else None,
        bits_per_dim_se=se / bits if defined else None,
    )
