"""Fits of a fixed number of steps, without held-out rows: of noisy rows, the noise known or not."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.flow import Flow
from models.layers import IterativeGaussianization
from training.config import FitRecipe
from training.fit.distributed import SINGLE_PROCESS
from training.fit.iterative import fit_step
from training.fit.likelihood import NegativeLogDensity
from training.fit.optimizer import FlowOptimizer


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


def fit_noise_conditional(
    flow: Flow,
    rows: Tensor,
    context: Tensor | None,
    levels: NoiseLevels,
    recipe: FitRecipe,
    steps: int,
) -> None:
    """Fit a flow to rows with normal noise, whose level is the first number of its context.

    There is no early stopping: noise of every level is new in each step.

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

    def batch() -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(rows), (recipe.batch_size,))
        level = levels.draw(recipe.batch_size).to(rows)
        x = rows[chosen] + torch.exp(level) * torch.randn_like(rows[chosen])
        known = [levels.condition(level), *([] if context is None else [context[chosen]])]
        return x, torch.cat(known, 1)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        flow.eval().initialize_from_data(*batch())
        flow.train()
        optimizer = FlowOptimizer(flow, NegativeLogDensity(flow), recipe, steps, SINGLE_PROCESS)
        for step in range(steps):
            x, known = batch()
            optimizer.step(x, known, len(x), step)
    flow.eval()


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
