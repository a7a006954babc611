"""The Gaussian of the training rows, which a flow that has learned anything beats."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from training.data import Dataset, Float32
from training.scoring import ROWS_AT_ONCE

MAX_GAUSSIAN_DIMENSIONS = 1024


def gaussian_score(dataset: Dataset, seed: int) -> float | None:
    """The score of the test rows under the Gaussian that fits the training rows, in nats per row.

    None where it has no density, or too many coordinates to be worth its time.
    """
    dimensions = math.prod(dataset.event_shape)
    if dimensions > MAX_GAUSSIAN_DIMENSIONS:
        return None
    n = len(dataset.train)
    mean = sum(block.sum(0) for block in _blocks(dataset, dataset.train.rows, seed)) / n
    # about the mean, in units of the deviation, so that no unit is too small or too large
    scale = np.sqrt(
        sum(((b - mean) ** 2).sum(0) for b in _blocks(dataset, dataset.train.rows, seed)) / n
    )
    if not (scale > 0).all():
        return None
    covariance = np.zeros((dimensions, dimensions))
    for block in _blocks(dataset, dataset.train.rows, seed):
        standard = (block - mean) / scale
        covariance += standard.T @ standard
    try:
        factor = np.linalg.cholesky(covariance / (n - 1))
    except np.linalg.LinAlgError:
        return None
    squares = 0.0
    for block in _blocks(dataset, dataset.test.rows, seed):
        white = np.linalg.solve(factor, ((block - mean) / scale).T)
        squares += float((white * white).sum())
    log_det = float(np.log(np.diag(factor)).sum() + np.log(scale).sum())
    constant = dimensions / 2 * math.log(2 * math.pi)
    return float(-0.5 * squares / len(dataset.test) - log_det - constant)


def _blocks(dataset: Dataset, rows: Float32, seed: int) -> Iterator[NDArray[np.float64]]:
    """Noisy rows in float64, a few at a time: each N × D; the same whenever they are asked for."""
    for i, first in enumerate(range(0, len(rows), ROWS_AT_ONCE)):
        noisy = dataset.noisy(rows[first : first + ROWS_AT_ONCE], 1, seed + i)[0]
        yield noisy.reshape(len(noisy), -1).astype(np.float64)
