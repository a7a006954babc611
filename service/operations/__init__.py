"""What a flow can be asked, free of any protocol: checked arrays in, arrays out."""

from service.operations.answer import Answer, AnswerPieces
from service.operations.catalog import FLOW_OPERATIONS, FlowOperation
from service.operations.checked_runs import CheckedRuns
from service.operations.operations import Operations
from service.operations.requests import (
    DecodeRequest,
    EncodeRequest,
    FlowRequest,
    InterpolateRequest,
    LogProbRequest,
    Path,
    SampleRequest,
)
from service.operations.tables import context_alone, rows_and_context
from service.operations.values import (
    count_booleans,
    described_value,
    first_mismatch,
    flatten_lists,
    number_array,
    pack_numbers,
)

__all__ = [
    "FLOW_OPERATIONS",
    "Answer",
    "AnswerPieces",
    "CheckedRuns",
    "DecodeRequest",
    "EncodeRequest",
    "FlowOperation",
    "FlowRequest",
    "InterpolateRequest",
    "LogProbRequest",
    "Operations",
    "Path",
    "SampleRequest",
    "context_alone",
    "count_booleans",
    "described_value",
    "first_mismatch",
    "flatten_lists",
    "number_array",
    "pack_numbers",
    "rows_and_context",
]
