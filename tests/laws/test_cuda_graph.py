"""Steps of training can be captured in a CUDA graph: seen on the meta device, without a GPU.

What waits for a value fails there, and a copy from the host is seen in dispatch. Both would end a
capture.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.laws.zoo_table import FLOWS


class Copies(TorchDispatchMode):
    """Which operators read a tensor of the host and write one of the device."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        read, written = (
            {t.device.type for t in tree_leaves(tree) if isinstance(t, torch.Tensor) and t.ndim}
            for tree in ((args, kwargs), out)
        )
        if "cpu" in read and "meta" in written:
            self.seen.append(str(func))
        return out


@pytest.mark.parametrize("name", sorted(FLOWS))
def test_a_step_copies_nothing_from_the_host_and_waits_for_nothing(name: str) -> None:
    line = FLOWS[name]
    flow = line.flow().train().to("meta")
    if flow.bijection.encode_cost != "parallel":
        pytest.skip("its encode goes on until it stands still")
    x = torch.zeros(3, *line.event_shape, device="meta")
    context = torch.zeros(3, line.context, device="meta") if line.context else None
    with Copies() as copies:
        loss = -flow.log_prob(x, context).sum()
        if loss.requires_grad:
            loss.backward()
    assert copies.seen == []
