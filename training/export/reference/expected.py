"""Rows, and what a graph should make of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.bundle import Direction
from training.data import Float32

GraphName = Direction | Literal["layers"]
Float64 = NDArray[np.float64]
Feed = dict[str, Float32]
"""Inputs of a graph by name, x or z first."""


@dataclass(frozen=True)
class Expected:
    """Inputs of one graph, and the outputs of the float64 flow.

    Some answers may be near ones: those of inputs that differ from these by their rounding to
    float32. What is close to a near answer is close to the exact one, and what is not is compared
    with the exact one, which is computed only then (`settle`).

    Args:
        feed: the inputs.
        value, log_prob: the outputs that a graph should have.
        is_near: of which rows the answer is a near one; of none if left out.
        answer: computes the exact answers of inputs.
    """

    feed: Feed
    value: Float64
    log_prob: Float64
    is_near: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    answer: Callable[[Feed], tuple[Float64, Float64]] | None = None

    def __len__(self) -> int:
        return len(self.value)

    def rows(self, index: slice | NDArray[np.intp]) -> Feed:
        """The inputs of some rows."""
        return {name: values[index] for name, values in self.feed.items()}

    def near(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of some rows have a near answer."""
        return self.is_near[rows] if self.is_near.size else np.zeros(len(rows), bool)

    def settle(self, rows: NDArray[np.intp]) -> None:
        """Put the exact answers of rows in place of near ones."""
        assert self.answer is not None
        self.value[rows], self.log_prob[rows] = self.answer(self.rows(rows))
        self.is_near[rows] = False


def alternating(first: Expected, second: Expected) -> Expected:
    """The rows of two, one of each in turn as long as both last, so that the first few are of both.

    Args:
        first, second: the same inputs and outputs of different rows; answers are those of `second`.
    """
    turns = [2 * np.arange(len(first)), 2 * np.arange(len(second)) + 1]
    order = np.argsort(np.concatenate(turns))
    near = [each.near(np.arange(len(each))) for each in (first, second)]
    return Expected(
        {name: np.concatenate([first.feed[name], second.feed[name]])[order] for name in first.feed},
        np.concatenate([first.value, second.value])[order],
        np.concatenate([first.log_prob, second.log_prob])[order],
        np.concatenate(near)[order],
        second.answer,
    )
