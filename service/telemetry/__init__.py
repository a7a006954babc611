"""What is known of each request: its id, how long each stage took, and how it ended."""

from service.metrics import STAGES
from service.telemetry.ids import new_id, request_id
from service.telemetry.request import (
    CURRENT,
    PARSE,
    QUEUE,
    RECEIVE,
    RUN,
    SCOPE_KEY,
    SERIALISE,
    RequestRecord,
    current,
    of_scope,
    spent,
)
from service.telemetry.request_log import MAX_PATH, RequestLog
from service.telemetry.telemetry import Telemetry
from service.telemetry.trace import HeaderPairs, Trace
from service.telemetry.trace_settings import traces_of

__all__ = [
    "CURRENT",
    "MAX_PATH",
    "PARSE",
    "QUEUE",
    "RECEIVE",
    "RUN",
    "SCOPE_KEY",
    "SERIALISE",
    "STAGES",
    "HeaderPairs",
    "RequestLog",
    "RequestRecord",
    "Telemetry",
    "Trace",
    "current",
    "new_id",
    "of_scope",
    "request_id",
    "spent",
    "traces_of",
]
