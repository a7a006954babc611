"""Run folders: the files that training writes, as safetensors and JSON, never pickle.

RUN/run.json               name, recipe, flow and data, written once at the start
RUN/weights.safetensors    the best weights so far
RUN/state.safetensors      all that the next step depends on, to resume exactly
RUN/train.lock, train.pid  held by the process that trains, and its number
RUN/log.jsonl              one line per epoch
RUN/refused-0.safetensors  a batch without a finite loss, if one ended training
RUN/evaluation.json        the figures of the last `bijecta evaluate`
RUN/fidelity.json          of a student: how close it is to its teacher
RUN/measured.json          the same and more, with what they are of: an export measures none twice
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from models.density import Density
from models.flow import Flow
from service.bundle import BundleError, sha256
from service.store_folder import named_folder
from training.config import AnySpec, FlowSpec, Recipe, faults, messages_of, one_line
from training.errors import RunError
from training.files import write_atomically
from training.runs.formats import FORMAT, upgraded
from training.runs.progress import PROGRESS, Progress, Stateful

D = TypeVar("D", bound=Density)


class Teacher(BaseModel):
    """The run that a student learns from.

    Args:
        name: of the run.
        folder: its path.
        sha256: checksum of its best weights.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    folder: str
    sha256: str


class RunFile(BaseModel):
    """The content of run.json.

    Args:
        format: number of the format, see `training.runs.formats`.
        name: of the run.
        recipe: what the run follows.
        flow: what the recipe describes for the data.
        data_sha256: checksum of the data.
        teacher: of a student, the run that it learns from.
    """

    model_config = ConfigDict(extra="forbid")

    format: Literal[2] = FORMAT
    name: str
    recipe: Recipe
    flow: AnySpec
    data_sha256: str
    teacher: Teacher | None = None


def _no_run(folder: Path) -> str:
    """What there is in a folder that is no run."""
    try:
        bundle = named_folder(folder)
    except BundleError:  # such as an alias that there is not
        bundle = folder
    if bundle is None:
        return f"no run at {folder}: `bijecta train` makes one"
    return (
        f"{folder} is a bundle, and a run is expected: the folder that `bijecta train` wrote, such "
        f"as runs/{bundle.parent.name}"
    )


def _upgraded(content: bytes) -> dict[str, Any]:
    """The content of a run.json in today's format; errors as of `upgraded`."""
    values = json.loads(content)
    if found := next(faults(values), None):
        raise ValueError(found)
    return upgraded(values)


@dataclass
class Run:
    """One run folder.

    Args:
        folder: its path.
        file: its run.json.
        listeners: functions that are called with every new line of the log.
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
            RunError: there is none, or its run.json is damaged or of a newer format.
        """
        path = folder / "run.json"
        if not path.is_file():
            raise RunError(_no_run(folder))
        try:
            content = _upgraded(path.read_bytes())
            return cls(folder, RunFile.model_validate(content))
        except RunError as error:
            raise RunError(f"{path} was {error}") from None
        except ValidationError as error:
            said = messages_of(error.errors(include_url=False), content, RunFile)
            raise RunError(f"{path} is damaged: {said}") from None
        except (ValueError, RecursionError) as error:
            raise RunError(f"{path} is damaged: {one_line(error)}") from None

    @property
    def weights(self) -> Path:
        """The file of the best weights."""
        return self.folder / "weights.safetensors"

    @property
    def _state(self) -> Path:
        """The file of all that the next step depends on."""
        return self.folder / "state.safetensors"

    @property
    def flow_spec(self) -> FlowSpec:
        """The run's flow.

        Raises:
            RunError: it is a density over typed columns, which is no flow.
        """
        if not isinstance(self.file.flow, FlowSpec):
            raise RunError(
                f"{self.folder} is of family {self.file.flow.family!r}: only flows of numbers are "
                "distilled"
            )
        return self.file.flow

    def new_flow(self) -> Flow:
        """The run's flow with fresh weights, reproducible from the recipe's seed.

        Raises:
            RunError: run.json describes none, such as one whose preprocessing is of other rows.
        """
        return self._built(self.flow_spec.build)

    def new_density(self) -> Density:
        """The same of any run: its flow, or its density over typed columns."""
        if isinstance(self.file.flow, FlowSpec):
            return self.new_flow()
        return self._built(self.file.flow.build)

    def best_flow(self) -> Flow:
        """The run's flow with the best weights so far, in evaluation mode.

        Raises:
            RunError: there are no weights yet, or they do not fit the flow.
        """
        return self._with_best_weights(self.new_flow())

    def best_density(self) -> Density:
        """The same of any run: its flow, or its density over typed columns."""
        return self._with_best_weights(self.new_density())

    def _built(self, build: Callable[[], D]) -> D:
        torch.manual_seed(self.file.recipe.fit.seed)
        try:
            return build()
        except Exception as error:  # layers refuse what is not theirs in every way there is
            raise RunError(
                f"{self.folder / 'run.json'} is damaged: flow: {one_line(error)}"
            ) from error

    def _with_best_weights(self, flow: D) -> D:
        self.check_weights()
        try:
            flow.load_state_dict(load_file(self.weights))
        except Exception as error:  # flows refuse tensors in every way there is
            raise RunError(f"{self.weights} is damaged: {one_line(error)}") from error
        return flow.eval()

    def as_teacher(self) -> Teacher:
        """Describe this run as the run.json of a student does.

        Raises:
            RunError: it has no weights yet.
        """
        self.check_weights()
        folder = str(self.folder.resolve())
        return Teacher(name=self.file.name, folder=folder, sha256=sha256(self.weights))

    def check_weights(self) -> None:
        """Check that there are weights.

        Raises:
            RunError: there are none yet.
        """
        if not self.weights.is_file():
            raise RunError(f"{self.folder} has no weights yet: let `bijecta train` go on")

    def teacher(self) -> "Run":
        """The run that this student learns from.

        Raises:
            RunError: it no longer exists, or has other weights now.
        """
        teacher = self.file.teacher
        assert teacher is not None
        run = Run.open(Path(teacher.folder))
        if run.as_teacher().sha256 != teacher.sha256:
            raise RunError(f"{teacher.folder} has other weights than when {self.folder} began")
        return run

    def save_best(self, weights: Mapping[str, Tensor]) -> None:
        """Save these weights as the best so far."""
        write_atomically(self.weights, save(dict(weights)))

    def save_state(self, progress: Progress, **objects: Stateful) -> None:
        """Save all that the next step depends on: each object's tensors under its name."""
        tensors = {
            f"{prefix}.{name}": value
            for prefix, stateful in objects.items()
            for name, value in stateful.state_dict().items()
        }
        metadata = {"progress": json.dumps(asdict(progress))}
        write_atomically(self._state, save(tensors, metadata))

    def load_state(self, **objects: Stateful) -> Progress:
        """Restore what `save_state` saved; a fresh Progress if nothing was saved yet.

        Raises:
            RunError: the file is damaged or of another flow.
        """
        progress, path = self.progress(), self._state
        if not path.is_file():
            return progress
        try:
            with safe_open(path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            for name, stateful in objects.items():
                prefix = f"{name}."
                stateful.load_state_dict(
                    {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
                )
        except Exception as error:  # flows and optimizers refuse tensors in every way there is
            raise RunError(f"{path} is damaged: {one_line(error)}") from error
        return progress

    def progress(self) -> Progress:
        """How far training had got when its state was saved; a fresh Progress if it never was.

        Raises:
            RunError: the file is damaged.
        """
        path = self._state
        if not path.is_file():
            return Progress()
        try:
            with safe_open(path, "pt") as file:
                progress = PROGRESS.validate_json((file.metadata() or {})["progress"])
            if progress.best_epoch > progress.epoch:
                raise ValueError(f"best epoch {progress.best_epoch} of {progress.epoch}")
        except ValidationError as error:
            said = messages_of(error.errors(include_url=False), {}, RunFile)
            raise RunError(f"{path} is damaged: its progress: {said}") from None
        except Exception as error:  # safetensors has no one class of errors
            raise RunError(f"{path} is damaged: {one_line(error)}") from error
        return progress

    def log(self, line: Mapping[str, float]) -> None:
        """Add a line to the log."""
        for listener in self.listeners:
            listener(line)
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def rewind_log(self, epoch: int) -> None:
        """Drop the lines of the epochs that are about to be run again.

        Args:
            epoch: the last epoch whose line stays.
        """
        path = self.folder / "log.jsonl"
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
        # a killed process may leave its last line incomplete, but only after the saved epoch
        kept = lines[:epoch]
        write_atomically(path, b"".join(kept))
