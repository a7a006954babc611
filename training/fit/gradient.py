"""Training by gradients: epochs of AdamW steps on an objective."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from training.data import AnyDataset
from training.errors import NonFiniteError
from training.files import write_atomically
from training.fit.distributed import SINGLE_PROCESS, Processes
from training.fit.likelihood import Likelihood
from training.fit.loop import RUN_BAR, Bar, Evaluation, TrainingLoop
from training.fit.objective import Objective
from training.fit.optimizer import FlowOptimizer, NonFiniteStepError
from training.runs import Progress, Run, Stateful


def fit(
    run: Run,
    dataset: AnyDataset,
    device: torch.device,
    processes: Processes = SINGLE_PROCESS,
    bar: Bar = RUN_BAR,
) -> Progress:
    """Train the density of a run by maximum likelihood (see `fit_to`).

    Args:
        run: the run folder, where the best weights are kept.
        dataset: the data of the run.
        device: where to train.
        processes: those that train together; each passes the same run and data.
        bar: how progress is shown.
    """
    flow = run.new_density().to(device)
    return fit_to(run, Likelihood(flow, dataset, run.file.recipe.fit, processes), processes, bar)


def fit_to(
    run: Run,
    objective: Objective,
    processes: Processes = SINGLE_PROCESS,
    bar: Bar = RUN_BAR,
) -> Progress:
    """Train the flow of a run to the end of its recipe, from wherever the run stands.

    The randomness of each step depends on the recipe's seed, the epoch and the step alone, and
    the state is saved between steps. So a run that was interrupted or killed at any moment ends
    with the weights of one that was not (bitwise, on a CPU with the same number of threads).

    Args:
        run: the run folder, where the best weights are kept.
        objective: what the flow is trained for.
        processes: those that train together; each passes the same run and objective.
        bar: how progress is shown.

    Raises:
        NonFiniteError: a loss is not a number. The message names the epoch, the batch, the rows,
            and the file that the batch was saved in.
    """
    trainer = GradientTrainer(run, objective, processes)
    return TrainingLoop(run, trainer, processes, bar).train()


class GradientTrainer:
    """Epochs of steps on batches of an objective (`loop.Trainer`).

    Args:
        run: the run folder, whose recipe says how to train.
        objective: what the flow is trained for.
        processes: those that share each batch.
    """

    pass_name, unit, keeps_all_passes = "epoch", "row", False

    def __init__(self, run: Run, objective: Objective, processes: Processes) -> None:
        self.folder, self.recipe = run.folder, run.file.recipe.fit
        self.objective, self.processes = objective, processes
        self.flow, self.device = objective.flow, objective.flow.like.device
        self.passes, self.units_per_pass = self.recipe.epochs, objective.rows
        self.batches = -(-objective.rows // self.recipe.batch_size)
        self.steps = self.passes * self.batches
        self.optimizer = FlowOptimizer(
            self.flow, objective.loss, self.recipe, self.steps, processes
        )

    def state(self) -> Mapping[str, Stateful]:
        """The flow and its optimizer."""
        return {"flow": self.flow, "optimizer": self.optimizer}

    def save_into(self, progress: Progress) -> None:
        """Keep the state of the gradient scaler."""
        progress.scaler = self.optimizer.scaler.state_dict()

    def begin(self, progress: Progress) -> None:
        """Initialize a fresh flow from data; restore the gradient scaler of a resumed one."""
        if progress.epoch == progress.step == 0:
            self.objective.initialize_from_data()
            self.optimizer.restart_average()
        elif progress.scaler:
            self.optimizer.scaler.load_state_dict(progress.scaler)

    def units_done(self, progress: Progress) -> int:
        """Rows trained on, each counted once in an epoch."""
        return progress.epoch * self.objective.rows + progress.step * self.recipe.batch_size

    def run_pass(self, progress: Progress, advance: Callable[[int], None]) -> Evaluation:
        """Make the remaining steps of an epoch, and score the validation rows."""
        self.flow.train()
        shuffler = torch.Generator().manual_seed(_seed(self.recipe.seed, progress.epoch))
        order = torch.randperm(self.objective.rows, generator=shuffler).to(self.device)
        for rows in torch.split(order, self.recipe.batch_size)[progress.step :]:
            progress.loss += self._step(progress, rows)
            progress.step += 1
            advance(len(rows))
        with self.optimizer.averaged() as flow:
            score = self.objective.score(flow)
        last_step = progress.epoch * self.batches + progress.step - 1
        return Evaluation(
            score,
            {
                "train": -progress.loss / self.objective.rows,
                "validation": score,
                "learning_rate": self.optimizer.learning_rate(last_step),
            },
        )

    def weights(self, passes: int) -> dict[str, Tensor]:
        """Copies of the weights that were scored: the averaged ones, where there is an average."""
        with self.optimizer.averaged() as flow:
            return {name: value.cpu().clone() for name, value in flow.state_dict().items()}

    def _step(self, progress: Progress, rows: Tensor) -> float:
        """Make a step on these training rows; returns the sum of their losses in nats."""
        # one seed for the noise and the dropout of a step: nothing else is random
        torch.manual_seed(_seed(self.recipe.seed, progress.epoch, progress.step))
        shard = self.processes.shard(len(rows))
        steps_done = progress.epoch * self.batches + progress.step
        x, context = self.objective.batch(rows, steps_done / self.steps)
        x, context = x[shard], None if context is None else context[shard]
        try:
            return self.optimizer.step(x, context, len(rows), steps_done)
        except NonFiniteStepError as error:
            raise self._refuse(error, progress, rows[shard], x, context) from None

    def _refuse(
        self,
        error: NonFiniteStepError,
        progress: Progress,
        rows: Tensor,
        x: Tensor,
        context: Tensor | None,
    ) -> NonFiniteError:
        """Save the batch of a step that was not made; returns the error that describes it."""
        if x.ndim == 2:  # prepared rows begin with the rows
            x = x[:, : math.prod(self.flow.event_shape)]
        tensors = {"rows": rows, "x": x, "log_prob": -error.row_loss}
        tensors |= {} if context is None else {"context": context}
        path = self.folder / f"refused-{self.processes.rank}.safetensors"
        write_atomically(
            path, save({name: value.cpu().contiguous() for name, value in tensors.items()})
        )
        non_finite = rows[~torch.isfinite(error.row_loss)]
        cause = (
            self.objective.describe_rows(non_finite)
            if len(non_finite)
            else f"all losses are finite, the gradient's norm is {error.norm}"
        )
        return NonFiniteError(
            f"epoch {progress.epoch + 1}, batch {progress.step + 1}: {cause}; the "
            f"weights before it are kept, and the batch in {path}. Lower learning_rate or "
            "clip_norm in [fit], or look at those rows"
        )


def _seed(*parts: int) -> int:
    """One seed made of several numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
