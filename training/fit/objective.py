"""What a training makes better."""

from collections.abc import Hashable
from typing import Protocol

from torch import Tensor, nn

from models.flow import Flow


class Loss(nn.Module):
    """The loss of each row of a batch and its context."""

    @property
    def phase(self) -> Hashable:
        """What of a training's course it depends on beside weights and batch."""
        return None


class Objective(Protocol):
    """Where a training's rows come from, what each of them costs, and how the flow is scored.

    Args:
        flow: what is trained, on its device.
        rows: of an epoch.
    """

    flow: Flow
    rows: int

    @property
    def loss(self) -> Loss:
        """What it costs, as a module for what works on those."""

    def start(self) -> None:
        """Give the flow the first values that it takes from data; once, untrained."""

    def batch(self, chosen: Tensor, share: float) -> tuple[Tensor, Tensor | None]:
        """What the loss takes for these rows.

        Args:
            chosen: their numbers, from 0 to `rows`.
            share: what part of the whole training is done, 0 to 1.
        """

    def score(self, flow: Flow) -> float:
        """What the best weights have most of, in nats per row.

        Args:
            flow: the flow with the weights to be scored.
        """

    def culprits(self, bad: Tensor) -> str:
        """What is wrong with rows of these numbers, whose loss is not finite."""
