"""One request from its head to the end of its answer, as logs, metrics and traces tell of it.

Whoever answers a request notes here what is known of it: the store its model, the engine the time
in the queue and on the device, the routes the rest. A context variable leads to the record, so that
no function in between has an argument for it; it takes 0.03 µs.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from time import monotonic
from typing import Any

from service.metrics import STAGES, UNKNOWN_MODEL
from service.security import without_keys
from service.telemetry.trace import Trace

RECEIVE, PARSE, QUEUE, RUN, SERIALISE = range(len(STAGES))

SCOPE_KEY = "bijecta.request"
"""The key of an ASGI scope under which the outermost part of the application leaves the record."""

CURRENT: ContextVar["RequestRecord | None"] = ContextVar("request", default=None)

current = CURRENT.get
"""The record of the request that this task answers; None where it answers none."""


class RequestRecord:
    """What is known of one request.

    Args:
        id: of the request.
        method, path: of the request, the path without its query.
        endpoint: its label in the metrics.

    Attributes:
        began: when its head had come, in seconds on `time.monotonic`'s clock.
        status: of the answer; 0 where there was none.
        model, version: which answers, or is named and cannot.
        rows: of the answer; None where rows are not what it has.
        bytes_in, bytes_out: of the bodies, as they were sent.
        key: name of the key by which the caller is known; None where there is none.
        reason: why it was refused or failed; empty where it was not.
        seconds: of each of `STAGES`. Runs of one request that go on side by side all count.
        trace_id: of the trace that the request is a part of, in 32 digits; None where there is
            none, or nobody asks.
        trace: where its spans are kept; else None.
    """

    __slots__ = (
        "began",
        "bytes_in",
        "bytes_out",
        "endpoint",
        "id",
        "key",
        "method",
        "model",
        "path",
        "reason",
        "rows",
        "seconds",
        "status",
        "trace",
        "trace_id",
        "version",
    )

    def __init__(self, id: str, method: str, path: str, endpoint: str) -> None:  # noqa: A002
        self.id = id
        self.method = method
        # who sends a key with the path is told so, where there are keys; it is written nowhere
        self.path = without_keys(path)
        self.endpoint = endpoint
        self.began = monotonic()
        self.status = 0
        self.model = UNKNOWN_MODEL
        self.version: int | None = None
        self.rows: int | None = None
        self.bytes_in = 0
        self.bytes_out = 0
        self.key: str | None = None
        self.reason = ""
        self.seconds = [0.0] * len(STAGES)
        self.trace_id: str | None = None
        self.trace: Trace | None = None

    def spent(self, stage: int, since: float, until: float) -> None:
        """A part of a stage, from one time to another on `time.monotonic`'s clock."""
        self.seconds[stage] += until - since
        if self.trace is not None:
            self.trace.spent(stage, since, until)

    def answer(self, status: int) -> None:
        """The answer begins, unless the connection has given one by itself."""
        self.status = self.status or status

    def fail(self, reason: str) -> None:
        """There is no answer, or not a whole one, for a reason; the first one counts."""
        self.reason = self.reason or reason

    def server_timing(self) -> bytes:
        """The stages so far in milliseconds, as the header `Server-Timing` has them."""
        receive, parse, queue, run, serialise = self.seconds
        return (
            b"receive;dur=%.3f, parse;dur=%.3f, queue;dur=%.3f, run;dur=%.3f, serialise;dur=%.3f"
            % (1e3 * receive, 1e3 * parse, 1e3 * queue, 1e3 * run, 1e3 * serialise)
        )


def of_scope(scope: Mapping[str, Any]) -> RequestRecord:
    """The record of the request of an ASGI scope."""
    record: RequestRecord = scope[SCOPE_KEY]
    return record


def spent(stage: int, since: float) -> None:
    """A part of a stage of the request that this task answers, which ends now."""
    if (record := current()) is not None:
        record.spent(stage, since, monotonic())
