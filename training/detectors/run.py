"""Run folders of detectors: complete, or not there at all; as safetensors and JSON, never pickle.

RUN/run.json               what the detector is of and made of, written last
RUN/weights.safetensors    its state
RUN/scores.safetensors     score and log-density of each training row, by members without it
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import load_file, save
from torch import Tensor

from service.bundle import ContextColumn
from service.tables import Column, LeftOutColumn
from training.config import TableColumns, one_line
from training.detectors.arrays.detector import ArrayDetector
from training.detectors.arrays.specification import ArrayDetectorSpec
from training.detectors.detector import Detector
from training.detectors.fit import FittedDetector
from training.detectors.specification import Configuration, DetectorSpec
from training.errors import RunError
from training.files import write_atomically

AnyDetector = Detector | ArrayDetector


class DetectorRecipe(BaseModel):
    """What the user asked for.

    Args:
        source: how the data is read; its context, and the label of that, condition rows.
        labels: the column that says which rows are anomalies; it never trains.
        configuration: what the detector was fitted for.
        seed: of all that is random.
    """

    model_config = ConfigDict(extra="forbid")

    source: dict[str, Any]
    labels: str | None
    configuration: Configuration
    seed: Annotated[int, Field(ge=0, lt=2**63)]


class DetectorRunFile(BaseModel):
    """The content of run.json.

    Args:
        kind: that it is of a detector.
        name: of the run.
        recipe: what the run follows.
        data_name, data_sha256: of the data.
        columns: what was decided of the columns of a table; None of arrays.
        context: what rows are conditioned on.
        spec: what the detector is made of.
    """

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    kind: Literal["detector"] = "detector"
    name: str
    recipe: DetectorRecipe
    data_name: str
    data_sha256: str
    columns: TableColumns | None
    context: list[ContextColumn]
    spec: DetectorSpec | ArrayDetectorSpec

    @property
    def modelled(self) -> list[Column]:
        """The columns of a table that are modelled; none of arrays."""
        return [] if self.columns is None else self.columns.modelled

    @property
    def left_out(self) -> list[LeftOutColumn]:
        """The columns of a table that are not."""
        return [] if self.columns is None else self.columns.left_out


@dataclass(frozen=True)
class DetectorRun:
    """The run folder of a detector.

    Args:
        folder: its path.
        file: its run.json.
    """

    folder: Path
    file: DetectorRunFile

    @property
    def weights(self) -> Path:
        """The file of the detector's state."""
        return self.folder / "weights.safetensors"

    @property
    def scores(self) -> Path:
        """The file of the training rows' scores."""
        return self.folder / "scores.safetensors"

    @classmethod
    def create(
        cls, folder: Path, file: DetectorRunFile, fitted: FittedDetector[AnyDetector]
    ) -> "DetectorRun":
        """Write a run; one that was there is replaced."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.json").unlink(missing_ok=True)
        run = cls(folder, file)
        state = {k: v.contiguous() for k, v in fitted.detector.state_dict().items()}
        write_atomically(run.weights, save(state))
        scores = {"score": fitted.out_of_sample, "log_prob": fitted.log_prob}
        write_atomically(
            run.scores, save({k: torch.from_numpy(v.copy()) for k, v in scores.items()})
        )
        write_atomically(folder / "run.json", file.model_dump_json(indent=2).encode())
        return run

    @classmethod
    def open(cls, folder: Path) -> "DetectorRun":
        """Open a run.

        Raises:
            RunError: there is none, or its run.json is damaged or of something else.
        """
        path = folder / "run.json"
        try:
            return cls(folder, DetectorRunFile.model_validate_json(path.read_bytes()))
        except FileNotFoundError:
            raise RunError(f"no detector at {folder}: `bijecta fit-detector` makes one") from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the whole file"
            raise RunError(f"{path} is of no detector: {where}: {first['msg']:.200}") from None

    def fitted(self) -> FittedDetector[AnyDetector]:
        """The detector, and the scores of its training rows.

        Raises:
            RunError: a file is missing or damaged.
        """
        spec = self.file.spec
        detector = ArrayDetector(spec) if isinstance(spec, ArrayDetectorSpec) else Detector(spec)
        self._read(self.weights, detector.load_state_dict)
        scores: dict[str, NDArray[np.float64]] = {}
        self._read(
            self.scores, lambda tensors: scores.update({k: v.numpy() for k, v in tensors.items()})
        )
        if scores.keys() != {"score", "log_prob"}:
            raise RunError(f"{self.scores} is damaged: it holds {sorted(scores)}")
        return FittedDetector(detector, scores["score"], scores["log_prob"])

    def _read(self, path: Path, take: Callable[[dict[str, Tensor]], Any]) -> None:
        try:
            take(load_file(path))
        except Exception as error:  # modules refuse tensors in every way there is
            raise RunError(
                f"{path} is damaged: {one_line(error)}: remove {self.folder} and fit again"
            ) from error
