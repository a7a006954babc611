"""Every question to a flow: its name, its request, and what answers it.

The HTTP routes, their documentation and their metrics follow from this table. A new question is a
request in `requests.py`, a method or function that answers it, and an entry here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, TypeVar

from service.errors import InvalidInputError
from service.operations.answer import Answer, AnswerPieces
from service.operations.detectors import operations as detectors
from service.operations.ensembles.requests import (
    DecodeOfEnsemble,
    EncodeOfEnsemble,
    InterpolateOfEnsemble,
    LogProbOfEnsemble,
    SampleOfEnsemble,
)
from service.operations.operations import Operations
from service.operations.requests import (
    DecodeRequest,
    EncodeRequest,
    FlowRequest,
    InterpolateRequest,
    LayersRequest,
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
    ScoreRequest,
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
        row_numbers: numbers of a row of a model, by which `request` tells those of its answer.
    """

    name: str
    request: type[R]
    answer: Callable[[Operations, Model, R, float], Awaitable[Answer]]
    pieces: Callable[[Operations, Model, R, float], Awaitable[AnswerPieces]] | None = None
    row_numbers: Callable[[Model], int] = attrgetter("dimensions")


FLOW_OPERATIONS: tuple[FlowOperation[Any], ...] = (
    FlowOperation("log_prob", LogProbRequest, Operations.log_prob),
    FlowOperation("encode", EncodeRequest, Operations.encode),
    FlowOperation("decode", DecodeRequest, Operations.decode),
    FlowOperation(
        "layers", LayersRequest, Operations.layers, row_numbers=attrgetter("layer_numbers")
    ),
    FlowOperation("sample", SampleRequest, Operations.sample, Operations.samples),
    FlowOperation("interpolate", InterpolateRequest, Operations.interpolate),
    FlowOperation("score", ScoreRequest, detectors.score),
)
"""Every question, as a flow is asked; the last one is to detectors alone."""

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

DETECTOR_OPERATIONS: dict[str, FlowOperation[Any]] = {
    operation.name: operation
    for operation in (
        FlowOperation("score", ScoreRequest, detectors.score),
        FlowOperation("log_prob", LogProbOfTable, detectors.log_prob),
    )
}
"""The questions to a detector, by name."""


ENSEMBLE_OPERATIONS: dict[str, FlowOperation[Any]] = {
    operation.name: operation
    for operation in (
        FlowOperation(
            "log_prob",
            LogProbOfEnsemble,
            Operations.log_prob,
            row_numbers=attrgetter("member_numbers"),
        ),
        FlowOperation("encode", EncodeOfEnsemble, Operations.encode),
        FlowOperation("decode", DecodeOfEnsemble, Operations.decode),
        FlowOperation("sample", SampleOfEnsemble, Operations.sample, Operations.samples),
        FlowOperation("interpolate", InterpolateOfEnsemble, Operations.interpolate),
    )
}
"""The same questions to an ensemble of flows, by name."""

OPERATIONS_BY_KIND = {
    "table": TABLE_OPERATIONS,
    "detector": DETECTOR_OPERATIONS,
    "ensemble": ENSEMBLE_OPERATIONS,
}
"""The questions to a model whose manifest is of format 2, by its kind."""


def operation_of(asked: FlowOperation[Any], model: Model) -> FlowOperation[Any]:
    """A question as a model answers it.

    Raises:
        InvalidInputError: it is none to a model of this kind.
    """
    if model.format_2 is None:
        if asked.request is not ScoreRequest:
            return asked
        kind, known = "flow", [each.name for each in FLOW_OPERATIONS if each is not asked]
    else:
        operations = OPERATIONS_BY_KIND[model.format_2.kind]
        if (operation := operations.get(asked.name)) is not None:
            return operation
        kind, known = model.format_2.kind, list(operations)
    raise InvalidInputError(
        f"{model.manifest.name} is {'an' if kind[0] in 'aeiou' else 'a'} {kind}, which has no "
        f"/{asked.name}: it answers " + ", ".join(f"/{name}" for name in known)
    )
