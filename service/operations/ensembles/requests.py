"""The requests of the native routes to ensembles."""

from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, PlainValidator, WithJsonSchema

from service.operations.requests import (
    DecodeRequest,
    EncodeRequest,
    FlowRequest,
    InterpolateRequest,
    LogProbRequest,
    SampleRequest,
)
from service.operations.values import described_value
from service.types import Whole


def to_members(value: Any) -> Whole:
    """Numbers of members: one, a list or array of them, or text as a query string has it.

    Raises:
        ValueError: anything else; says what.
    """
    given = value
    if isinstance(value, str):
        try:
            given = [int(word) for word in value.split(",")]
        except ValueError:
            raise ValueError(f"expected numbers of members, got {described_value(value)}") from None
    array = given if isinstance(given, np.ndarray) else np.array(given, object)
    kinds = set(map(type, array.ravel())) if array.dtype.kind == "O" else set()
    is_whole = array.dtype.kind in "iu" or (array.dtype.kind == "O" and kinds <= {int})
    if array.dtype.kind == "f":
        is_whole = bool((array == np.round(array)).all())
    if not is_whole or array.ndim > 1:
        raise ValueError("expected the number of a member, or a list of one for each row")
    try:
        return array.astype(np.int64)
    except OverflowError:
        raise ValueError("expected numbers of members, got one of many digits") from None


MemberNumbers = Annotated[
    Whole,
    PlainValidator(to_members),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "array", "items": {"type": "integer", "minimum": 0}},
            ]
        }
    ),
]
"""A field that takes the number of a member, or one for each row, counted from 0."""


class LogProbOfEnsemble(LogProbRequest):
    """Rows to score."""

    members: Annotated[
        bool,
        Field(
            description="answer `member_log_prob` too, the log-density of each row under each "
            "member (N × members), and over the members `member_std`, its standard deviation, "
            "`member_min` and `member_max`, all in nats"
        ),
    ] = False

    def answer_numbers(self, row_numbers: int, max_rows: int) -> int:
        """One or two for each row and, of members, so many as `row_numbers` says."""
        of_members = row_numbers * self.row_count if self.members else 0
        return super().answer_numbers(row_numbers, max_rows) + of_members


class EncodeOfEnsemble(EncodeRequest):
    """Rows to encode."""

    outputs: ClassVar[tuple[str, ...]] = ("z", "log_prob", "member")

    member: Annotated[
        MemberNumbers | None,
        Field(
            description="whose latents are answered: one member for all rows, or one for each; "
            "where left out, of each row the member with the largest weight × density"
        ),
    ] = None


class DecodeOfEnsemble(DecodeRequest):
    """Latents to decode."""

    member: Annotated[
        MemberNumbers | None,
        Field(
            description="whose latents they are: one member for all rows, or one for each, as "
            "/encode answers it; it has to be said"
        ),
    ] = None


class SampleOfEnsemble(SampleRequest):
    """How many rows to draw."""

    outputs: ClassVar[tuple[str, ...]] = ("x", "log_prob", "member")


class InterpolateOfEnsemble(InterpolateRequest):
    """Two rows, and the path between their latents in one member."""

    outputs: ClassVar[tuple[str, ...]] = ("x", "log_prob", "z", "member")

    member: Annotated[
        int | None,
        Field(
            ge=0,
            description="whose latents the path goes through; where left out, the member with the "
            "largest weight × density of both rows together",
        ),
    ] = None


ENSEMBLE_REQUESTS: dict[type[FlowRequest], type[Any]] = {
    LogProbRequest: LogProbOfEnsemble,
    EncodeRequest: EncodeOfEnsemble,
    DecodeRequest: DecodeOfEnsemble,
    SampleRequest: SampleOfEnsemble,
    InterpolateRequest: InterpolateOfEnsemble,
}
"""The request of each question to a flow as ensembles take it."""
