"""What a flow of one column is whatever it learns: of most families, a straight line."""

import copy
import math

import torch
from torch import Tensor

from models.flow import Flow

CURVED = ("nsf-ar", "maf-logistic", "maf-mog", "gaussianization")
"""Families that can learn any density of one column, by name."""

PLACES, SPREAD = 9, 0.3


def is_straight_line(flow: Flow, low: float, high: float) -> bool:
    """Whether a flow maps one column by a straight line between two values, whatever its weights.

    A network has no other column to read there. Weights are moved at random, by `SPREAD`, and
    second differences of the latents of `PLACES` values are zero or are not.

    Args:
        flow: of any event shape; False where it has more than one number.
        low, high: values of the column that the flow accepts.
    """
    if math.prod(flow.event_shape) != 1 or not low < high:
        return False
    moved, generator = copy.deepcopy(flow).double().eval(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in moved.parameters():
            parameter.add_(SPREAD * torch.randn(parameter.shape, generator=generator))
        x = torch.linspace(low, high, PLACES, dtype=torch.float64).view(-1, *flow.event_shape)
        context: Tensor | None = None
        if flow.context_shape is not None:
            context = torch.zeros(PLACES, *flow.context_shape, dtype=torch.float64)
        z = moved.encode(x, context)[0].flatten()
    return bool(z.diff(n=2).abs().max() <= 1e-9 * (z.max() - z.min()))
