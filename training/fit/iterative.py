"""Iterative Gaussianization: steps fitted one after the other, without gradients."""

import sys
import time

import torch
from torch import Tensor
from tqdm import tqdm

from models.bijection import Bijection
from models.distributions import Base
from models.flow import Flow
from models.layers import IterativeGaussianization, Step, with_constant
from models.numerics import spline
from training.data import Dataset, Float32, normal_marginals, steepest
from training.errors import TrainingError
from training.fit.loop import SECONDS_BETWEEN_SAVES, device_name
from training.runs import Progress, Run

ROWS_AT_ONCE = 2048

# Directions that vary less than this part of the largest hold rounding, not to be blown up.
SMALLEST_VARIANCE = 1e-6


def gaussianize(run: Run, dataset: Dataset, device: torch.device) -> Progress:
    """Fit steps of marginals and a linear map until the validation rows score no better.

    Laparra et al. 2011 (RBIG), with whitening in each step. With one step and rotation "none" the
    flow is the Gaussian copula with these marginals (Sklar 1959). Steps are counted as epochs;
    an interrupted run goes on after the last step it saved, and ends as one that was not.

    Args:
        run: the run folder of an iterative family; its best steps are kept there.
        dataset: the run's data.
        device: where to fit.

    Raises:
        TrainingError: no step has a finite score.
    """
    recipe, options = run.file.recipe.fit, run.file.flow.options
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    flow = run.new_flow().to(device).eval()
    progress = run.load_state(flow=flow)
    progress.device = device_name(device)
    run.rewind_log(progress.epoch)
    started = time.monotonic() - progress.seconds
    steps = next(part for part in flow.modules() if isinstance(part, IterativeGaussianization))
    # one by one again, as they were fitted: rounding, and so every later step, is the same
    resumed = [Step(*parts) for parts in zip(*steps.steps, strict=True)]
    steps.truncate(0)
    train = _Rows(flow, dataset.noisy(dataset.train.rows, 1, recipe.seed), dataset.train.context)
    held = dataset.noisy(dataset.validation.rows, recipe.noise_copies, recipe.seed)
    validation = _Rows(flow, held, dataset.validation.context)
    for step in resumed:
        _append(steps, step, train, validation)
    saved = progress.seconds
    with tqdm(
        desc=run.file.name,
        unit="step",
        total=options["transforms"],
        initial=progress.epoch,
        mininterval=0.2 if sys.stderr.isatty() else 5,
    ) as bar:
        while not progress.finished:
            seed = recipe.seed + progress.epoch
            step = _fit_step(train, options["knots"], options["rotation"], seed)
            _append(steps, step, train, validation)
            score = validation.score(flow.base)
            progress.epoch += 1
            progress.seconds = time.monotonic() - started
            if score > progress.best_score:
                progress.best_epoch, progress.best_score = progress.epoch, score
            waited = progress.epoch - progress.best_epoch
            most = progress.epoch >= options["transforms"]
            progress.finished = most or waited >= recipe.patience
            run.log({"step": progress.epoch, "validation": score})
            figures = f"validation {score:.3f} nats, best {progress.best_score:.3f}"
            bar.set_postfix_str(figures, refresh=False)
            bar.update()
            if progress.finished or progress.seconds - saved > SECONDS_BETWEEN_SAVES:
                run.save_state(progress, flow=flow)
                saved = progress.seconds
    if progress.best_epoch == 0:
        raise TrainingError(f"{run.folder}: no step gave the validation rows a finite score")
    steps.truncate(progress.best_epoch)
    run.save_best(flow.state_dict())
    return progress


def _append(steps: IterativeGaussianization, step: Step, *moved: "_Rows") -> None:
    """Add a step to those fitted, and send rows through it."""
    alone = IterativeGaussianization(steps.event_shape, step.knots.shape[-1], steps.context_shape)
    alone.to(steps.steps.matrix).append(step)
    steps.append(step)
    for rows in moved:
        rows.advance(alone)


def _fit_step(rows: "_Rows", knots: int, rotation: str, seed: int) -> Step:
    """A step fitted to training rows as they arrive at it.

    Args:
        rows: the training rows.
        knots: of each coordinate's spline.
        rotation: `pca`, `random`, `mixed` (the two in turn) or `none`.
        seed: of a random rotation.
    """
    x, regression = _without_context(rows.x.flatten(1).double(), rows.context)
    splines = normal_marginals(x, knots, steepest(x))
    normal = torch.cat([spline(part, splines)[0] for part in torch.split(x, ROWS_AT_ONCE)])
    return Step(regression, torch.stack(splines), *_whitening(normal, rotation, seed))


def _without_context(x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """Rows less what the context says of their mean and scale, and both regressions on it.

    Least squares for the mean, then for the logarithm of the squared residual (Harvey 1976).
    """
    if context is None:
        return x, x.new_zeros(2, 0, x.shape[1])
    seen = with_constant(context).double()
    # a little ridge: one-hot columns and the constant are linearly dependent
    gram = seen.T @ seen + 1e-6 * len(seen) * torch.eye(seen.shape[1]).to(seen)
    mean = torch.linalg.solve(gram, seen.T @ x)
    residual = x - seen @ mean
    log_square = torch.log(residual**2 + 1e-6 * residual.var(0))
    log_scale = 0.5 * torch.linalg.solve(gram, seen.T @ log_square)
    return residual * torch.exp(-4 * torch.tanh(seen @ log_scale / 4)), torch.stack(
        [mean, log_scale]
    )


def _whitening(x: Tensor, rotation: str, seed: int) -> tuple[Tensor, Tensor]:
    """The mean of rows, and the linear map that makes them uncorrelated, then turns them."""
    mean = x.mean(0)
    covariance = (x - mean).T @ (x - mean) / len(x)
    variance, axes = torch.linalg.eigh(covariance)
    deviation = variance.clamp(min=SMALLEST_VARIANCE * float(variance.max())).sqrt()
    if rotation == "mixed":
        rotation = "random" if seed % 2 else "pca"
    if rotation == "pca":
        return mean, (axes / deviation).T
    symmetric = (axes / deviation) @ axes.T  # turns as little as whitening can
    if rotation == "random":
        generator = torch.Generator().manual_seed(seed)
        normal = torch.randn(covariance.shape, generator=generator, dtype=torch.float64)
        symmetric = torch.linalg.qr(normal)[0].to(symmetric) @ symmetric
    return mean, symmetric


class _Rows:
    """Rows on their way to the latents, with the log-determinants that they have met."""

    def __init__(self, flow: Flow, noisy: Float32, context: Float32 | None) -> None:
        # a copy: the rows are moved in place, and the data set's own must stay
        self.x = torch.tensor(noisy.reshape(-1, *noisy.shape[2:])).to(flow.like)
        self.log_det = self.x.new_zeros(len(self.x))
        self.context: Tensor | None = None
        if context is not None:
            repeated = torch.from_numpy(context).repeat(len(noisy), 1)
            self.context = flow.featured(repeated.to(flow.like))
        self.advance(flow.bijection)

    def advance(self, bijection: Bijection) -> None:
        """Send the rows through one more map."""
        conditional = bijection.context_shape is not None and self.context is not None
        for start in range(0, len(self.x), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            context = self.context[part] if conditional and self.context is not None else None
            with torch.no_grad():
                self.x[part], log_det = bijection.encode(self.x[part], context)
            self.log_det[part] += log_det

    def score(self, base: Base) -> float:
        """Mean log-density in nats."""
        return float((base.log_prob(self.x) + self.log_det).double().mean())
