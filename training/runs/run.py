"""Run folders: what training leaves behind, as safetensors and JSON, never pickle.

RUN/run.json             name, recipe, flow and data, written once at the start
RUN/weights.safetensors  the best weights so far
RUN/state.safetensors    what is needed to continue exactly where training stood
RUN/log.jsonl            one line an epoch
RUN/refused-0.safetensors  a batch without a finite loss, where one ended training
RUN/evaluation.json      the figures of the last `bijecta evaluate`
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from models import zoo
from models.flow import Flow
from service.bundle import sha256
from training.config import Recipe
from training.errors import RunError
from training.files import write_atomically


class Teacher(BaseModel):
    """The run that a student learns from.

    Args:
        name: the run's.
        folder: where it lies.
        sha256: checksum of its best weights.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    folder: str
    sha256: str


class RunFile(BaseModel):
    """Contents of run.json; `teacher` of students alone."""

    model_config = ConfigDict(extra="forbid")

    name: str
    recipe: Recipe
    flow: dict[str, Any]
    data_sha256: str
    teacher: Teacher | None = None


@dataclass
class Progress:
    """Where training stands; scores in nats per row.

    Args:
        epoch: whole epochs so far.
        step: steps of the one after them.
        loss: sum of the losses of its rows so far, in nats.
        best_epoch, best_score: after which epoch the validation rows scored best, and what.
        seconds: of training so far.
        finished: whether training has come to its end.
        device: what it trains on, for people.
        scaler: state of the gradient scaler, where there is one.
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    best_epoch: int = 0
    best_score: float = float("-inf")
    seconds: float = 0.0
    finished: bool = False
    device: str = ""
    scaler: dict[str, float] = field(default_factory=dict)


class Stateful(Protocol):
    """What has tensors to keep and to restore, such as a flow."""

    def state_dict(self) -> Mapping[str, Tensor]:
        """Tensors by name."""

    def load_state_dict(self, tensors: Mapping[str, Tensor], /) -> object:
        """Restore them."""


@dataclass
class Run:
    """One run folder.

    Args:
        folder: where it lies.
        file: its run.json.
        listeners: what hears of every line of the log that is written from now on.
    """

    folder: Path
    file: RunFile
    listeners: list[Callable[[Mapping[str, float]], None]] = field(default_factory=list)

    @classmethod
    def create(cls, folder: Path, file: RunFile) -> "Run":
        """Start a run in a new or empty folder."""
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "run.json", file.model_dump_json(indent=2).encode())
        return cls(folder, file)

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Open an existing run.

        Raises:
            RunError: there is none, or its run.json cannot be read.
        """
        path = folder / "run.json"
        if not path.is_file():
            raise RunError(f"no run at {folder}: `bijecta train` makes one")
        try:
            return cls(folder, RunFile.model_validate_json(path.read_bytes()))
        except ValidationError as error:
            raise RunError(f"{path} is damaged: {error}") from None

    @property
    def weights(self) -> Path:
        """The file of the best weights."""
        return self.folder / "weights.safetensors"

    def new_flow(self) -> Flow:
        """The run's flow with fresh weights, reproducible from the recipe's seed."""
        torch.manual_seed(self.file.recipe.fit.seed)
        return zoo.build(**self.file.flow)

    def best_flow(self) -> Flow:
        """The run's flow with the best weights so far, in evaluation mode.

        Raises:
            RunError: there are no weights yet, or they do not fit the flow.
        """
        flow = self.new_flow()
        self._check_weights()
        try:
            flow.load_state_dict(load_file(self.weights))
        except (SafetensorError, RuntimeError) as error:
            raise RunError(f"{self.weights} is damaged: {error}") from None
        return flow.eval()

    def as_teacher(self) -> Teacher:
        """What a student's run says of this run.

        Raises:
            RunError: it has no weights yet.
        """
        self._check_weights()
        folder = str(self.folder.resolve())
        return Teacher(name=self.file.name, folder=folder, sha256=sha256(self.weights))

    def _check_weights(self) -> None:
        if not self.weights.is_file():
            raise RunError(f"{self.folder} has no weights yet: let `bijecta train` go on")

    def teacher(self) -> "Run":
        """The run that this student learns from.

        Raises:
            RunError: it is not there any more, or has other weights now.
        """
        teacher = self.file.teacher
        assert teacher is not None
        run = Run.open(Path(teacher.folder))
        if run.as_teacher().sha256 != teacher.sha256:
            raise RunError(f"{teacher.folder} has other weights than when {self.folder} began")
        return run

    def save_best(self, weights: Mapping[str, Tensor]) -> None:
        """Keep these weights as the best so far."""
        write_atomically(self.weights, save(dict(weights)))

    def save_state(self, progress: Progress, **parts: Stateful) -> None:
        """Keep everything that the next step depends on, part by part, each under its name."""
        tensors = {
            f"{part}.{name}": value
            for part, stateful in parts.items()
            for name, value in stateful.state_dict().items()
        }
        metadata = {"progress": json.dumps(asdict(progress))}
        write_atomically(self.folder / "state.safetensors", save(tensors, metadata))

    def load_state(self, **parts: Stateful) -> Progress:
        """Restore what `save_state` kept; a fresh Progress where nothing was kept yet.

        Raises:
            RunError: the file is damaged or of another flow.
        """
        path = self.folder / "state.safetensors"
        if not path.is_file():
            return Progress()
        try:
            with safe_open(path, "pt") as file:
                progress = Progress(**json.loads(file.metadata()["progress"]))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            for part, stateful in parts.items():
                prefix = f"{part}."
                stateful.load_state_dict(
                    {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
                )
        except (SafetensorError, RuntimeError, LookupError) as error:
            raise RunError(f"{path} is damaged: {error}") from None
        return progress

    def log(self, line: Mapping[str, float]) -> None:
        """Add a line to the log."""
        for listener in self.listeners:
            listener(line)
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def rewind_log(self, epoch: int) -> None:
        """Forget lines after an epoch: those of epochs that will now be run again."""
        path = self.folder / "log.jsonl"
        lines = path.read_text().splitlines() if path.is_file() else []
        # a killed process may leave the last line cut off, and always one after the saved epoch
        kept = lines[:epoch]
        write_atomically(path, "".join(line + "\n" for line in kept).encode())
