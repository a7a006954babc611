"""The requests of the native routes to models of typed columns."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from service.bundle import MAX_NEIGHBOURS
from service.operations.in_pieces import NUMBERS_AT_ONCE
from service.operations.requests import (
    DecodeRequest,
    EncodeRequest,
    FlowRequest,
    InterpolateRequest,
    LogProbRequest,
    Partial,
    PathRequest,
    Quantile,
    SampleRequest,
    Seed,
)
from service.operations.rows.typed import Rows, TypedRows
from service.operations.values import WideContextArray, WideRowArray

ALPHA = 0.05
"""What a row's p-value is compared with where a request does not say."""

Rate = Annotated[float, Field(gt=0, lt=1)]

# Of an object with a few texts and numbers in a list, in numbers of four bytes.
NUMBERS_PER_REASON = 512

# Of float64 a number takes the room of two of those that `answer_numbers` counts.
WIDTH = 2

Records = Annotated[
    bool,
    Field(
        description="answer in JSON with `rows`, values of each column's own kind by name, in "
        "place of `x`"
    ),
]


class TableRequest(FlowRequest):
    """What every question to a table names."""

    context: Annotated[WideContextArray | None, Field(description="as of a flow")] = None

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        rows = [each for each in self.__dict__.values() if isinstance(each, TypedRows)]
        return super().nbytes + sum([each.nbytes for each in rows])


class LogProbOfTable(TableRequest):
    """Rows to score."""

    npy_fields = ("x",)
    outputs = LogProbRequest.outputs

    partial: Partial = False
    x: Annotated[Rows, Field(description="N × columns; in JSON `rows` or `columns` in its place")]
    quantile: Quantile = False

    def answer_numbers(self, row_numbers: int, max_rows: int) -> int:
        """One or two for each row, and what each row becomes on the way."""
        return WIDTH * (self.x.values.size + _rows_of(self.x) * self.quantile)


class ScoreRequest(TableRequest):
    """Rows to find anomalies among: of typed columns, or of arrays as the detector takes them."""

    npy_fields = ("x",)
    outputs: ClassVar[tuple[str, ...]] = ("score", "p_value", "anomaly", "log_prob")

    partial: Partial = False
    x: Annotated[
        Rows,
        Field(
            description="N × columns, or N × event shape of arrays; of columns in JSON `rows` or "
            "`columns` in its place"
        ),
    ]
    alpha: Annotated[
        Rate | None,
        Field(
            description="a row is an anomaly whose p_value is at most this: the share of normal "
            f"rows that raise an alarm ({ALPHA} where left out)"
        ),
    ] = None
    fdr: Annotated[
        Rate | None,
        Field(
            description="in place of alpha: the expected share of normal rows among the anomalies "
            "of this request, by Benjamini and Hochberg's procedure, is at most this"
        ),
    ] = None
    seed: Annotated[
        Seed | None,
        Field(
            description="draws the place of each row among calibration rows of the same score, so "
            "that p_value is uniform; where left out, it is the largest"
        ),
    ] = None
    reasons: Annotated[
        int | None,
        Field(
            ge=1,
            description="answer of each row so many columns at most that raise its score: "
            "`column`, `value`, `expected` and `share`, the largest share first",
        ),
    ] = None

    @property
    def has_reasons(self) -> bool:
        """See `FlowRequest`."""
        return self.reasons is not None

    def answer_numbers(self, row_numbers: int, max_rows: int) -> int:
        """Four for each row, what each becomes on the way, and reasons with rows made for them."""
        n = _rows_of(self.x)
        size = WIDTH * (self.x.values.size + 4 * n)
        if self.reasons is None:
            return size
        made = min(NUMBERS_AT_ONCE, n * row_numbers**2 * MAX_NEIGHBOURS)
        return size + 3 * WIDTH * made + NUMBERS_PER_REASON * n * min(self.reasons, row_numbers)


class EncodeOfTable(TableRequest):
    """Rows to encode."""

    npy_fields = ("x",)
    outputs: ClassVar[tuple[str, ...]] = EncodeRequest.outputs

    partial: Partial = False
    x: Annotated[Rows, Field(description="N × columns; in JSON `rows` or `columns` in its place")]
    seed: Annotated[
        int | None,
        Field(
            ge=0,
            lt=2**64,
            description="draws where in its cell a discrete value is taken; where left out, in "
            "the middle",
        ),
    ] = None

    def answer_numbers(self, row_numbers: int, max_rows: int) -> int:
        """As many as there are in the rows, a place in each cell, and one for each row."""
        return 3 * WIDTH * self.x.values.size


class DecodeOfTable(TableRequest):
    """Latents to decode."""

    npy_fields = ("z",)
    outputs = DecodeRequest.outputs

    partial: Partial = False
    z: Annotated[WideRowArray, Field(description="N × columns")]
    records: Records = False

    @property
    def is_of_records(self) -> bool:
        """See `FlowRequest`."""
        return self.records

    def answer_numbers(self, row_numbers: int, max_rows: int) -> int:
        """As many as there are in the latents, and one for each."""
        return 2 * WIDTH * self.z.size


class SampleOfTable(TableRequest, SampleRequest):
    """How many rows to draw."""

    records: Records = False

    @property
    def is_of_records(self) -> bool:
        """See `FlowRequest`."""
        return self.records

    def answer_numbers(self, row_numbers: int, max_rows: int) -> int:
        """A row and its log-density, n times."""
        return WIDTH * super().answer_numbers(row_numbers, max_rows)


class InterpolateOfTable(TableRequest, PathRequest):
    """Two rows, and the path between their latents."""

    start: Annotated[Rows, Field(description="one row; in JSON also an object of its values")]
    end: Annotated[Rows, Field(description="one row; in JSON also an object of its values")]

    @property
    def is_of_records(self) -> bool:
        """See `FlowRequest`: as an end is of such values."""
        return self.start.converted is not None or self.end.converted is not None

    def answer_numbers(self, row_numbers: int, max_rows: int) -> int:
        """A row, its latent and its log-density for each step."""
        return WIDTH * super().answer_numbers(row_numbers, max_rows)


def _rows_of(x: TypedRows) -> int:
    return len(x.values) if x.values.ndim else 0


TABLE_REQUESTS: dict[type[FlowRequest], type[Any]] = {
    LogProbRequest: LogProbOfTable,
    EncodeRequest: EncodeOfTable,
    DecodeRequest: DecodeOfTable,
    SampleRequest: SampleOfTable,
    InterpolateRequest: InterpolateOfTable,
}
"""The request of each question to a flow as models of typed columns take it."""
