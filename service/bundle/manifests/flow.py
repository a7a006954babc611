"""What the manifest of a flow says, which is of format 1. Needs neither torch nor onnx."""

import math
import re
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from service.bundle.bases import BASES, BaseDensity
from service.bundle.manifests.fidelity import Distilled
from service.bundle.manifests.inverse import InverseReport, Sweeps
from service.bundle.manifests.part import (
    Arithmetic,
    Calibration,
    ContextColumn,
    Cost,
    DataSource,
    Dequantization,
    Direction,
    HeldOut,
    Layers,
    ManifestPart,
    MeasuredRows,
    Residual,
    RoundTrip,
    RunCost,
    SelfTest,
    Sound,
    Support,
    Tensor,
    Tolerances,
)
from service.bundle.manifests.picture import Picture, picture_shape
from service.tables import ColumnName

FORMAT_VERSION = 1

NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
VERSION = re.compile(r"[1-9][0-9]*")
MAX_VERSION = 2**63 - 1
"""The largest version, as 64 bits hold it."""

# What a manifest says the size of is made in memory: so many values at most, a row and in all.
MAX_SIDES = 8
MAX_DIMENSIONS = 2**24
MAX_CONTEXT_COLUMNS = 2**16
MAX_FILES = 64

Side = Annotated[int, Field(ge=1, le=MAX_DIMENSIONS)]
EventShape = Annotated[list[Side], Field(max_length=MAX_SIDES)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$")]
"""A name in the bundle's folder: no path, and nothing hidden."""


class FlowParts(ManifestPart):
    """What a manifest says of rows of numbers that have latents, of a flow or of an ensemble."""

    event_shape: EventShape
    latent_shape: EventShape
    dtype: Literal["float32"]
    arithmetic: Arithmetic = Field(
        "float32",
        description="what the graphs compute in, between inputs and outputs of `dtype`; mixed: "
        "one direction in float32, the other in float64",
    )
    base: str = Field(description=f"one of {', '.join(BASES)}")
    base_parameters: dict[str, float | list[float] | list[list[float]]] = Field(
        {},
        description="uniform: low, high; student-t: df; mixture, of K components on D "
        "coordinates: log_weights (K), means and log_scales (K × D)",
    )
    columns: list[ColumnName] | None = Field(
        None,
        description="names of a row's coordinates, in row-major order; null where there are none",
    )
    context: Annotated[list[ContextColumn], Field(max_length=MAX_CONTEXT_COLUMNS)] | None = None
    preprocessing: list[dict[str, Any]]
    support: Support | None
    dequantization: Dequantization | None
    sound: Sound | None = Field(None, description="where rows are sounds")
    calibration: Calibration
    tolerances: Tolerances
    round_trip: RoundTrip | None = Field(
        None, description="null in bundles from before it was measured"
    )
    residual: Residual | None = Field(
        None, description="null in bundles from before it was measured"
    )
    run_cost: Annotated[dict[str, RunCost], Field(max_length=MAX_FILES)] = Field(
        {},
        description="of each graph whose rows take much memory; none in bundles from before it was "
        "measured",
    )
    self_test: SelfTest | None = Field(
        None, description="null in bundles from before there was one"
    )

    @model_validator(mode="after")
    def _has_values_of_each_coordinate(self) -> "FlowParts":
        n = self.dimensions
        if n > MAX_DIMENSIONS:
            raise ValueError(
                f"event shape {self.event_shape} has more than {MAX_DIMENSIONS} values"
            )
        if math.prod(self.latent_shape) != n:
            raise ValueError(f"event shape {self.event_shape}, latent shape {self.latent_shape}")
        if self.base not in BASES:
            raise ValueError(f"base is one of {', '.join(BASES)}, not {self.base!r:.40}")
        if self.columns is not None and [len(set(self.columns)), len(self.columns)] != [n, n]:
            raise ValueError(f"columns are not {n} names, each another")
        if self.self_test is not None:
            rows = [self.self_test.x, self.self_test.context or []]
            if list(map(len, rows)) != [n, len(self.context or ())]:
                raise ValueError("self_test holds no row of this model")
        scale = None if self.round_trip is None else self.round_trip.scale
        if isinstance(scale, list) and len(scale) != n:
            raise ValueError(f"round_trip has {len(scale)} values for {n} coordinates")
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
    def typed(self) -> None:
        """None: its columns, if they have names, are numbers."""

    @property
    def column_names(self) -> list[str] | None:
        """Names of a row's coordinates; None where they have none."""
        return self.columns

    @property
    def base_density(self) -> BaseDensity:
        """What the base's name stands for."""
        return BASES[self.base]

    @property
    def base_box(self) -> tuple[float, float] | None:
        """The box that latents lie in, the same in every coordinate; None for all of space."""
        return self.base_density.box(self.base_parameters)

    @property
    def example_latent(self) -> NDArray[np.float32]:
        """A latent that has a density: 1 × latent shape."""
        low, high = self.base_box or (0.0, 0.0)
        return np.full((1, *self.latent_shape), (low + high) / 2, np.float32)

    @property
    def example_u(self) -> None:
        """None: there are no cells."""

    @property
    def example_context(self) -> NDArray[np.float32] | None:
        """A row of context that the model accepts, 1 × columns: each first class, or the mean."""
        if self.context is None:
            return None
        return np.array([[column.example for column in self.context]], np.float32)

    @property
    def picture(self) -> Picture | None:
        """What rows are that are pictures of a known range of values; None of others."""
        if self.sound is not None:
            return None
        is_whole = self.has_bits_per_dim
        shape = picture_shape(self.event_shape, is_whole and self.columns is None)
        box = self.dequantization if is_whole else self.support
        if shape is None or shape[0] not in (1, 3) or box is None:
            return None
        return Picture(shape, box.low, box.high, is_whole)

    @property
    def has_bits_per_dim(self) -> bool:
        """Whether every coordinate is a whole number, so that bits per dimension mean something."""
        return self.dequantization is not None and self.dequantization.columns is None


class Manifest(FlowParts):
    """Everything a server or a reader needs to know about a bundle."""

    format_version: Literal[1]
    name: Annotated[str, Field(pattern=rf"^{NAME.pattern}$")]
    version: Annotated[int, Field(ge=1, le=MAX_VERSION)]
    family: str
    context_shape: list[int] | None
    cost: dict[Direction, Cost]
    inverse: dict[Direction, InverseReport] = Field(
        {}, description="for each direction that autoregressive layers make sequential"
    )
    sweeps: dict[Direction, Sweeps] = Field(
        {},
        description="for each direction that is computed by sweeps; none in bundles from before "
        "they were counted",
    )
    data: DataSource
    held_out: HeldOut
    distilled: Distilled | None = Field(None, description="of a student of another model")
    measured_rows: MeasuredRows | None = Field(
        None, description="null in bundles from before it was stated"
    )
    layers: Layers | None = Field(
        None, description="where the bundle was exported with `--layers`, what it has of them"
    )
    files: Annotated[dict[FileName, str], Field(max_length=MAX_FILES)]
    weights_sha256: str | None = Field(
        None, description="of the weights that the run was exported with"
    )
    made_with: dict[str, str]
    checksum: str = Field(description="sha256 of this manifest without this key, see `checksum`")

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "Manifest":
        if set(self.base_parameters) != self.base_density.parameters:
            raise ValueError(f"base {self.base} has parameters {sorted(self.base_parameters)}")
        self.base_density.check_parameters(self.base_parameters, self.dimensions)
        if self.context_shape != (None if self.context is None else [len(self.context)]):
            raise ValueError(f"context shape {self.context_shape} is not that of its columns")
        if self.layers is not None and "layers.onnx" not in self.files:
            raise ValueError("layers: the bundle has no layers.onnx")
        return self

    @property
    def required_files(self) -> list[str]:
        """Names of the files that there have to be."""
        return ["encode.onnx", "decode.onnx"]

    @property
    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Inputs and outputs of the graphs, the same of both directions."""
        directions = {"x": self.event_shape, "z": self.latent_shape, "log_prob": []}
        shapes = {"encode": directions, "decode": directions}
        if self.layers is not None:
            states = 1 + len(self.layers.names)
            shapes["layers"] = {
                "z": self.latent_shape,
                "states": [states, self.dimensions],
                "log_probs": [states],
            }
        context = {} if self.context is None else {"context": [len(self.context)]}
        return {
            graph: {
                name: Tensor(type="float32", row_shape=shape)
                for name, shape in (of_graph | context).items()
            }
            for graph, of_graph in shapes.items()
        }
