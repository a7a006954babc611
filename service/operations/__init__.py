"""What a flow can be asked, free of any protocol: checked arrays in, arrays out."""

from service.operations.answer import Answer, AnswerPieces
from service.operations.catalog import FLOW_OPERATIONS, FlowOperation, operation_of
from service.operations.checked_runs import CheckedRuns, too_far
from service.operations.context import classes_of
from service.operations.context import rows as context_rows
from service.operations.detectors.operations import check_scores, no_calibration
from service.operations.detectors.reasons import ReasonedRows, no_neighbours, reasons_of
from service.operations.ensembles.requests import ENSEMBLE_REQUESTS
from service.operations.operations import Operations
from service.operations.requests import (
    MEMBER_OUTPUTS,
    DecodeRequest,
    EncodeRequest,
    FlowRequest,
    InterpolateRequest,
    LogProbRequest,
    Path,
    SampleRequest,
)
from service.operations.rows.faults import Fault, RowFaults
from service.operations.rows.holes import with_holes
from service.operations.rows.support import bounded_log_prob
from service.operations.rows.typed import Impossible, settled_rows
from service.operations.tables import (
    TEXT,
    TableColumns,
    context_alone,
    hole_texts,
    rows_and_context,
    typed_rows_and_context,
)
from service.operations.typed.named import (
    FORMS,
    NAMED,
    check_has_rows,
    check_named,
    named_rows,
)
from service.operations.typed.requests import (
    ALPHA,
    TABLE_REQUESTS,
    LogProbOfTable,
    ScoreRequest,
    TableRequest,
)
from service.operations.values import (
    NUMBER_DTYPES,
    WIDE_DTYPES,
    count_booleans,
    described_value,
    first_mismatch,
    flatten_lists,
    number_array,
    pack_numbers,
)

__all__ = [
    "ALPHA",
    "ENSEMBLE_REQUESTS",
    "FLOW_OPERATIONS",
    "FORMS",
    "MEMBER_OUTPUTS",
    "NAMED",
    "NUMBER_DTYPES",
    "TABLE_REQUESTS",
    "TEXT",
    "WIDE_DTYPES",
    "Answer",
    "AnswerPieces",
    "CheckedRuns",
    "DecodeRequest",
    "EncodeRequest",
    "Fault",
    "FlowOperation",
    "FlowRequest",
    "Impossible",
    "InterpolateRequest",
    "LogProbOfTable",
    "LogProbRequest",
    "Operations",
    "Path",
    "ReasonedRows",
    "RowFaults",
    "SampleRequest",
    "ScoreRequest",
    "TableColumns",
    "TableRequest",
    "bounded_log_prob",
    "check_has_rows",
    "check_named",
    "check_scores",
    "classes_of",
    "context_alone",
    "context_rows",
    "count_booleans",
    "described_value",
    "first_mismatch",
    "flatten_lists",
    "hole_texts",
    "named_rows",
    "no_calibration",
    "no_neighbours",
    "number_array",
    "operation_of",
    "pack_numbers",
    "reasons_of",
    "rows_and_context",
    "settled_rows",
    "too_far",
    "typed_rows_and_context",
    "with_holes",
]
