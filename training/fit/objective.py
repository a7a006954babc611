"""What a training by gradients minimizes, and what it scores flows by."""

from collections.abc import Hashable
from typing import Protocol

from torch import Tensor, nn

from models.density import Density


class Loss(nn.Module):
    """The loss of each row of a batch and its context."""

    @property
    def phase(self) -> Hashable:
        """What the loss depends on beside weights and batch: equal values mean the same kernels."""
        return None


class Objective(Protocol):
    """Where the rows of a training come from, their loss, and how the flow is scored.

    Args:
        rows: number of rows of an epoch.
    """

    rows: int

    @property
    def flow(self) -> Density:
        """What is trained, on its device."""

    @property
    def loss(self) -> Loss:
        """The loss, as a module."""

    def initialize_from_data(self) -> None:
        """Initialize the parameters that depend on data; called once, before the first step."""

    def batch(self, rows: Tensor, progress: float) -> tuple[Tensor, Tensor | None]:
        """The inputs of the loss, and their contexts.

        Args:
            rows: their numbers, from 0 to `self.rows` − 1.
            progress: fraction of the whole training that is done, 0 to 1.
        """

    def score(self, flow: Density) -> float:
        """The score, in nats per row, by which the best weights are selected; larger is better.

        Args:
            flow: the flow with the weights to score.
        """

    def describe_rows(self, rows: Tensor) -> str:
        """Words for an error message about rows, by number, whose loss is not finite."""
