"""Log-densities of many rows."""

import math

import numpy as np
import torch
from numpy.typing import NDArray

from models.bijection import Cost, Shape
from models.density import Density
from training.data import Float32

ROWS_AT_ONCE = 4096

# Networks over long rows, such as sounds, hold about a hundred numbers for each value of a row. If
# there are more values at once than this, memory takes more time than arithmetic.
VALUES_AT_ONCE = 2**17

# A sequential direction computes value by value, which takes as long for one row as for many.
SEQUENTIAL_VALUES_AT_ONCE = 2**20


def rows_at_once(event_shape: Shape, cost: Cost) -> int:
    """Choose the number of rows to compute together.

    Args:
        event_shape: of one row.
        cost: of the direction.
    """
    values = SEQUENTIAL_VALUES_AT_ONCE if cost == "sequential" else VALUES_AT_ONCE
    return min(ROWS_AT_ONCE, -(-values // math.prod(event_shape)))


def log_prob(
    flow: Density, noisy: Float32 | NDArray[np.float64], context: Float32 | None = None
) -> NDArray[np.float64]:
    """Score rows in nats, averaged over their noisy copies: copies × N × event shape → N.

    Args:
        flow: the flow; it is left in evaluation mode.
        noisy: copies × N × event shape; float64 of typed columns, which stays float64.
        context: N × columns, if and only if the flow has a context.
    """
    flow.eval()
    copies, n = noisy.shape[:2]
    inputs = [torch.from_numpy(noisy.reshape(copies * n, *noisy.shape[2:]))]
    at_once = rows_at_once(noisy.shape[2:], flow.encode_cost)
    if context is not None:
        inputs.append(torch.from_numpy(context).repeat(copies, 1))
    device, number = flow.like.device, flow.like.dtype
    with torch.no_grad():
        scores = [
            flow.log_prob(
                *(v.to(device, torch.promote_types(v.dtype, number)) for v in chunk)
            ).cpu()
            for chunk in zip(*(torch.split(rows, at_once) for rows in inputs), strict=True)
        ]
    mean: NDArray[np.float64] = torch.cat(scores).double().view(copies, n).mean(0).numpy()
    return mean
