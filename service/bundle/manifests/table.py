"""What a manifest of format 2 says of a table: typed columns, and graphs that take float64."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from service.bundle.bases import BASES, BaseDensity
from service.bundle.manifests.fidelity import Figure
from service.bundle.manifests.flow import EventShape
from service.bundle.manifests.kind import KindManifest, RawValues
from service.bundle.manifests.part import (
    Calibration,
    Direction,
    ManifestPart,
    RunCost,
    Tensor,
    Tolerances,
)
from service.tables import CategoricalColumn, Column, LeftOutColumn, Word

MAX_COLUMNS = 2**12


def raw_values_of(
    columns: Sequence[Column],
    has_self_test: bool,
    left_out: Sequence[LeftOutColumn],
    has_indexed_rows: bool = False,
) -> list[RawValues]:
    """Which values of the data a bundle carries, in the order of the alphabet."""
    carried: set[RawValues] = {"self_test"} if has_self_test else set()
    if has_indexed_rows:
        carried.add("indexed_rows")
    if any(column.constant not in (None, "missing") for column in left_out):
        carried.add("constants")
    for column in columns:
        if isinstance(column, CategoricalColumn):
            carried.add("classes")
        else:
            carried.add("ranges")
            if column.kind != "datetime" and column.point_masses:
                carried.add("point_masses")
    return sorted(carried)


class TableHeldOut(ManifestPart):
    """log_prob of the held-out rows, in nats per row.

    Args:
        log_prob, se: mean and its standard error over rows.
        rows: how many.
        independent: log_prob of the same rows as columns that know nothing of each other.
        gain: the mean difference of the two over rows, and its standard error.
    """

    log_prob: float
    se: float
    rows: int
    independent: Figure
    gain: Figure

    @property
    def bits_per_dim(self) -> None:
        """None: columns of a table have units of their own."""


class RowSelfTest(ManifestPart):
    """A held-out row, which a server asks the loaded graphs about before it answers with them.

    Args:
        row: a value of each column's own kind, as JSON has it: a number, the name of a class, a
            time as text; null where it is missing.
        context: its context, of a conditional model.
        log_prob: its log-density in nats, from the model in float64.
    """

    row: list[Word | None]
    context: list[float] | None
    log_prob: float


class TypedManifest(KindManifest):
    """What is said of typed columns, and of arrays whose graphs take float64."""

    columns: Annotated[list[Column], Field(min_length=1, max_length=MAX_COLUMNS)] | None
    left_out: Annotated[list[LeftOutColumn], Field(max_length=MAX_COLUMNS)] = Field(
        [], description="columns of the data that are not modelled; requests may have them"
    )

    @property
    def typed(self) -> "TypedManifest | None":
        """The manifest itself, which has typed columns; None of rows that are arrays."""
        return None if self.columns is None else self

    @property
    def named_columns(self) -> list[Column]:
        """The typed columns; none of rows that are arrays."""
        return self.columns or []

    @property
    def column_names(self) -> list[str] | None:
        """Names of the columns, in order; None of rows that are arrays."""
        return None if self.columns is None else [column.name for column in self.columns]

    @property
    def example_context(self) -> NDArray[np.float64] | None:
        """A row of context that the model accepts, 1 × columns: each first class, or the mean."""
        if self.context is None:
            return None
        return np.array([[column.example for column in self.context]], np.float64)

    @property
    def base_box(self) -> None:
        """None: latents, where there are some, lie in all of space."""

    @property
    def support(self) -> None:
        """None: of each column, its kind says which values there are."""

    @property
    def dequantization(self) -> None:
        """None: discrete values have probabilities."""

    @property
    def round_trip(self) -> None:
        """None: rows come back as they were."""

    @property
    def residual(self) -> None:
        """None: rows come back as they were."""

    @property
    def run_cost(self) -> dict[str, RunCost]:
        """None: rows of columns take little memory."""
        return {}

    @property
    def sound(self) -> None:
        """None: rows are no sounds."""

    @property
    def picture(self) -> None:
        """None: rows that are answered are no pictures."""


class TableManifest(TypedManifest):
    """A density over typed columns: graphs to encode and to decode, of normal latents.

    A server asks it what it asks the `Manifest` of a flow; what a table has not is None.
    """

    kind: Literal["table"]
    columns: Annotated[list[Column], Field(min_length=1, max_length=MAX_COLUMNS)]
    dtype: Literal["float64"] = Field(description="of rows, latents and log_prob")
    base: Literal["normal"]
    held_out: TableHeldOut
    calibration: Calibration
    tolerances: Tolerances
    self_test: RowSelfTest | None = Field(None, description="null where no raw value is carried")

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "TableManifest":
        names = [column.name for column in (*self.columns, *self.left_out)]
        if len(set(names)) < len(names):
            raise ValueError("columns: a name is there twice")
        if set(self.graphs) != {"encode", "decode"}:
            raise ValueError(f"graphs are encode and decode, not {sorted(self.graphs)!r:.80}")
        for direction, expected in self._expected_tensors().items():
            graph = self.graphs[direction]
            if graph.inputs | graph.outputs != expected:
                raise ValueError(
                    f"graphs: {direction} is to have {', '.join(expected)}, of float64 and "
                    f"{self.dimensions} columns"
                )
        if self.self_test is not None:
            lengths = [len(self.self_test.row), len(self.self_test.context or ())]
            if lengths != [self.dimensions, len(self.context or ())]:
                raise ValueError("self_test holds no row of this model")
        carried = raw_values_of(self.columns, self.self_test is not None, self.left_out)
        if self.raw_values != carried:
            raise ValueError(f"raw_values: the manifest carries {', '.join(carried) or 'none'}")
        return self

    def _expected_tensors(self) -> dict[Direction, dict[str, Tensor]]:
        row = Tensor(type="float64", row_shape=self.event_shape)
        shared = {"z": row, "x": row, "log_prob": Tensor(type="float64", row_shape=[])}
        if self.context is not None:
            shared["context"] = Tensor(type="float64", row_shape=[len(self.context)])
        return {"encode": shared | {"u": row}, "decode": shared}

    @property
    def dimensions(self) -> int:
        """Number of columns."""
        return len(self.columns)

    @property
    def event_shape(self) -> EventShape:
        """Shape of a row."""
        return [len(self.columns)]

    @property
    def latent_shape(self) -> EventShape:
        """Shape of a latent: a coordinate for each column."""
        return [len(self.columns)]

    @property
    def base_density(self) -> BaseDensity:
        """What the base's name stands for."""
        return BASES[self.base]

    @property
    def base_parameters(self) -> dict[str, Any]:
        """None: it is standard."""
        return {}

    @property
    def example_latent(self) -> NDArray[np.float64]:
        """A latent that has a density: 1 × columns."""
        return np.zeros((1, self.dimensions))

    @property
    def example_u(self) -> NDArray[np.float64]:
        """A place in the cell of each column, the middle: 1 × columns."""
        return np.full((1, self.dimensions), 0.5)

    @property
    def has_bits_per_dim(self) -> bool:
        """False: columns of a table have units of their own."""
        return False
