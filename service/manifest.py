"""What a bundle's manifest says. Needs neither torch nor onnx."""

import math
import re
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from service.manifest_fidelity import Distilled
from service.manifest_part import Part

FORMAT_VERSION = 1

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
VERSION = re.compile(r"[1-9][0-9]*")

Cost = Literal["parallel", "iterative", "sequential"]
Direction = Literal["encode", "decode"]
Number = Literal["float32", "float64"]
Arithmetic = Literal[Number, "mixed"]
PerCoordinate = float | list[float]
"""One number, or one for each coordinate in row-major order."""


class Support(Part):
    """The open box outside which the density is zero."""

    low: PerCoordinate
    high: PerCoordinate


class Dequantization(Part):
    """Which coordinates are whole numbers, and their range, both ends included."""

    columns: list[int] | None = Field(description="coordinates in row-major order; null for all")
    low: PerCoordinate
    high: PerCoordinate

    @property
    def index(self) -> slice | list[int]:
        """What picks the whole-number coordinates out of flat rows."""
        return slice(None) if self.columns is None else self.columns


class ContextColumn(Part):
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


class DataSource(Part):
    """What the flow was trained on.

    Args:
        name, sha256: of the file.
        noise: deviation of the normal noise that was added to its values.
    """

    name: str
    sha256: str
    noise: float = 0.0


class HeldOut(Part):
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


class Sound(Part):
    """What rows of sound are: samples in the order of time, of one channel.

    Args:
        rate: samples per second.
        full_scale: the value of a sample that is as loud as a file can hold.
    """

    rate: Annotated[int, Field(ge=1)]
    full_scale: Annotated[float, Field(gt=0)]


class Calibration(Part):
    """Quantiles of log_prob of held-out rows, just as clients send them: without noise."""

    rows: int
    levels: list[float]
    log_prob: list[float | None]


class Tolerances(Part):
    """Largest differences between the graphs and the float64 reference, measured at export."""

    log_prob_per_dim_p99: float
    log_prob_per_dim_max: float
    z_relative: float
    x_relative: float
    batch_sizes: list[int]


class SelfTest(Part):
    """A held-out row, which a server asks the loaded graphs about before it answers with them.

    Args:
        x: its coordinates in row-major order, as float32 holds them.
        context: its context, of a conditional flow.
        log_prob: its log-density in nats, from the flow in float64.
    """

    x: list[float]
    context: list[float] | None
    log_prob: float


class InverseMethod(Part):
    """A way of finding coordinates one after another, and what it was measured to cost.

    Args:
        method: `ordered`, each hidden unit computed once; or `jacobi`, sweeps over a block of
            coordinates until they stand still. Both are exact.
        width: coordinates of a block.
        milliseconds: for so many rows at once, on the CPU of the export.
    """

    method: Literal["ordered", "jacobi"]
    width: int
    milliseconds: dict[str, float]


class Inverse(InverseMethod):
    """How a graph's sequential direction is computed.

    Args:
        tolerance: sweeps stop when no coordinate changes by more, relative to max(1, its size);
            0 where they stop when nothing changes at all.
        residual: largest difference of what was given from what the other direction, in float64,
            makes of the answer, as a part of its range.
        others: methods that were measured too and are slower.
    """

    tolerance: float
    residual: float
    others: list[InverseMethod]


BASE_PARAMETERS = {
    "normal": set[str](),
    "logistic": set[str](),
    "uniform": {"low", "high"},
    "student-t": {"df"},
    "mixture": {"log_weights", "means", "log_scales"},
}


class Manifest(Part):
    """Everything a server or a reader needs to know about a bundle."""

    format_version: Literal[1]
    name: Annotated[str, Field(pattern=rf"^{NAME.pattern}$")]
    version: Annotated[int, Field(ge=1)]
    family: str
    event_shape: list[Annotated[int, Field(ge=1)]]
    latent_shape: list[Annotated[int, Field(ge=1)]]
    dtype: Literal["float32"]
    arithmetic: Arithmetic = Field(
        "float32",
        description="what the graphs compute in, between inputs and outputs of `dtype`; mixed: "
        "one direction in float32, the other in float64",
    )
    base: Literal["normal", "logistic", "uniform", "student-t", "mixture"]
    base_parameters: dict[str, float | list[float] | list[list[float]]] = Field(
        {},
        description="uniform: low, high; student-t: df; mixture, of K components on D "
        "coordinates: log_weights (K), means and log_scales (K × D)",
    )
    context_shape: list[int] | None
    context: list[ContextColumn] | None = None
    cost: dict[Direction, Cost]
    inverse: dict[Direction, Inverse] = Field(
        {}, description="for each direction that masked layers make sequential"
    )
    preprocessing: list[dict[str, Any]]
    support: Support | None
    dequantization: Dequantization | None
    sound: Sound | None = Field(None, description="where rows are sounds")
    data: DataSource
    held_out: HeldOut
    distilled: Distilled | None = Field(None, description="of a student of another model")
    calibration: Calibration
    tolerances: Tolerances
    self_test: SelfTest | None = Field(
        None, description="null in bundles from before there was one"
    )
    files: dict[str, str]
    weights_sha256: str | None = Field(
        None, description="of the weights that the run was exported with"
    )
    made_with: dict[str, str]
    checksum: str = Field(description="sha256 of this manifest without this key, see `checksum`")

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "Manifest":
        n = self.dimensions
        if math.prod(self.latent_shape) != n:
            raise ValueError(f"event shape {self.event_shape}, latent shape {self.latent_shape}")
        if set(self.base_parameters) != BASE_PARAMETERS[self.base]:
            raise ValueError(f"base {self.base} has parameters {sorted(self.base_parameters)}")
        if self.context_shape != (None if self.context is None else [len(self.context)]):
            raise ValueError(f"context shape {self.context_shape} is not that of its columns")
        if self.self_test is not None:
            given = [self.self_test.x, self.self_test.context or []]
            if list(map(len, given)) != [n, len(self.context or ())]:
                raise ValueError("self_test holds no row of this model")
        lengths = {"support": n}
        if self.dequantization is not None:
            columns = self.dequantization.columns
            lengths["dequantization"] = n if columns is None else len(columns)
            if not all(0 <= column < n for column in columns or ()):
                raise ValueError(f"dequantization names columns beyond the {n} there are")
        for name, length in lengths.items():
            box = getattr(self, name)
            for edge in () if box is None else (box.low, box.high):
                if isinstance(edge, list) and len(edge) != length:
                    raise ValueError(f"{name} has {len(edge)} values for {length} coordinates")
        return self

    @property
    def dimensions(self) -> int:
        """Number of coordinates of one row."""
        return math.prod(self.event_shape)

    @property
    def spherical(self) -> bool:
        """Whether the base density depends on |z| alone."""
        return self.base == "normal"

    @property
    def base_box(self) -> tuple[float, float] | None:
        """The box that latents lie in, the same in every coordinate; None where all of space is."""
        low, high = self.base_parameters.get("low"), self.base_parameters.get("high")
        return (low, high) if isinstance(low, float) and isinstance(high, float) else None

    @property
    def has_bits_per_dim(self) -> bool:
        """Whether every coordinate is a whole number, so that bits per dimension mean something."""
        return self.dequantization is not None and self.dequantization.columns is None
