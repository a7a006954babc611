"""Log-densities of many rows, and how many rows and threads compute them."""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from models.bijection import Cost, Shape
from models.density import Density
from models.flow import Flow
from service.runtime import granted_cpus
from training.data import Float32
from training.progress import say_where

ROWS_AT_ONCE = 4096

# Networks over long rows, such as sounds, hold about a hundred numbers for each value of a row. If
# there are more values at once than this, memory takes more time than arithmetic.
VALUES_AT_ONCE = 2**17

# Prepared rows may take so much memory; a row of ten columns takes about 1 kB.
MAX_PREPARED_BYTES = 2**30

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


def use_granted_cpus() -> None:
    """Compute with no more threads than this process has CPUs: torch knows no quotas of groups."""
    torch.set_num_threads(min(torch.get_num_threads(), granted_cpus()))


@contextmanager
def threads_for(cost: Cost) -> Iterator[None]:
    """Compute a direction with all threads where it is parallel, and else with one.

    Steps of small operators take up to 40 times as long with two threads: each waits for the other
    at the end of every operator, and takes a core from whoever has work.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(before if cost == "parallel" else 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def row_flops(flow: Flow) -> int | None:
    """Floating-point operations of all products for one row, in a direction that is one pass.

    None where neither direction is.
    """
    # without gradients: for those the counter fails at a module that returns its own parameters
    flow = copy.deepcopy(flow).requires_grad_(False)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        context = (
            None if flow.context_shape is None else flow.like.new_zeros(1, *flow.context_shape)
        )
        if flow.encode_cost == "parallel":
            flow.encode(flow.like.new_zeros(1, *flow.event_shape), context)
        elif flow.decode_cost == "parallel":
            flow.decode(flow.like.new_zeros(1, *flow.latent_shape), context)
        else:
            return None
    return int(counter.get_total_flops())


def log_prob(
    flow: Density, noisy: Float32 | NDArray[np.float64], context: Float32 | None = None
) -> NDArray[np.float64]:
    """Score rows in nats, averaged over their noisy copies: copies × N × event shape → N.

    Args:
        flow: the flow; it is left in evaluation mode.
        noisy: copies × N × event shape; float64 of typed columns, which stays float64.
        context: N × columns, if and only if the flow has a context.
    """
    copies, n = noisy.shape[:2]
    rows = torch.from_numpy(noisy.reshape(copies * n, *noisy.shape[2:]))
    repeated = None if context is None else torch.from_numpy(context).repeat(copies, 1)
    with threads_for(flow.encode_cost):
        scores = _in_parts(flow, flow.log_prob, rows, repeated)
    mean: NDArray[np.float64] = scores.view(copies, n).mean(0).numpy()
    return mean


def prepared(flow: Density, rows: Tensor) -> Tensor | None:
    """Prepare rows (`Density.prepare`), N × event shape → N × …, on the flow's device.

    None of no rows, and where they would take more than `MAX_PREPARED_BYTES`.
    """
    device, at_once = flow.like.device, rows_at_once(flow.event_shape, flow.encode_cost)
    if len(rows) == 0:
        return None
    with torch.no_grad():
        if len(rows) * flow.prepare(rows[:1].to(device)).nbytes > MAX_PREPARED_BYTES:
            return None
        return torch.cat([flow.prepare(part.to(device)) for part in torch.split(rows, at_once)])


def log_prob_prepared(
    flow: Density, rows: Tensor, context: Float32 | None = None
) -> NDArray[np.float64]:
    """Score prepared rows in nats: N × … → N; see `log_prob`."""
    given = None if context is None else torch.from_numpy(context)
    scores: NDArray[np.float64] = _in_parts(flow, flow.log_prob_prepared, rows, given).numpy()
    return scores


def _in_parts(
    flow: Density, score: Callable[..., Tensor], rows: Tensor, context: Tensor | None
) -> Tensor:
    """The scores of rows, in float64, of so many at once as `rows_at_once` says."""
    flow.eval()
    inputs = [rows] if context is None else [rows, context]
    at_once = rows_at_once(flow.event_shape, flow.encode_cost)
    device, number = flow.like.device, flow.like.dtype
    scores: list[Tensor] = []
    with torch.no_grad():
        for part in zip(*(torch.split(values, at_once) for values in inputs), strict=True):
            say_where(f"{at_once * len(scores):,} of {len(rows):,} rows")
            on_device = (v.to(device, torch.promote_types(v.dtype, number)) for v in part)
            scores.append(score(*on_device).cpu())
    return torch.cat(scores).double()
