"""What becomes of the records of requests."""

from time import monotonic
from typing import TYPE_CHECKING

from service.errors import OverloadedError, ServiceError
from service.metrics import OTHER, Metrics
from service.telemetry.ids import new_id, request_id
from service.telemetry.request import RequestRecord
from service.telemetry.request_log import RequestLog
from service.telemetry.trace import HeaderPairs

if TYPE_CHECKING:  # imported where it is asked for alone: it takes 0.2 s
    from service.telemetry.trace_export import TraceExport


class Telemetry:
    """Takes the record of each request at its end.

    Args:
        metrics: where the figures go.
        request_log: where a line of each goes; None for nowhere.
        traces: where the spans of some go; None for nowhere.
    """

    def __init__(
        self,
        metrics: Metrics,
        request_log: RequestLog | None = None,
        traces: "TraceExport | None" = None,
    ) -> None:
        self.metrics = metrics
        self.tracing = None if traces is None else traces.tracing
        """Decides which requests are traced; None where none is."""
        self._request_log = request_log
        self._traces = traces

    def ended(self, record: RequestRecord) -> None:
        """A request has been answered, or nobody waits for its answer any more."""
        seconds = monotonic() - record.began
        self.metrics.requests.answered(
            record.endpoint,
            record.model,
            record.status,
            seconds,
            record.rows,
            record.seconds,
        )
        if record.reason:
            self.metrics.requests.failed(record.endpoint, record.model, record.reason)
            self.metrics.turned_away(record.status, record.reason)
        if self._request_log is not None:
            self._request_log.write(record, seconds)
        if record.trace is not None and self.tracing is not None:
            self.tracing.ended(record, record.trace)

    def refused(self, error: ServiceError, record: RequestRecord | None) -> str:
        """A connection refuses a request by itself.

        Args:
            error: why.
            record: of a request that the application has begun; None of what never became one.

        Returns:
            The id that the answer is to have.
        """
        is_new = record is None
        record = record or RequestRecord(new_id(), "", "", OTHER)
        record.answer(error.status)
        record.fail(error.reason)
        if is_new:  # of the others, the end is still to come
            self.metrics.turned_away(error.status, error.reason)
            if self._request_log is not None:
                self._request_log.write(record, 0.0)
        return record.id

    def turned_away(self, headers: HeaderPairs, method: str, path: str) -> str:
        """A connection turns a request away unread, as the server is overloaded.

        Args:
            headers, method, path: of the request.

        Returns:
            The id that the answer is to have.
        """
        self.metrics.turned_away(OverloadedError.status, OverloadedError.reason)
        identity = request_id(headers)
        if self._request_log is not None:
            record = RequestRecord(identity, method, path, OTHER)
            record.answer(OverloadedError.status)
            record.fail(OverloadedError.reason)
            self._request_log.write(record, 0.0)
        return identity

    def close(self) -> None:
        """Have what waits written and sent, for a few seconds at most."""
        if self._request_log is not None:
            self._request_log.close()
        if self._traces is not None:
            self._traces.close()
