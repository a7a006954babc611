"""The training loop: passes over the data, early stopping, saving, and exact resumption."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from training.errors import NonFiniteError
from training.fit.distributed import SINGLE_PROCESS, Processes
from training.fit.precision import why_float32
from training.progress import progress_bar
from training.runs import Progress, Run, Stateful

SECONDS_BETWEEN_SAVES = 30.0


class Evaluation(NamedTuple):
    """The result of one pass: the score in nats per row, and the line of the log about it."""

    score: float
    log_line: dict[str, float]


class Trainer(Protocol):
    """One way of training a flow, pass by pass: what a `TrainingLoop` repeats.

    Args:
        device: where it computes.
        passes: at most this many.
        pass_name: the word for one pass: `epoch` or `step`.
        unit: the word for what the progress bar counts.
        units_per_pass: how many of those a pass has.
    """

    device: torch.device
    passes: int
    pass_name: str
    unit: str
    units_per_pass: int

    def state(self) -> Mapping[str, Stateful]:
        """What is saved and restored, each part under its name in the state file."""

    def save_into(self, progress: Progress) -> None:
        """Write the numbers that the trainer keeps in `progress`, which is saved next."""

    def begin(self, progress: Progress) -> None:
        """Prepare for the next pass, after `state` was restored.

        Args:
            progress: where the training stands; that of a fresh run is `Progress()`.
        """

    def units_done(self, progress: Progress) -> int:
        """How many units of the progress bar are done."""

    def run_pass(self, progress: Progress, advance: Callable[[int], None]) -> Evaluation:
        """Carry out the rest of the pass, and score the flow.

        Args:
            progress: where the training stands; its `step` and `loss` belong to the trainer.
            advance: to be called after so many units, between two of which all state is sound.

        Raises:
            NonFiniteError: the pass cannot go on.
        """

    def weights(self, passes: int) -> dict[str, Tensor]:
        """Copies, on the CPU, of the weights after so many passes, of which some may be left out.

        It is called for the last pass, and for an earlier one where `keeps_all_passes`.
        """

    keeps_all_passes: bool
    """Whether `state` holds the weights after every pass, not those after the last alone."""


@dataclass(frozen=True)
class Bar:
    """How the progress of a training is shown.

    Args:
        title: of the bar; the run's name if empty.
        line: so many lines below the cursor; None where it is the only one.
    """

    title: str = ""
    line: int | None = None


RUN_BAR = Bar()
"""The only one, with the name of the run."""


class TrainingLoop:
    """Repeats the passes of a trainer until the recipe ends or the score stops improving.

    It resumes the run where it stands, shows progress, keeps the weights of the best pass, and
    saves the state every `SECONDS_BETWEEN_SAVES`. A trainer whose passes depend on its state and on
    `Progress` alone ends with the same weights however often it is interrupted.

    Args:
        run: the run folder, whose recipe says the patience and the number of CPU threads.
        trainer: what is repeated.
        processes: those that train together; each has the same run and trainer.
        bar: how progress is shown.
    """

    def __init__(
        self,
        run: Run,
        trainer: Trainer,
        processes: Processes = SINGLE_PROCESS,
        bar: Bar = RUN_BAR,
    ) -> None:
        self.run, self.trainer, self.processes, self.bar = run, trainer, processes, bar
        self.recipe = run.file.recipe.fit
        if self.recipe.threads is not None:
            torch.set_num_threads(self.recipe.threads)
        self.progress = run.load_state(**trainer.state())
        trainer.begin(self.progress)
        together = f", {processes.size} processes" if processes.size > 1 else ""
        instead = ", in float32" if why_float32(trainer.device, self.recipe.precision) else ""
        self.progress.device = _device_name(trainer.device) + together + instead
        self.unsaved_best: dict[str, Tensor] = {}  # weights better than those on disk
        self.seconds_at_save = self.progress.seconds
        self.started = time.monotonic() - self.progress.seconds
        if processes.is_main_process:
            run.rewind_log(self.progress.epoch)
            # runs of before this loop saved the state of such trainers without the weights
            if self.progress.best_epoch and trainer.keeps_all_passes:
                run.save_best(trainer.weights(self.progress.best_epoch))

    def train(self) -> Progress:
        """Train to the end.

        Raises:
            NonFiniteError: a pass cannot go on, or no pass had a finite score.
        """
        trainer, progress = self.trainer, self.progress
        with progress_bar(
            line=self.bar.line,
            desc=self.bar.title or self.run.file.name,
            unit=trainer.unit,
            unit_scale=trainer.units_per_pass > 1,
            total=trainer.passes * trainer.units_per_pass,
            initial=trainer.units_done(progress),
            disable=not self.processes.is_main_process,
        ) as bar:
            while not progress.finished:
                self._run_pass(bar)
        if progress.best_epoch == 0:
            raise NonFiniteError(
                f"{self.run.folder}: in {progress.epoch} {trainer.pass_name}s no score of the "
                "validation rows was finite"
            )
        return progress

    def _run_pass(self, bar: "tqdm[Any]") -> None:
        """Run the rest of one pass, and keep its weights if they are the best so far."""
        progress = self.progress

        def advance(units: int) -> None:
            bar.update(units)
            self._save_if_due()

        score, line = self.trainer.run_pass(progress, advance)
        progress.epoch, progress.step, progress.loss = progress.epoch + 1, 0, 0.0
        if score > progress.best_score:
            progress.best_epoch, progress.best_score = progress.epoch, score
            self.unsaved_best = self.trainer.weights(progress.epoch)
        passes_since_best = progress.epoch - progress.best_epoch
        progress.finished = (
            progress.epoch >= self.trainer.passes or passes_since_best >= self.recipe.patience
        )
        figures = f"validation {score:.3f} nats, best {progress.best_score:.3f}"
        bar.set_postfix_str(figures, refresh=False)
        if self.processes.is_main_process:
            seconds = round(time.monotonic() - self.started, 1)
            self.run.log({self.trainer.pass_name: progress.epoch} | line | {"seconds": seconds})
        self._save_if_due()

    def _save_if_due(self) -> None:
        """Save at the end of the training, and every `SECONDS_BETWEEN_SAVES` before it."""
        progress = self.progress
        progress.seconds = time.monotonic() - self.started
        due = progress.seconds - self.seconds_at_save > SECONDS_BETWEEN_SAVES
        if not self.processes.is_main_process or not (due or progress.finished):
            return
        # the weights before the state: a state on disk never names weights that are not there yet
        if self.unsaved_best:
            self.run.save_best(self.unsaved_best)
        self.trainer.save_into(progress)
        self.run.save_state(progress, **self.trainer.state())
        self.unsaved_best, self.seconds_at_save = {}, progress.seconds


def _device_name(device: torch.device) -> str:
    """The name of a device, for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"
