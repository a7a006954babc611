"""Iterative Gaussianization: steps that are fitted one after another, without gradients."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from models.bijection import Bijection
from models.distributions import Base
from models.flow import Flow
from models.layers import GaussianizationStep, IterativeGaussianization, with_constant
from models.numerics import spline
from training.data import Dataset, Float32
from training.fit.loop import Evaluation, TrainingLoop
from training.preprocessing import normal_marginals, steepest
from training.runs import Progress, Run, Stateful

ROWS_AT_ONCE = 2048

# Directions whose variance is below this fraction of the largest hold rounding errors, which
# whitening must not magnify.
SMALLEST_VARIANCE = 1e-6


def gaussianize(run: Run, dataset: Dataset, device: torch.device) -> Progress:
    """Fit steps of marginals and a linear map until the validation rows score no better.

    Laparra et al. 2011 (RBIG), with whitening in each step. With one step and rotation "none" the
    flow is the Gaussian copula with these marginals (Sklar 1959). Steps are counted as epochs. An
    interrupted run resumes after the last step that it saved, and ends like one that was not
    interrupted.

    Args:
        run: the run folder of an iterative family, where its best steps are kept.
        dataset: the data of the run.
        device: where to fit.

    Raises:
        NonFiniteError: no step has a finite score.
    """
    flow = run.new_flow().to(device).eval()
    return TrainingLoop(run, IterativeTrainer(run, flow, dataset)).train()


class IterativeTrainer:
    """Steps of iterative Gaussianization, each fitted to the rows that the others map to it.

    It implements `loop.Trainer`; a pass is one step.

    Args:
        run: the run folder, whose recipe has the options of the family.
        flow: the flow of the run, on its device.
        dataset: the data of the run.
    """

    pass_name, unit, units_per_pass, keeps_all_passes = "step", "step", 1, True

    def __init__(self, run: Run, flow: Flow, dataset: Dataset) -> None:
        self.flow, self.dataset, self.device = flow, dataset, flow.like.device
        self.recipe, self.options = run.file.recipe.fit, run.file.flow.options
        self.passes = self.options["transforms"]
        self.steps = next(
            layer for layer in flow.modules() if isinstance(layer, IterativeGaussianization)
        )

    def state(self) -> Mapping[str, Stateful]:
        """The flow, which holds the steps."""
        return {"flow": self.flow}

    def save_into(self, progress: Progress) -> None:
        """Nothing beside the flow is to be kept."""

    def begin(self, progress: Progress) -> None:
        """Map the rows through the preprocessing and the steps that a resumed run has."""
        # one step at a time, as they were fitted: rounding, and so every later step, is the same
        resumed = [GaussianizationStep(*fields) for fields in zip(*self.steps.steps, strict=True)]
        self.steps.truncate(0)
        dataset, recipe = self.dataset, self.recipe
        noisy = dataset.noisy(dataset.train.rows, 1, recipe.seed)
        self.train = _MappedRows(self.flow, noisy, dataset.train.context)
        noisy = dataset.noisy(dataset.validation.rows, recipe.noise_copies, recipe.seed)
        self.validation = _MappedRows(self.flow, noisy, dataset.validation.context)
        for step in resumed:
            self._append(step)

    def units_done(self, progress: Progress) -> int:
        """Steps that are fitted."""
        return progress.epoch

    def run_pass(self, progress: Progress, advance: Callable[[int], None]) -> Evaluation:
        """Fit one step, and score the validation rows."""
        seed = self.recipe.seed + progress.epoch
        knots, rotation = self.options["knots"], self.options["rotation"]
        step = fit_step(self.train.x.flatten(1), self.train.context, knots, rotation, seed)
        self._append(step)
        score = self.validation.score(self.flow.base)
        return Evaluation(score, {"validation": score})

    def weights(self, passes: int) -> dict[str, Tensor]:
        """Copies of the state of the flow with its first steps alone."""
        buffers = self.flow.named_buffers()
        steps = {name for name, values in buffers if any(values is s for s in self.steps.steps)}
        return {
            name: (values[:passes] if name in steps else values).cpu().clone()
            for name, values in self.flow.state_dict().items()
        }

    def _append(self, step: GaussianizationStep) -> None:
        """Add a step to those fitted, and map all rows through it."""
        knots, context_shape = step.knots.shape[-1], self.steps.context_shape
        single = IterativeGaussianization(self.steps.event_shape, knots, context_shape)
        single.to(self.steps.steps.matrix).append(step)
        self.steps.append(step)
        for rows in (self.train, self.validation):
            rows.map_through(single)


def fit_step(
    rows: Tensor, context: Tensor | None, knots: int, rotation: str, seed: int
) -> GaussianizationStep:
    """Fit a step to training rows that the steps before it have mapped.

    Args:
        rows: N × D.
        context: features of the context of each row, or None.
        knots: number of knots of each coordinate's spline.
        rotation: `pca`, `random`, `mixed` (the two in turn) or `none`.
        seed: of a random rotation.
    """
    x, regression = _regress_on_context(rows.double(), context)
    splines = normal_marginals(x, knots, steepest(x))
    normal = torch.cat([spline(batch, splines)[0] for batch in torch.split(x, ROWS_AT_ONCE)])
    linear = _whitening(normal, rotation, seed)
    return GaussianizationStep(regression, torch.stack(splines), *linear)


def _regress_on_context(x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """Remove from rows what the context predicts of their mean and scale.

    Least squares for the mean, then for the logarithm of the squared residual (Harvey 1976).

    Args:
        x: N × D.
        context: N × features, or None.

    Returns:
        The residuals in units of their predicted scale: N × D. Both regressions: 2 × (features + 1)
        × D, or 2 × 0 × D without a context.
    """
    if context is None:
        return x, x.new_zeros(2, 0, x.shape[1])
    features = with_constant(context).double()
    # a little ridge: one-hot columns and the constant are linearly dependent
    identity = torch.eye(features.shape[1]).to(features)
    gram = features.T @ features + 1e-6 * len(features) * identity
    mean = torch.linalg.solve(gram, features.T @ x)
    residual = x - features @ mean
    log_square = torch.log(residual**2 + 1e-6 * residual.var(0))
    log_scale = 0.5 * torch.linalg.solve(gram, features.T @ log_square)
    standardized = residual * torch.exp(-4 * torch.tanh(features @ log_scale / 4))
    return standardized, torch.stack([mean, log_scale])


def _whitening(x: Tensor, rotation: str, seed: int) -> tuple[Tensor, Tensor]:
    """The mean of rows, D, and a linear map, D × D, that decorrelates and then rotates them."""
    mean = x.mean(0)
    covariance = (x - mean).T @ (x - mean) / len(x)
    variance, axes = torch.linalg.eigh(covariance)
    deviation = variance.clamp(min=SMALLEST_VARIANCE * float(variance.max())).sqrt()
    if rotation == "mixed":
        rotation = "random" if seed % 2 else "pca"
    if rotation == "pca":
        return mean, (axes / deviation).T
    symmetric = (axes / deviation) @ axes.T  # the whitening that rotates least
    if rotation == "random":
        generator = torch.Generator().manual_seed(seed)
        normal = torch.randn(covariance.shape, generator=generator, dtype=torch.float64)
        symmetric = torch.linalg.qr(normal)[0].to(symmetric) @ symmetric
    return mean, symmetric


class _MappedRows:
    """Rows mapped through the layers so far, with the sum of their log-determinants."""

    def __init__(self, flow: Flow, noisy: Float32, context: Float32 | None) -> None:
        # a copy: the rows are changed in place, and those of the data set must stay
        self.x = torch.tensor(noisy.reshape(-1, *noisy.shape[2:])).to(flow.like)
        self.log_det = self.x.new_zeros(len(self.x))
        self.context: Tensor | None = None
        if context is not None:
            repeated = torch.from_numpy(context).repeat(len(noisy), 1)
            self.context = flow.featurize(repeated.to(flow.like))
        self.map_through(flow.bijection)

    def map_through(self, bijection: Bijection) -> None:
        """Replace the rows by what one more bijection encodes them to."""
        conditional = bijection.context_shape is not None and self.context is not None
        for start in range(0, len(self.x), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            context = self.context[rows] if conditional and self.context is not None else None
            with torch.no_grad():
                self.x[rows], log_det = bijection.encode(self.x[rows], context)
            self.log_det[rows] += log_det

    def score(self, base: Base) -> float:
        """Mean log-density in nats."""
        return float((base.log_prob(self.x) + self.log_det).double().mean())
