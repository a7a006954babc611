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
from service.telemetry.request_log import RequestLog
from service.telemetry.telemetry import Telemetry

__all__ = [
    "CURRENT",
    "PARSE",
    "QUEUE",
    "RECEIVE",
    "RUN",
    "SCOPE_KEY",
    "SERIALISE",
    "STAGES",
    "RequestLog",
    "RequestRecord",
    "Telemetry",
    "current",
    "new_id",
    "of_scope",
    "request_id",
    "spent",
]
