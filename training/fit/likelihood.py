"""Maximum likelihood of training rows."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from models.density import Density
from models.flow import Flow
from training.config import FitRecipe
from training.data import AnyDataset, Dataset, TypedDataset
from training.fit.distributed import SINGLE_PROCESS, Processes
from training.fit.objective import Loss
from training.scoring import log_prob, log_prob_prepared, prepared

# Enough rows for means and deviations to initialize from, few enough for any memory.
ROWS_TO_INITIALIZE = 1024


class NegativeLogDensity(Loss):
    """The negative log-density of prepared rows."""

    def __init__(self, flow: Density) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """In nats: batch."""
        return -self.flow.log_prob_prepared(x, context)


class Likelihood:
    """The log-density of the rows of a data set (`objective.Objective`).

    Args:
        flow: what is trained, on its device.
        dataset: its data.
        recipe: says how many noisy copies of each validation row are scored, and the seed.
        processes: those that train together.
    """

    def __init__(
        self,
        flow: Density,
        dataset: AnyDataset,
        recipe: FitRecipe,
        processes: Processes = SINGLE_PROCESS,
    ) -> None:
        self.flow, self.loss = flow, NegativeLogDensity(flow)
        self.dataset, self.seed, self.processes = dataset, recipe.seed, processes
        device = flow.like.device

        def on_device(values: NDArray[Any] | None) -> Tensor | None:
            return None if values is None else torch.from_numpy(values).to(device)

        drawn = dataset.augmentation
        self.x = torch.from_numpy(dataset.train.rows if drawn is None else drawn.sources).to(device)
        self.rows = len(self.x)
        self.draw = None if drawn is None else drawn.draw
        self.context = on_device(dataset.train.context)
        # typed columns have a density as they are
        integer = dataset.integer if isinstance(dataset, Dataset) else None
        self.integer = on_device(integer if integer is not None and integer.any() else None)
        self.noise = dataset.noise if isinstance(dataset, Dataset) else 0.0
        self.prepared = self._prepared(dataset.train.rows)
        shard = processes.shard(len(dataset.validation))
        noisy = dataset.noisy(dataset.validation.rows, recipe.noise_copies, recipe.seed)
        self.validation = noisy[:, shard]
        self.prepared_validation = self._prepared(dataset.validation.rows[shard])
        context = dataset.validation.context
        self.validation_context = None if context is None else context[shard]

    def _prepared(self, rows: NDArray[Any]) -> Tensor | None:
        """Rows that are the same in every epoch, prepared; None of others, and of too many.

        Too many are prepared batch by batch.
        """
        if not isinstance(self.dataset, TypedDataset):
            return None
        return prepared(self.flow, torch.from_numpy(rows))

    def initialize_from_data(self) -> None:
        """Initialize the layers that depend on data by the first training rows."""
        if isinstance(self.flow, Flow):  # typed columns are fitted already
            initialize_from_data(self.flow, self.dataset, self.seed)

    def batch(self, rows: Tensor, progress: float) -> tuple[Tensor, Tensor | None]:
        """Training rows, augmented and with fresh noise, and their contexts."""
        context = None if self.context is None else self.context[rows]
        if self.prepared is not None:
            return self.prepared[rows], context
        x = self.x[rows]
        if self.draw is not None:
            x = self.draw(x)
        if self.integer is not None:
            x = x + (torch.rand_like(x) - 0.5) * self.integer
        if self.noise:
            x = x + self.noise * torch.randn_like(x)
        return self.flow.prepare(x), context

    def score(self, flow: Density) -> float:
        """Mean log-density of the validation rows in nats."""
        context = self.validation_context
        if self.prepared_validation is None:
            scores = log_prob(flow, self.validation, context)
        else:
            scores = log_prob_prepared(flow, self.prepared_validation, context)
        total = self.processes.all_reduce_sum(float(scores.sum()))
        return total / len(self.dataset.validation)

    def describe_rows(self, rows: Tensor) -> str:
        """Which training rows have no finite log-density."""
        return f"training rows {rows[:10].tolist()} of {len(rows)} have no finite log-density"


def initialize_from_data(flow: Flow, dataset: AnyDataset, seed: int) -> None:
    """Initialize the layers of a flow that depend on data; once, before training."""
    first = slice(ROWS_TO_INITIALIZE)
    inputs = [dataset.noisy(dataset.train.rows[first], 1, seed)[0]]
    if dataset.train.context is not None:
        inputs.append(dataset.train.context[first])
    flow.eval().initialize_from_data(*(torch.from_numpy(values).to(flow.like) for values in inputs))
