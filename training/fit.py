"""Maximum likelihood: epochs, early stopping, and exact resumption."""

import math
import sys
import time

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from models.flow import Flow
from training.checkpoint import Progress, Run
from training.data import Dataset
from training.errors import NonFiniteError
from training.evaluate import log_prob
from training.recipe import FitRecipe

SECONDS_BETWEEN_SAVES = 10.0


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
    optimizer = torch.optim.AdamW(
        flow.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    progress = run.load_state(flow, optimizer)
    run.rewind_log(progress.epoch)
    train = torch.from_numpy(dataset.train).to(device)
    integer = torch.from_numpy(dataset.integer).to(device) if dataset.integer.any() else None
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
            loss = _epoch(flow, optimizer, train, integer, recipe, progress.epoch)
            score = float(log_prob(flow, validation).mean())
            progress.epoch += 1
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


def _epoch(
    flow: Flow,
    optimizer: torch.optim.Optimizer,
    train: Tensor,
    integer: Tensor | None,
    recipe: FitRecipe,
    epoch: int,
) -> float:
    """One pass over the training rows; the mean loss in nats per row."""
    # one seed for the order of rows, the noise and dropout: nothing else is random
    torch.manual_seed(int(np.random.SeedSequence([recipe.seed, epoch]).generate_state(1)[0]))
    flow.train()
    order = torch.randperm(len(train)).to(train.device)
    batches = torch.split(order, recipe.batch_size)
    total = 0.0
    for i, chosen in enumerate(batches):
        if recipe.schedule == "cosine":
            done = (epoch + i / len(batches)) / recipe.epochs
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        rows = train[chosen]
        if integer is not None:
            rows = rows + (torch.rand_like(rows) - 0.5) * integer
        row_loss = -flow.log_prob(rows)
        loss = row_loss.mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(flow.parameters(), recipe.clip_norm)
        if not bool(torch.isfinite(norm)):
            _refuse(row_loss, norm, chosen, epoch, i)
        optimizer.step()
        total += float(loss.detach()) * len(chosen)
    return total / len(train)


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
