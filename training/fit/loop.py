"""Training: epochs, early stopping, and exact resumption."""

import sys
import time
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from training.data import Dataset
from training.errors import NonFiniteError
from training.files import write_atomically
from training.fit.distributed import ALONE, Team
from training.fit.likelihood import Likelihood
from training.fit.objective import Objective
from training.fit.optimizer import NonFiniteStepError, Steps
from training.runs import Progress, Run

SECONDS_BETWEEN_SAVES = 30.0


def fit(run: Run, dataset: Dataset, device: torch.device, team: Team = ALONE) -> Progress:
    """Train a run's flow by maximum likelihood (see `fit_to`).

    Args:
        run: the run folder; its best weights are kept there as they are found.
        dataset: the run's data.
        device: where to train.
        team: the processes that train together; each gives the same run and data.
    """
    flow = run.new_flow().to(device)
    return fit_to(run, Likelihood(flow, dataset, run.file.recipe.fit, team), team)


def fit_to(run: Run, objective: Objective, team: Team = ALONE) -> Progress:
    """Train a run's flow to the end of its recipe, from wherever the run stands.

    Each step's randomness depends on the recipe's seed, the epoch and the step alone, and the
    state is saved between steps, so a run that was interrupted or killed at any moment ends with
    the weights of one that was not (bitwise, on a CPU with the same number of threads).

    Args:
        run: the run folder; its best weights are kept there as they are found.
        objective: what the flow is trained for.
        team: the processes that train together; each gives the same run and objective.

    Raises:
        NonFiniteError: a loss is not a number; says the epoch, the batch and the rows, and where
            the batch was saved.
    """
    recipe = run.file.recipe.fit
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)
    fitting = _Fitting(run, objective, team)
    with tqdm(
        desc=run.file.name,
        unit="row",
        unit_scale=True,
        total=recipe.epochs * objective.rows,
        initial=fitting.rows_done,
        mininterval=0.2 if sys.stderr.isatty() else 5,
        disable=not team.leads,
    ) as bar:
        while not fitting.progress.finished:
            fitting.epoch(bar)
    progress = fitting.progress
    if progress.best_epoch == 0:
        raise NonFiniteError(
            f"{run.folder}: in {progress.epoch} epochs no score of the validation rows was finite"
        )
    return progress


class _Fitting:
    """A training on its way."""

    def __init__(self, run: Run, objective: Objective, team: Team) -> None:
        self.run, self.recipe, self.team = run, run.file.recipe.fit, team
        self.objective, self.flow = objective, objective.flow
        self.batches = -(-objective.rows // self.recipe.batch_size)
        self.count = self.recipe.epochs * self.batches
        self.steps = Steps(self.flow, objective.loss, self.recipe, self.count, team)
        self.progress = run.load_state(flow=self.flow, optimizer=self.steps)
        if self.progress.epoch == self.progress.step == 0:
            objective.start()
            self.steps.restart_average()
        elif self.progress.scaler:
            self.steps.scaler.load_state_dict(self.progress.scaler)
        processes = f", {team.size} processes" if team.size > 1 else ""
        self.device = self.flow.like.device
        self.progress.device = device_name(self.device) + processes
        self.best: dict[str, Tensor] = {}  # weights better than those on disk
        self.saved = self.progress.seconds
        self.started = time.monotonic() - self.progress.seconds
        if team.leads:
            run.rewind_log(self.progress.epoch)

    @property
    def rows_done(self) -> int:
        """Rows trained on, counted once in each epoch."""
        progress = self.progress
        return progress.epoch * self.objective.rows + progress.step * self.recipe.batch_size

    def epoch(self, bar: "tqdm[Any]") -> None:
        """What is left of a pass over the training rows, and a score of the validation rows."""
        progress = self.progress
        self.flow.train()
        shuffler = torch.Generator().manual_seed(_seed(self.recipe.seed, progress.epoch))
        order = torch.randperm(self.objective.rows, generator=shuffler).to(self.device)
        for chosen in torch.split(order, self.recipe.batch_size)[progress.step :]:
            progress.loss += self._step(chosen)
            progress.step += 1
            bar.update(len(chosen))
            self._save_if_due()
        with self.steps.averaged() as flow:
            score = self.objective.score(flow)
            if score > progress.best_score:
                progress.best_epoch, progress.best_score = progress.epoch + 1, score
                self.best = {k: v.cpu().clone() for k, v in flow.state_dict().items()}
        line = {
            "epoch": progress.epoch + 1,
            "train": -progress.loss / self.objective.rows,
            "validation": score,
            "learning_rate": self.steps.rate(progress.epoch * self.batches + progress.step - 1),
        }
        progress.epoch, progress.step, progress.loss = progress.epoch + 1, 0, 0.0
        waited = progress.epoch - progress.best_epoch
        progress.finished = progress.epoch >= self.recipe.epochs or waited >= self.recipe.patience
        figures = f"validation {score:.3f} nats, best {progress.best_score:.3f}"
        bar.set_postfix_str(figures, refresh=False)
        if self.team.leads:
            self.run.log(line | {"seconds": round(time.monotonic() - self.started, 1)})
        self._save_if_due()

    def _step(self, chosen: Tensor) -> float:
        """A step on these training rows; the sum of their losses in nats."""
        progress = self.progress
        # one seed for the noise and dropout of a step: nothing else is random
        torch.manual_seed(_seed(self.recipe.seed, progress.epoch, progress.step))
        mine = self.team.share(len(chosen))
        done = progress.epoch * self.batches + progress.step
        x, context = self.objective.batch(chosen, done / self.count)
        x, context = x[mine], None if context is None else context[mine]
        try:
            return self.steps.step(x, context, len(chosen), done)
        except NonFiniteStepError as error:
            raise self._refused(error, chosen[mine], x, context) from None

    def _save_if_due(self) -> None:
        """Keep where training stands: at its end, and now and then before it."""
        progress = self.progress
        progress.seconds = time.monotonic() - self.started
        due = progress.seconds - self.saved > SECONDS_BETWEEN_SAVES
        if not self.team.leads or not (due or progress.finished):
            return
        # the state last: on disk it is never ahead of the weights that it speaks of
        if self.best:
            self.run.save_best(self.best)
        progress.scaler = self.steps.scaler.state_dict()
        self.run.save_state(progress, flow=self.flow, optimizer=self.steps)
        self.best, self.saved = {}, progress.seconds

    def _refused(
        self, error: NonFiniteStepError, chosen: Tensor, x: Tensor, context: Tensor | None
    ) -> NonFiniteError:
        """Keep the batch of a step that was not made, and say what is wrong with it."""
        tensors = {"rows": chosen, "x": x, "log_prob": -error.row_loss}
        tensors |= {} if context is None else {"context": context}
        path = self.run.folder / f"refused-{self.team.rank}.safetensors"
        write_atomically(path, save({name: value.cpu() for name, value in tensors.items()}))
        bad = chosen[~torch.isfinite(error.row_loss)]
        culprit = (
            self.objective.culprits(bad)
            if len(bad)
            else f"all losses are finite, the gradient's norm is {error.norm}"
        )
        return NonFiniteError(
            f"epoch {self.progress.epoch + 1}, batch {self.progress.step + 1}: {culprit}; the "
            f"weights before it are kept, and the batch in {path}. Lower learning_rate or "
            "clip_norm in [fit], or look at those rows"
        )


def device_name(device: torch.device) -> str:
    """What a device calls itself, for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
