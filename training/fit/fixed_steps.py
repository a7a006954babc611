"""Fits of a fixed number of steps, without held-out rows: of noisy rows, the noise known or not."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.density import Density
from models.flow import Flow
from models.layers import IterativeGaussianization
from training.config import FitRecipe
from training.fit.distributed import SINGLE_PROCESS
from training.fit.iterative import fit_step
from training.fit.likelihood import NegativeLogDensity
from training.fit.optimizer import FlowOptimizer
from training.scoring import prepared


@dataclass(frozen=True)
class NoiseLevels:
    """Deviations of noise, uniform in their logarithm, that a flow is conditioned on.

    Args:
        low, high: the smallest and the largest.
    """

    low: float = 0.05
    high: float = 1.5

    def condition(self, log_deviation: Tensor) -> Tensor:
        """What the flow reads: −1 at the smallest level, 1 at the largest."""
        return 2 * (log_deviation - math.log(self.low)) / math.log(self.high / self.low) - 1

    def draw(self, count: int) -> Tensor:
        """Logarithms of deviations: count × 1."""
        return math.log(self.low) + math.log(self.high / self.low) * torch.rand(count, 1)


Batch = tuple[Tensor, Tensor | None]
"""Rows and their contexts."""


def fit_steps(
    density: Density, rows: Tensor, context: Tensor | None, recipe: FitRecipe, steps: int
) -> None:
    """Fit a density to rows in so many steps.

    Args:
        density: in training only while it is fitted.
        rows: N × event shape.
        context: N × context shape, or None.
        recipe: says the batch size, the rates and the seed.
        steps: their number.

    Raises:
        NonFiniteStepError: a loss is not a number.
    """
    ready = prepared(density, rows)

    def batch() -> Batch:
        chosen = torch.randint(len(rows), (recipe.batch_size,))
        x = density.prepare(rows[chosen]) if ready is None else ready[chosen]
        return x, None if context is None else context[chosen]

    _fit(density, batch, recipe, steps)


def fit_noise_conditional(
    flow: Flow,
    rows: Tensor,
    context: Tensor | None,
    levels: NoiseLevels,
    recipe: FitRecipe,
    steps: int,
) -> None:
    """Fit a flow to rows with normal noise, whose level is the first number of its context.

    The noise is new in each step.

    Args:
        flow: conditioned on the level, and then on the context.
        rows: N × D.
        context: N × features, or None.
        levels: those of the noise.
        recipe: says the batch size, the rates and the seed.
        steps: their number.

    Raises:
        NonFiniteStepError: a loss is not a number.
    """

    def batch() -> Batch:
        chosen = torch.randint(len(rows), (recipe.batch_size,))
        level = levels.draw(recipe.batch_size).to(rows)
        x = rows[chosen] + torch.exp(level) * torch.randn_like(rows[chosen])
        known = [levels.condition(level), *([] if context is None else [context[chosen]])]
        return x, torch.cat(known, 1)

    _fit(flow, batch, recipe, steps)


def _fit(density: Density, batch: Callable[[], Batch], recipe: FitRecipe, steps: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        if isinstance(density, Flow):  # typed columns are fitted already
            density.eval().initialize_from_data(*batch())
        density.train()
        loss = NegativeLogDensity(density)
        optimizer = FlowOptimizer(density, loss, recipe, steps, SINGLE_PROCESS)
        for step in range(steps):
            x, context = batch()
            optimizer.step(x, context, len(x), step)
    density.eval()


def gaussianize_rows(
    flow: Flow, rows: Tensor, context: Tensor | None, steps: int, rotation: str, seed: int
) -> None:
    """Fit a fixed number of steps of iterative Gaussianization.

    Where rows have noise added, this separates anomalies better than the steps after which held-out
    rows score best.

    Args:
        flow: of the family `iterative-gaussianization`, without steps.
        rows: N × D.
        context: N × features, or None.
        steps: their number.
        rotation: the linear map of a step (`families.IterativelyGaussianized`).
        seed: of its rotations.
    """
    fitted = next(m for m in flow.modules() if isinstance(m, IterativeGaussianization))
    knots = fitted.steps.knots.shape[-1]
    x = rows
    for i in range(steps):
        step = fit_step(x, context, knots, rotation, seed + i)
        single = IterativeGaussianization(fitted.event_shape, knots, fitted.context_shape)
        single.to(fitted.steps.matrix).append(step)
        fitted.append(step)
        with torch.no_grad():
            x = single.encode(x, context)[0]
