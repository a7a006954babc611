"""The requests of the native routes, as callers see them under /docs."""

from typing import Annotated, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from service.bundle import PathKind
from service.operations.rows.holes import HoleTexts
from service.operations.values import Array, ContextArray, RowArray

Seed = Annotated[int, Field(ge=0, lt=2**64, description="chosen by the server where left out")]
Path = PathKind
Partial = Annotated[
    bool,
    Field(
        description="answer the other rows where some have no answer: those are null (NaN in "
        "binary formats) and listed under `errors`"
    ),
]
Quantile = Annotated[
    bool,
    Field(
        description="answer `quantile` too: the share of the held-out rows whose log_prob is at "
        "most that of the row, by the manifest's `calibration`, linear between its levels"
    ),
]
Check = Annotated[
    bool,
    Field(
        description="go back to where each row came from, and answer by how much it is missed: "
        "`residual`, as a part of the range; `inexact_rows` are then those beyond the tolerance"
    ),
]

MEMBER_OUTPUTS = ("member_log_prob", "member_std", "member_min", "member_max")
"""What is answered of the members of an ensemble beside its log-density."""

FIELD_BY_OUTPUT = {
    "quantile": "quantile",
    "residual": "check",
    **dict.fromkeys(MEMBER_OUTPUTS, "members"),
}
"""The arrays that are answered where a field of the request is true, and that field."""


class FlowRequest(BaseModel):
    """What every question names."""

    npy_fields: ClassVar[tuple[str, ...]]
    """The fields that an npy body fills: one, or a stack of two."""

    outputs: ClassVar[tuple[str, ...]]
    """The arrays of every answer, the question's own first; a model may add others."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    model: Annotated[
        str | None,
        Field(
            max_length=1024,
            description="NAME, or NAME@ALIAS for the version that the alias points to; may be left "
            "out where there is one",
        ),
    ] = None
    version: Annotated[
        int | None,
        Field(ge=1, description="the newest that was not taken back, where left out"),
    ] = None
    context: Annotated[
        ContextArray | None,
        Field(
            description="of a conditional model: N × columns, or one row (columns) for all rows; "
            "a number or a class for each column that /models/{name} lists under context"
        ),
    ] = None

    hole_texts: ClassVar[HoleTexts | None] = None
    """Of rows of a table, what stands in place of numbers."""

    def tell_holes(self, texts: HoleTexts | None) -> None:
        """Let errors say what stands in place of numbers."""
        # a private attribute of pydantic would cost every request a microsecond
        object.__setattr__(self, "hole_texts", texts)

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return sum([v.nbytes for v in self.__dict__.values() if isinstance(v, np.ndarray)])

    @property
    def row_count(self) -> int:
        """Rows that a model runs for it, as rates count them: each noisy copy is one."""
        shape: tuple[int, ...] = getattr(self, self.npy_fields[0]).shape
        return shape[0] if shape else 0

    def lacks_for(self, output: str) -> str | None:
        """The field that would have to be true for an array of the answer; None where none is."""
        field = FIELD_BY_OUTPUT.get(output)
        if field is None or field not in type(self).model_fields or getattr(self, field):
            return None
        return field

    @property
    def has_reasons(self) -> bool:
        """Whether its answer says which columns raise the score of each row."""
        return False

    @property
    def is_of_records(self) -> bool:
        """Whether the rows of its answer are values by name."""
        return False

    def answer_numbers(self, row_numbers: int, max_rows: int) -> int:
        """Numbers of its answer, about; whatever it asks for, no more than of so many rows.

        Args:
            row_numbers: of a row of the model.
            max_rows: of an answer.
        """
        return 0


class LogProbRequest(FlowRequest):
    """Rows to score."""

    npy_fields = ("x",)
    outputs = ("log_prob",)

    partial: Partial = False
    x: Annotated[RowArray, Field(description="N × event shape")]
    dequantize: Annotated[
        int | None,
        Field(ge=1, description="answer the log of the mean density over so many noisy copies"),
    ] = None
    seed: Seed | None = None
    quantile: Quantile = False

    @property
    def row_count(self) -> int:
        """See `FlowRequest`."""
        return super().row_count * (self.dequantize or 1)

    def answer_numbers(self, row_numbers: int, max_rows: int) -> int:
        """One or two for each row, one for each of its copies, and what it becomes on the way."""
        more = len(self.x) if self.quantile and self.x.ndim else 0
        return self.x.size + more + (max_rows if self.dequantize else 0)


class EncodeRequest(FlowRequest):
    """Rows to encode."""

    npy_fields = ("x",)
    outputs: ClassVar[tuple[str, ...]] = ("z", "log_prob")

    partial: Partial = False
    x: Annotated[RowArray, Field(description="N × event shape")]
    check: Check = False

    def answer_numbers(self, row_numbers: int, max_rows: int) -> int:
        """As many as there are in the rows, and one for each."""
        return 2 * self.x.size


class DecodeRequest(FlowRequest):
    """Latents to decode."""

    npy_fields = ("z",)
    outputs = ("x", "log_prob")

    partial: Partial = False
    z: Annotated[RowArray, Field(description="N × latent shape")]
    check: Check = False

    def answer_numbers(self, row_numbers: int, max_rows: int) -> int:
        """As many as there are in the latents, and one for each."""
        return 2 * self.z.size


class LayersRequest(FlowRequest):
    """Latents to take through the layers."""

    npy_fields = ("z",)
    outputs = ("states", "log_probs")

    partial: Partial = False
    z: Annotated[RowArray, Field(description="N × latent shape, of a model that has `layers`")]

    def answer_numbers(self, row_numbers: int, max_rows: int) -> int:
        """All states of each latent, and one for each of them."""
        return min(self.row_count, max_rows) * row_numbers


class SampleRequest(FlowRequest):
    """How many rows to draw."""

    npy_fields = ("context",)
    outputs: ClassVar[tuple[str, ...]] = ("x", "log_prob")

    n: Annotated[int, Field(ge=0)] = 1
    seed: Seed | None = None
    temperature: Annotated[
        float,
        Field(gt=0, le=100, allow_inf_nan=False, description="the noise is multiplied by it"),
    ] = 1.0
    truncation: Annotated[
        float | None,
        Field(
            gt=0,
            le=8,
            description="of a normal base: noise beyond so many standard deviations is not drawn",
        ),
    ] = None
    quantize: Annotated[
        bool, Field(description="round integer columns; log_prob is that of the unrounded row")
    ] = False

    @property
    def row_count(self) -> int:
        """See `FlowRequest`."""
        return self.n

    def answer_numbers(self, row_numbers: int, max_rows: int) -> int:
        """A row and its log-density, n times."""
        return min(self.n, max_rows) * (row_numbers + 1)


class PathRequest(FlowRequest):
    """A path between the latents of two rows."""

    npy_fields = ("start", "end")
    outputs: ClassVar[tuple[str, ...]] = ("x", "log_prob", "z")

    steps: Annotated[int, Field(ge=2, description="points on the path, both ends included")] = 10
    path: Path = "linear"
    partial: Partial = False

    @property
    def row_count(self) -> int:
        """See `FlowRequest`: both ends, and the points between them."""
        return self.steps + 2

    def answer_numbers(self, row_numbers: int, max_rows: int) -> int:
        """A row, its latent and its log-density for each step."""
        return min(self.steps, max_rows) * (2 * row_numbers + 1)


class InterpolateRequest(PathRequest):
    """Two rows, and the path between their latents."""

    start: Annotated[Array, Field(description="event shape")]
    end: Annotated[Array, Field(description="event shape")]
