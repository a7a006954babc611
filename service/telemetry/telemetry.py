"""What becomes of the records of requests."""

from time import monotonic

from service.errors import ServiceError
from service.metrics import OTHER, Metrics
from service.telemetry.ids import new_id
from service.telemetry.request import RequestRecord


class Telemetry:
    """Takes the record of each request at its end.

    Args:
        metrics: where the figures go.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics

    def ended(self, record: RequestRecord) -> None:
        """A request has been answered, or nobody waits for its answer any more."""
        self.metrics.requests.answered(
            record.endpoint,
            record.model,
            record.status,
            monotonic() - record.began,
            record.rows,
            record.seconds,
        )
        if record.reason:
            self.metrics.requests.failed(record.endpoint, record.model, record.reason)
            self.metrics.turned_away(record.status, record.reason)

    def refused(self, error: ServiceError, record: RequestRecord | None) -> str:
        """A connection refuses a request by itself.

        Args:
            error: why.
            record: of a request that the application has begun; None of what never became one.

        Returns:
            The id that the answer is to have.
        """
        if record is None:
            record = RequestRecord(new_id(), "", "", OTHER)
            self.metrics.turned_away(error.status, error.reason)
        record.answer(error.status)
        record.fail(error.reason)
        return record.id
