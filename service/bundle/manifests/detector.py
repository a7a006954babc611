"""What a manifest of format 2 says of a detector: graphs that score rows, and their calibration.

store/<name>/<version>/score.onnx        x[, context] → score, log_prob
store/<name>/<version>/neighbours.onnx   x[, context] → values; may be left out
store/<name>/<version>/calibration.npy   scores of normal rows; may be left out
store/<name>/<version>/columns.npy       values of their columns, in intervals; may be left out
store/<name>/<version>/hours.npy         both by the hour of the row's time; may be left out

A larger score is more anomalous.
"""

import math
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from service.bundle.manifests.fidelity import Figure
from service.bundle.manifests.flow import MAX_DIMENSIONS, EventShape
from service.bundle.manifests.part import ManifestPart, Tensor
from service.bundle.manifests.table import RowSelfTest, TypedManifest, raw_values_of
from service.tables import some_value

SCORE, NEIGHBOURS, CALIBRATION = "score.onnx", "neighbours.onnx", "calibration.npy"
COLUMN_VALUES, HOURS = "columns.npy", "hours.npy"

MAX_PARTS = 64
MAX_NEIGHBOURS = 64
MAX_LEVELS = 2**10

Levels = Annotated[list[float], Field(min_length=2, max_length=MAX_LEVELS)]
Quantiles = Annotated[list[float | None], Field(min_length=2, max_length=MAX_LEVELS)]


class ScorePart(ManifestPart):
    """A part of the score, for people; `bijecta fit-detector` says how the parts become one.

    Args:
        name, detail: what it is.
        weight: of the part in the score of a row.
        indexed_rows: rows of the data that the graphs hold for it.
    """

    name: str
    detail: str
    weight: float
    indexed_rows: Annotated[int, Field(ge=0)] = 0


class DetectorCalibration(ManifestPart):
    """The rows of `calibration.npy`, and quantiles for people.

    Args:
        method: how their scores come from models that did not see them: `folds`, each row by the
            members of the other folds; `out_of_bag`, by the members that did not draw it; `rows`,
            rows that no part of the training saw.
        rows: how many, also where the file holds a sketch of their scores.
        by: the label of the context whose classes are compared within; null for none.
        levels: of the quantiles, ascending, in [0, 1].
        score: their quantiles; null for +∞.
        log_prob: quantiles of their log_prob in nats; null for −∞. Left out where unknown.
    """

    method: Literal["folds", "out_of_bag", "rows"]
    rows: Annotated[int, Field(ge=1)]
    by: str | None = None
    levels: Levels
    score: Quantiles
    log_prob: Quantiles | None = None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "DetectorCalibration":
        levels = self.levels
        ascending = all(a < b for a, b in pairwise(levels))
        if not (ascending and levels[0] >= 0 and levels[-1] <= 1):
            raise ValueError("levels: expected numbers from 0 to 1, ascending")
        for name, values in {"score": self.score, "log_prob": self.log_prob}.items():
            if values is not None and len(values) != len(levels):
                raise ValueError(f"{name} has {len(values)} quantiles for {len(levels)} levels")
        return self


class LabelledFigures(ManifestPart):
    """What labels say of the scores; they never train.

    Args:
        rows, anomalies: with a label, and of these anomalies.
        auroc, auprc: of the scores, in 0 to 1.
        recall: of the anomalies, by the share of normal rows that raise an alarm, such as `0.01`.
    """

    rows: int
    anomalies: int
    auroc: Figure
    auprc: Figure
    recall: dict[str, Figure]


class DetectorHeldOut(ManifestPart):
    """Figures of rows that training never saw.

    Args:
        log_prob, se: mean nats per row, and its standard error over rows.
        rows: how many.
        labelled: where the data has labels.
    """

    log_prob: float
    se: float
    rows: int
    labelled: LabelledFigures | None = None

    @property
    def bits_per_dim(self) -> None:
        """None: columns of a table have units of their own."""


class ScoreTolerances(ManifestPart):
    """Largest differences between the graphs and the float64 reference, measured at export.

    Args:
        score: as a part of the deviation of the calibration rows' scores.
        log_prob_per_dim: in nats per dimension.
        batch_sizes: that were tried.
    """

    score: float
    log_prob_per_dim: float
    batch_sizes: list[int]


class ScoreSelfTest(RowSelfTest):
    """A row as of tables, of arrays its numbers in row-major order, and its score."""

    score: float


class DetectorManifest(TypedManifest):
    """A score of rows of typed columns, or of arrays of one shape, such as images.

    A server asks it what it asks the `Manifest` of a flow; what a detector has not is None.
    """

    kind: Literal["detector"]
    event_shape: EventShape = Field(description="of a row: of typed columns how many there are")
    dtype: Literal["float64"] = Field(description="of rows, scores and log_prob")
    configuration: Literal["clean", "contaminated"] = Field(
        description="whether the training rows were normal, or may have held anomalies"
    )
    parts: Annotated[list[ScorePart], Field(min_length=1, max_length=MAX_PARTS)]
    held_out: DetectorHeldOut
    calibration: DetectorCalibration | None = Field(
        None, description="null where there are no scores to compare with: `bijecta calibrate`"
    )
    tolerances: ScoreTolerances
    self_test: ScoreSelfTest | None = Field(None, description="null where no raw value is carried")

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "DetectorManifest":
        n = self.dimensions
        if not 1 <= n <= MAX_DIMENSIONS:
            raise ValueError(f"event shape {self.event_shape} has not 1 to {MAX_DIMENSIONS} values")
        names = [column.name for column in (*self.named_columns, *self.left_out)]
        if len(set(names)) < len(names):
            raise ValueError("columns: a name is there twice")
        if self.columns is not None and self.event_shape != [len(self.columns)]:
            raise ValueError(
                f"event shape {self.event_shape} is not of {len(self.columns)} columns"
            )
        self._check_graphs()
        if self.calibration is not None and self.calibration.by is not None:
            labels = [column.name for column in self.context or () if column.classes]
            if self.calibration.by not in labels:
                raise ValueError(f"calibration: {self.calibration.by!r:.80} is no label of context")
        if self.self_test is not None:
            lengths = [len(self.self_test.row), len(self.self_test.context or ())]
            has_words = self.columns is None and {*map(type, self.self_test.row)} - {int, float}
            if lengths != [n, len(self.context or ())] or has_words:
                raise ValueError("self_test holds no row of this model")
        carried = raw_values_of(
            self.named_columns, self.self_test is not None, self.left_out, self.has_indexed_rows
        )
        if COLUMN_VALUES in self.files and "indexed_rows" not in carried:
            raise ValueError(f"files: {COLUMN_VALUES} is for bundles that carry rows of the data")
        if self.raw_values != carried:
            raise ValueError(f"raw_values: the bundle carries {', '.join(carried) or 'none'}")
        return self

    def _check_graphs(self) -> None:
        if not {"score"} <= set(self.graphs) <= {"score", "neighbours"}:
            raise ValueError(
                f"graphs are score and, if any, neighbours, not {sorted(self.graphs)!r:.80}"
            )
        row = {"x": Tensor(type="float64", row_shape=self.event_shape)}
        if self.context is not None:
            row["context"] = Tensor(type="float64", row_shape=[len(self.context)])
        number = Tensor(type="float64", row_shape=[])
        expected = {"score": {"score": number, "log_prob": number}}
        if "neighbours" in self.graphs:
            shape = [*self.event_shape, self.neighbours]
            expected["neighbours"] = {"values": Tensor(type="float64", row_shape=shape)}
            if not 1 <= self.neighbours <= MAX_NEIGHBOURS:
                raise ValueError(f"graphs: neighbours are 1 to {MAX_NEIGHBOURS} of each value")
        for name, outputs in expected.items():
            graph = self.graphs[name]
            if (graph.inputs, graph.outputs) != (row, outputs):
                raise ValueError(
                    f"graphs: {name} is to take {', '.join(row)} and to give "
                    f"{', '.join(outputs)}, of float64, for rows of shape {self.event_shape}"
                )

    @property
    def neighbours(self) -> int:
        """How many values reasons try in place of each; 0 where there is no graph for them."""
        if "neighbours" not in self.graphs:
            return 0
        values = self.graphs["neighbours"].outputs.get("values")
        return values.row_shape[-1] if values is not None and values.row_shape else 0

    @property
    def has_indexed_rows(self) -> bool:
        """Whether the graphs hold rows of the data."""
        return "neighbours" in self.graphs or any(part.indexed_rows for part in self.parts)

    @property
    def required_files(self) -> list[str]:
        """Names of the files that there have to be."""
        return super().required_files + [CALIBRATION] * (self.calibration is not None)

    @property
    def dimensions(self) -> int:
        """Number of coordinates of one row."""
        return math.prod(self.event_shape)

    @property
    def latent_shape(self) -> EventShape:
        """Of no latents."""
        return []

    @property
    def example_row(self) -> NDArray[np.float64]:
        """A row that the graphs accept: 1 × event shape."""
        if self.columns is None:
            return np.zeros((1, *self.event_shape))
        return np.array([[some_value(column) for column in self.columns]], np.float64)

    @property
    def class_column(self) -> int | None:
        """The number of the context's column whose classes are compared within; None for none."""
        if self.calibration is None or self.calibration.by is None:
            return None
        return [column.name for column in self.context or ()].index(self.calibration.by)
