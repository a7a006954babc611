"""Maximum likelihood of training rows."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.flow import Flow
from training.config import FitRecipe
from training.data import Dataset
from training.fit.distributed import ALONE, Team
from training.fit.objective import Loss
from training.scoring import log_prob

# Enough rows for means and deviations to start from, few enough for any memory.
ROWS_TO_START = 1024


class NegativeLogDensity(Loss):
    """The negative log-density of rows."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """In nats: batch."""
        return -self.flow.log_prob(x, context)


class Likelihood:
    """The log-density of a data set's rows (`objective.Objective`).

    Args:
        flow: what is trained, on its device.
        dataset: its data.
        recipe: how many noisy copies of each validation row are scored, and the seed.
        team: the processes that train together.
    """

    def __init__(self, flow: Flow, dataset: Dataset, recipe: FitRecipe, team: Team = ALONE) -> None:
        self.flow, self.loss = flow, NegativeLogDensity(flow)
        self.dataset, self.seed, self.team = dataset, recipe.seed, team
        device = flow.like.device

        def moved(values: NDArray[Any] | None) -> Tensor | None:
            return None if values is None else torch.from_numpy(values).to(device)

        drawn = dataset.augmentation
        self.x = torch.from_numpy(dataset.train.rows if drawn is None else drawn.sources).to(device)
        self.rows = len(self.x)
        self.draw = None if drawn is None else drawn.draw
        self.context = moved(dataset.train.context)
        self.integer = moved(dataset.integer if dataset.integer.any() else None)
        held = team.share(len(dataset.validation))
        noisy = dataset.noisy(dataset.validation.rows, recipe.noise_copies, recipe.seed)
        self.validation = noisy[:, held]
        context = dataset.validation.context
        self.validation_context = None if context is None else context[held]

    def start(self) -> None:
        """Let layers that take their first values from data take them."""
        start(self.flow, self.dataset, self.seed)

    def batch(self, chosen: Tensor, share: float) -> tuple[Tensor, Tensor | None]:
        """Rows as they are drawn, with fresh noise, and their context."""
        x = self.x[chosen]
        if self.draw is not None:
            x = self.draw(x)
        if self.integer is not None:
            x = x + (torch.rand_like(x) - 0.5) * self.integer
        if self.dataset.noise:
            x = x + self.dataset.noise * torch.randn_like(x)
        return x, None if self.context is None else self.context[chosen]

    def score(self, flow: Flow) -> float:
        """Mean log-density of the validation rows in nats."""
        scores: NDArray[np.float64] = log_prob(flow, self.validation, self.validation_context)
        return self.team.total(float(scores.sum())) / len(self.dataset.validation)

    def culprits(self, bad: Tensor) -> str:
        """Which training rows have no finite log-density."""
        return f"training rows {bad[:10].tolist()} of {len(bad)} have no finite log-density"


def start(flow: Flow, dataset: Dataset, seed: int) -> None:
    """Let a flow's layers that take their first values from data take them; once, untrained."""
    rows = slice(ROWS_TO_START)
    inputs = [dataset.noisy(dataset.train.rows[rows], 1, seed)[0]]
    if dataset.train.context is not None:
        inputs.append(dataset.train.context[rows])
    flow.eval().start(*(torch.from_numpy(values).to(flow.like) for values in inputs))
