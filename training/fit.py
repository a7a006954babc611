"""Maximum likelihood: epochs, early stopping, and exact resumption."""

import math
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from models.flow import Flow
from models.networks import set_precision
from training.checkpoint import Progress, Run
from training.data import Dataset
from training.errors import NonFiniteError
from training.evaluate import log_prob
from training.recipe import FitRecipe

SECONDS_BETWEEN_SAVES = 10.0

# Enough rows for means and deviations to start from, few enough for any memory.
ROWS_TO_START = 1024

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def fit(run: Run, dataset: Dataset, device: torch.device) -> Progress:
    """Train a run's flow to the end of its recipe, from wherever the run stands.

    Each epoch's randomness depends on the recipe's seed and the epoch alone, and the state is
    saved after whole epochs, so a run that was interrupted or killed at any moment ends with the
    weights of one that was not (bitwise, on a CPU with the same number of threads).

    Args:
        run: the run folder; its best weights are kept there as they are found.
        dataset: the run's data.
        device: where to train.

    Raises:
        NonFiniteError: a loss is not a number; says the epoch, the batch and the rows.
    """
    recipe = run.file.recipe.fit
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    flow = run.new_flow().to(device)
    set_precision(flow, PRECISIONS[recipe.precision])
    optimizer = torch.optim.AdamW(
        flow.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    # the gradients of float16 end at 6e-8: they are computed larger, and made small again after
    scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "float16")
    progress = run.load_state(flow, optimizer)
    if progress.epoch == 0:
        _start(flow, dataset, recipe.seed)
    scaler.load_state_dict(progress.scaler or scaler.state_dict())
    run.rewind_log(progress.epoch)
    train = _Rows.of(dataset, device)
    validation = dataset.noisy(dataset.validation, recipe.noise_copies, recipe.seed)
    best: dict[str, Tensor] = {}  # weights better than those on disk
    saved = progress.seconds
    started = time.monotonic() - progress.seconds
    with tqdm(
        desc=run.file.name,
        unit="epoch",
        total=recipe.epochs,
        initial=progress.epoch,
        mininterval=0.2 if sys.stderr.isatty() else 5,
    ) as bar:
        while not progress.finished:
            loss = _epoch(flow, optimizer, scaler, train, recipe, progress.epoch)
            score = float(log_prob(flow, validation, dataset.validation_context).mean())
            progress.epoch += 1
            progress.scaler = scaler.state_dict()
            progress.seconds = time.monotonic() - started
            if score > progress.best_score:
                progress.best_epoch, progress.best_score = progress.epoch, score
                best = {name: value.cpu().clone() for name, value in flow.state_dict().items()}
            waited = progress.epoch - progress.best_epoch
            progress.finished = progress.epoch >= recipe.epochs or waited >= recipe.patience
            run.log({"epoch": progress.epoch, "train": -loss, "validation": score})
            figures = f"validation {score:.3f} nats, best {progress.best_score:.3f}"
            bar.set_postfix_str(figures, refresh=False)
            bar.update()
            if progress.finished or progress.seconds - saved > SECONDS_BETWEEN_SAVES:
                # the state last: on disk it is never ahead of the weights that it speaks of
                if best:
                    run.save_best(best)
                run.save_state(flow, optimizer, progress)
                best, saved = {}, progress.seconds
    if progress.best_epoch == 0:
        raise NonFiniteError(
            f"{run.folder}: in {progress.epoch} epochs no score of the validation rows was finite"
        )
    return progress


@dataclass(frozen=True)
class _Rows:
    """Training rows on their device: what a batch is taken from."""

    x: Tensor
    context: Tensor | None
    integer: Tensor | None

    @classmethod
    def of(cls, dataset: Dataset, device: torch.device) -> "_Rows":
        def moved(values: NDArray[Any] | None) -> Tensor | None:
            return None if values is None else torch.from_numpy(values).to(device)

        integer = dataset.integer if dataset.integer.any() else None
        x = torch.from_numpy(dataset.train).to(device)
        return cls(x, moved(dataset.train_context), moved(integer))

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor | None]:
        """Rows with fresh dequantisation noise, and their context."""
        x = self.x[chosen]
        if self.integer is not None:
            x = x + (torch.rand_like(x) - 0.5) * self.integer
        return x, None if self.context is None else self.context[chosen]


def _epoch(
    flow: Flow,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    train: _Rows,
    recipe: FitRecipe,
    epoch: int,
) -> float:
    """One pass over the training rows; the mean loss in nats per row."""
    # one seed for the order of rows, the noise and dropout: nothing else is random
    torch.manual_seed(int(np.random.SeedSequence([recipe.seed, epoch]).generate_state(1)[0]))
    flow.train()
    order = torch.randperm(len(train.x)).to(train.x.device)
    batches = torch.split(order, recipe.batch_size)
    total = 0.0
    for i, chosen in enumerate(batches):
        if recipe.schedule == "cosine":
            done = (epoch + i / len(batches)) / recipe.epochs
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        row_loss = -flow.log_prob(*train.batch(chosen))
        loss = row_loss.mean()
        optimizer.zero_grad()
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(flow.parameters(), recipe.clip_norm)
        # gradients that only their scale made infinite cost a step, and the scale is halved
        too_large = bool(torch.isfinite(loss)) and scaler.get_scale() > 1
        if not bool(torch.isfinite(norm)) and not too_large:
            _refuse(row_loss, norm, chosen, epoch, i)
        scaler.step(optimizer)
        scaler.update()
        total += float(loss.detach()) * len(chosen)
    return total / len(train.x)


def _start(flow: Flow, dataset: Dataset, seed: int) -> None:
    """Let layers that take their first values from data take them."""
    rows = slice(ROWS_TO_START)
    inputs = [dataset.noisy(dataset.train[rows], 1, seed)[0]]
    if dataset.train_context is not None:
        inputs.append(dataset.train_context[rows])
    flow.eval().start(*(torch.from_numpy(values).to(flow.like) for values in inputs))


def _refuse(row_loss: Tensor, norm: Tensor, chosen: Tensor, epoch: int, batch: int) -> None:
    rows = chosen[~torch.isfinite(row_loss)].tolist()
    culprit = (
        f"training rows {rows[:10]} of {len(rows)} have no finite log-density"
        if rows
        else f"all log-densities are finite, the gradient's norm is {float(norm)}"
    )
    raise NonFiniteError(
        f"epoch {epoch + 1}, batch {batch + 1}: {culprit}; the weights before it are kept. "
        "Lower learning_rate or clip_norm in [fit], or look at those rows"
    )
