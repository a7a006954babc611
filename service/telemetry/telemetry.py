"""What becomes of the records of requests."""

from time import monotonic

from service.errors import ServiceError
from service.metrics import OTHER, Metrics
from service.telemetry.ids import new_id
from service.telemetry.request import RequestRecord
from service.telemetry.request_log import RequestLog


class Telemetry:
    """Takes the record of each request at its end.

    Args:
        metrics: where the figures go.
        request_log: where a line of each goes; None for nowhere.
    """

    def __init__(self, metrics: Metrics, request_log: RequestLog | None = None) -> None:
        self.metrics = metrics
        self._request_log = request_log

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

    def close(self) -> None:
        """Have what waits written; takes up to `request_log.CLOSE_SECONDS`."""
        if self._request_log is not None:
            self._request_log.close()
