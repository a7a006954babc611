"""Every question to a flow: its name, its request, and what answers it.

The HTTP routes, their documentation and their metrics follow from this table. A new question is a
request in `requests.py`, a method or function that answers it, and an entry here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from service.operations.answer import Answer, AnswerPieces
from service.operations.operations import Operations
from service.operations.requests import (
    DecodeRequest,
    EncodeRequest,
    FlowRequest,
    InterpolateRequest,
    LogProbRequest,
    SampleRequest,
)
from service.operations.typed import operations as typed
from service.operations.typed.requests import (
    DecodeOfTable,
    EncodeOfTable,
    InterpolateOfTable,
    LogProbOfTable,
    SampleOfTable,
)
from service.store import Model

R = TypeVar("R", bound=FlowRequest)


@dataclass(frozen=True)
class FlowOperation(Generic[R]):
    """One question to a flow.

    Args:
        name: of its route and of its metrics.
        request: what it takes.
        answer: what answers it, of a model, a request and a deadline on `time.monotonic`'s clock.
        pieces: the same answer, some rows at a time, where it may be longer than memory holds.
    """

    name: str
    request: type[R]
    answer: Callable[[Operations, Model, R, float], Awaitable[Answer]]
    pieces: Callable[[Operations, Model, R, float], Awaitable[AnswerPieces]] | None = None


FLOW_OPERATIONS: tuple[FlowOperation[Any], ...] = (
    FlowOperation("log_prob", LogProbRequest, Operations.log_prob),
    FlowOperation("encode", EncodeRequest, Operations.encode),
    FlowOperation("decode", DecodeRequest, Operations.decode),
    FlowOperation("sample", SampleRequest, Operations.sample, Operations.samples),
    FlowOperation("interpolate", InterpolateRequest, Operations.interpolate),
)

TABLE_OPERATIONS: dict[str, FlowOperation[Any]] = {
    operation.name: operation
    for operation in (
        FlowOperation("log_prob", LogProbOfTable, typed.log_prob),
        FlowOperation("encode", EncodeOfTable, typed.encode),
        FlowOperation("decode", DecodeOfTable, typed.decode),
        FlowOperation("sample", SampleOfTable, typed.sample, Operations.samples),
        FlowOperation("interpolate", InterpolateOfTable, typed.interpolate),
    )
}
"""The same questions to a model of typed columns, by name."""
