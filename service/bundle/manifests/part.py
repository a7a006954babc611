"""The parts of a manifest, and what they have in common."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Cost = Literal["parallel", "iterative", "sequential"]
Direction = Literal["encode", "decode"]
Number = Literal["float32", "float64"]
Arithmetic = Literal[Number, "mixed"]
Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PerCoordinate = float | list[float]
"""One number, or one for each coordinate in row-major order."""

MAX_LAYERS = 2**10
MAX_ROWS, MAX_ROW_BYTES = 2**20, 2**40


class ManifestPart(BaseModel):
    """What a manifest or a part of it is: it never changes, and all its keys are known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Tensor(ManifestPart):
    """An input or output of a graph.

    Args:
        type: of its values.
        row_shape: of a row; the sides behind the first one.
    """

    type: Literal["float32", "float64", "int64"]
    row_shape: list[int]


class Support(ManifestPart):
    """The open box outside which the density is zero."""

    low: PerCoordinate
    high: PerCoordinate


class Dequantization(ManifestPart):
    """Which coordinates are whole numbers, and their range, both ends included."""

    columns: list[int] | None = Field(description="coordinates in row-major order; null for all")
    low: PerCoordinate
    high: PerCoordinate

    @property
    def index(self) -> slice | list[int]:
        """What picks the whole-number coordinates out of flat rows."""
        return slice(None) if self.columns is None else self.columns


class ContextColumn(ManifestPart):
    """One column of the context: a number, or a label that is one of some classes.

    Args:
        name: the column's name in the data.
        classes: the labels there are; null for a number.
        labels: their names, in that order, where the data has text.
        mean, scale, low, high: of a number among the training rows; null for a label.
    """

    name: str
    classes: list[int] | None = None
    labels: list[str] | None = None
    mean: float | None = None
    scale: float | None = None
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _is_a_number_or_a_label(self) -> "ContextColumn":
        figures = [self.mean, self.scale, self.low, self.high]
        if figures.count(None) != (4 if self.classes else 0):
            raise ValueError(f"context column {self.name!r} is neither a number nor a label")
        if self.labels is not None and len(self.labels) != len(self.classes or ()):
            raise ValueError(f"context column {self.name!r} has not one name for each class")
        return self

    @property
    def example(self) -> float | None:
        """A value that a model accepts: the first class, or the mean."""
        return self.classes[0] if self.classes else self.mean


class DataSource(ManifestPart):
    """What the flow was trained on.

    Args:
        name, sha256: of the file.
        noise: deviation of the normal noise that was added to its values.
    """

    name: str
    sha256: str
    noise: float = 0.0


class HeldOut(ManifestPart):
    """Score on rows that training never saw.

    Args:
        log_prob, se: mean nats per row, and its standard error over rows.
        rows: how many.
        noise_copies: noisy copies that each row's figure is averaged over; 1 without noise.
        bits_per_dim, bits_per_dim_se: the same where every column is a whole number, else null.
    """

    log_prob: float
    se: float
    rows: int
    noise_copies: int
    bits_per_dim: float | None
    bits_per_dim_se: float | None


class Sound(ManifestPart):
    """What rows of sound are: samples in the order of time, of one channel.

    Args:
        rate: samples per second.
        full_scale: the value of a sample that is as loud as a file can hold.
    """

    rate: Annotated[int, Field(ge=1)]
    full_scale: Annotated[float, Field(gt=0)]


class RoundTrip(ManifestPart):
    """Which rows come back from their latents, as rows ever farther from the data have shown.

    Args:
        tolerance: of a coordinate, as a part of its range or, if that is larger, of its size.
        z: largest absolute coordinate of latents that come back, as far as was seen.
        log_prob: lowest log_prob of rows that come back, in nats; null where z alone tells.
        scale: range of each coordinate of x.
        rows, inexact, unflagged: how many rows were tried, were off by more than the tolerance, and
            were so within both bounds.
    """

    tolerance: Annotated[float, Field(gt=0)]
    z: Annotated[float, Field(gt=0)]
    log_prob: float | None
    scale: PerCoordinate
    rows: int
    inexact: int
    unflagged: int


class Residual(ManifestPart):
    """How well held-out rows come back: encoded and decoded again by the graphs.

    Args:
        rows: how many were tried.
        tolerance: of a coordinate, as a part of its range.
        within: share of rows whose coordinates are all within the tolerance.
        p99: largest error of a row, as a part of the range, that 99 % of rows do not exceed.
    """

    rows: Annotated[int, Field(gt=0)]
    tolerance: Annotated[float, Field(gt=0)]
    within: Annotated[float, Field(ge=0, le=1)]
    p99: float | None


class MeasuredRows(ManifestPart):
    """How many rows what a manifest states was measured on.

    Args:
        held_out: rows that were held out in all; figures of fewer are of a sample drawn at random.
        encode, decode: rows whose answers by each graph were compared with those of the flow in
            float64.
    """

    held_out: Annotated[int, Field(gt=0)]
    encode: Annotated[int, Field(gt=0)]
    decode: Annotated[int, Field(gt=0)]


class Calibration(ManifestPart):
    """Quantiles of log_prob of held-out rows, just as clients send them: without noise."""

    rows: int
    levels: list[float]
    log_prob: list[float | None]


class Tolerances(ManifestPart):
    """Largest differences between the graphs and the float64 reference, measured at export."""

    log_prob_per_dim_p99: float
    log_prob_per_dim_max: float
    z_relative: float
    x_relative: float
    batch_sizes: list[int]


class Layers(ManifestPart):
    """The graph `layers.onnx`, which has the output of each layer that decoding passes.

    Args:
        names: of the layers, in the order of decoding: from the latents to the data.
        arithmetic: what the graph computes in.
        log_prob_per_dim_p99, log_prob_per_dim_max, states_relative: largest differences between
            the graph and the float64 reference, measured at export.
    """

    names: Annotated[
        list[Annotated[str, Field(pattern=r"^[ -~]{1,80}$")]],
        Field(min_length=1, max_length=MAX_LAYERS),
    ]
    arithmetic: Number
    log_prob_per_dim_p99: float
    log_prob_per_dim_max: float
    states_relative: float


class RunCost(ManifestPart):
    """What a run of a graph takes, measured on one thread of the CPU of the export.

    Args:
        row_bytes: memory, for each row more.
        rows: of the larger run that was measured.
        single_ms, batch_ms: CPU time of a run of one row, and of so many.
    """

    row_bytes: Annotated[int, Field(ge=0, le=MAX_ROW_BYTES)]
    rows: Annotated[int, Field(ge=2, le=MAX_ROWS)]
    single_ms: Milliseconds
    batch_ms: Milliseconds


class SelfTest(ManifestPart):
    """A held-out row, which a server asks the loaded graphs about before it answers with them.

    Args:
        x: its coordinates in row-major order, as float32 holds them.
        context: its context, of a conditional flow.
        log_prob: its log-density in nats, from the flow in float64.
    """

    x: list[float]
    context: list[float] | None
    log_prob: float
