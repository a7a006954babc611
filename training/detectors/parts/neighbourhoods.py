"""Distances from rows to the nearest of reference rows, as operations that export."""

import torch
from torch import Tensor

# Added to squared distances for each axis: a row that a reference row repeats is not infinitely
# near. In units of a deviation, 1e-3 squared.
FLOOR = 1e-6


def squared_distances(x: Tensor, rows: Tensor) -> Tensor:
    """Squared Euclidean distances: N × F, M × F → N × M."""
    inner = x @ rows.T
    square = x.square().sum(1, keepdim=True) + rows.square().sum(1) - 2 * inner
    return square.clamp(min=0.0)


def log_distance(square: Tensor, axes: int) -> Tensor:
    """Log of a distance from its square, with a floor of √(`FLOOR` · axes)."""
    return 0.5 * torch.log(square + FLOOR * axes)


def log_nearest(x: Tensor, rows: Tensor) -> Tensor:
    """Log distance to the nearest row of each sample of rows.

    Args:
        x: N × F.
        rows: samples × M × F.

    Returns:
        N × samples.
    """
    samples, count, axes = rows.shape
    square = squared_distances(x, rows.flatten(0, 1)).view(-1, samples, count)
    return log_distance(square.amin(2), axes)


def mean_log_nearest(x: Tensor, rows: Tensor, neighbours: int) -> Tensor:
    """Mean of the log distances to the nearest rows: N × F, M × F → N."""
    square = squared_distances(x, rows)
    nearest = torch.topk(square, min(neighbours, len(rows)), dim=1, largest=False).values
    return log_distance(nearest, x.shape[1]).mean(1)
