"""Log-densities of rows, many at a time."""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from models.bijection import Cost, Shape
from models.flow import Flow
from training.data import Float32

# Networks of long rows, such as sounds, hold a hundred numbers for each value: of many at once,
# more time goes into memory than into arithmetic. What goes value by value takes as long for one
# row as for many.
ROWS_AT_ONCE = 4096


VALUES_OF_PASSES, VALUES_OF_STEPS = 2**17, 2**20


def rows_at_once(event_shape: Shape, cost: Cost) -> int:
    """How many rows to compute together.

    Args:
        event_shape: of one.
        cost: of the direction.
    """
    values = VALUES_OF_STEPS if cost == "sequential" else VALUES_OF_PASSES
    return min(ROWS_AT_ONCE, -(-values // math.prod(event_shape)))


def log_prob(flow: Flow, noisy: Float32, context: Float32 | None = None) -> NDArray[np.float64]:
    """Score rows in nats, averaged over their noisy copies: copies × N × event shape → N.

    Args:
        flow: the flow, which is put in evaluation mode.
        noisy: copies × N × event shape.
        context: N × columns, exactly when the flow has one.
    """
    flow.eval()
    copies, n = noisy.shape[:2]
    inputs = [torch.from_numpy(noisy.reshape(copies * n, *noisy.shape[2:]))]
    at_once = rows_at_once(noisy.shape[2:], flow.bijection.encode_cost)
    if context is not None:
        inputs.append(torch.from_numpy(context).repeat(copies, 1))
    with torch.no_grad():
        scores = [
            flow.log_prob(*(part.to(flow.like) for part in parts)).cpu()
            for parts in zip(*(torch.split(rows, at_once) for rows in inputs), strict=True)
        ]
    mean: NDArray[np.float64] = torch.cat(scores).double().view(copies, n).mean(0).numpy()
    return mean
