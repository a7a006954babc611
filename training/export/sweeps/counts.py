"""How many sweeps rows need."""

import copy
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.flow import Flow
from models.layers import Autoregressive, Inverse, counted_sweeps
from service.bundle import Direction, Sweeps
from training.scoring import threads_for

Feed = Mapping[str, NDArray[np.float32]]

# Rows that are swept over together: of wide flows of images more need gigabytes in float64.
ROWS_AT_ONCE = 64


def counted(flow: Flow, direction: Direction, inverse: Inverse, feed: Feed) -> NDArray[np.float64]:
    """The sweeps of each row, on the mean over its coordinates in all layers.

    They are those of torch, whose answers differ from a graph's by rounding.

    Args:
        flow: the flow, in the number type of the graph.
        direction: that is computed by sweeps.
        inverse: how.
        feed: rows or latents, and contexts.
    """
    swept = copy.deepcopy(flow).eval()
    for layer in swept.bijection.modules():
        if isinstance(layer, Autoregressive):
            layer.inverse = inverse
    go = swept.encode if direction == "encode" else swept.decode
    inputs = [torch.split(torch.from_numpy(v).to(flow.like), ROWS_AT_ONCE) for v in feed.values()]
    means: list[Tensor] = []
    with torch.no_grad(), threads_for("sequential"):
        for batch in zip(*inputs, strict=True):
            with counted_sweeps() as counts:
                go(*batch)
            swept_values = torch.stack([count.values * count.sweeps for count in counts]).sum(0)
            means.append(swept_values.double() / sum(count.values for count in counts))
    return torch.cat(means).numpy()


def measured_sweeps(flow: Flow, direction: Direction, inverse: Inverse, feed: Feed) -> Sweeps:
    """The sweeps of rows as a manifest states them; arguments are those of `counted`."""
    of_rows = counted(flow, direction, inverse, feed)
    return Sweeps(rows=len(of_rows), median=float(np.median(of_rows)), max=float(of_rows.max()))
