"""Requests by endpoint and model: how many, how they ended, how long they took and where."""

from collections.abc import Iterator, MutableMapping, Sequence

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from service.errors import ServiceError
from service.metrics import series
from service.metrics.figures import Figures
from service.metrics.histogram import Series
from service.metrics.spec import MetricSpec

# The label of every path that is no endpoint's: unknown paths must not make new series.
OTHER = "other"

UNKNOWN_MODEL = "unknown"
"""The label of requests for no model of the store, and of those beyond `MAX_MODELS`."""

# Models that have series of their own. A server that has been asked for more of them in its life is
# rare, and each has some hundred lines of what Prometheus reads.
MAX_MODELS = 1000

# Of what is no kind of error of the service: callers that left, mistakes, and what Starlette says.
OTHER_REASONS = {"cancelled": 499, "internal": 500, "not-found": 404, "method-not-allowed": 405}


class _Asked:
    """What one endpoint was asked of one model.

    Args:
        seconds, rows: of answers.
        stages: seconds of each stage, of all that the model was asked.
        codes, failures: how many there were of each code and reason, none yet.
    """

    __slots__ = ("codes", "reasons", "rows", "seconds", "stages")

    def __init__(
        self,
        seconds: Series,
        rows: Series,
        stages: Sequence[Series],
        codes: MutableMapping[int, float],
        failures: MutableMapping[str, float],
    ) -> None:
        self.seconds = seconds
        self.rows = rows
        self.stages = stages
        self.codes = codes
        self.reasons = failures
        # Prometheus takes no note of how a series begins: failures are there before the first one
        self.codes.update(dict.fromkeys((200, 500, 503, 504), 0))
        self.reasons.update(dict.fromkeys(reasons(), 0))


class RequestMetrics(Collector):
    """The series of requests, which only the event loop's thread adds to.

    All series of an endpoint are there from the start, at zero, and those of a model from the first
    request that asks for it there. A request takes 2 µs in here; with prometheus_client's counters
    and a lock for each histogram it would take 5.

    Args:
        figures: where they are kept.
    """

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._asked: dict[tuple[str, str], _Asked] = {}
        self._seconds = figures.histogram(series.REQUEST_SECONDS)
        self._rows = figures.histogram(series.REQUEST_ROWS)
        self._stage_seconds = figures.histogram(series.STAGE_SECONDS)
        self._models: set[str] = set()
        figures.on_found(series.REQUESTS.name, self._found_code)
        figures.on_found(series.FAILURES.name, self._found_reason)
        self.add_endpoint(OTHER)

    def add_endpoint(self, name: str) -> None:
        """Begin the series of an endpoint."""
        self._of(name, UNKNOWN_MODEL)

    def answered(
        self,
        endpoint: str,
        model: str,
        code: int,
        seconds: float,
        rows: int | None,
        stages: Sequence[float],
    ) -> None:
        """A request was answered.

        Args:
            endpoint, model: its labels.
            code: status of the answer; 0 where there was none.
            seconds: from the head of the request to the end of the answer.
            rows: of the answer, where it has some.
            stages: seconds of each of `STAGES`, 0 where it did not come to it.
        """
        asked = self._asked.get((endpoint, model)) or self._of(endpoint, model)
        asked.codes[code] = asked.codes.get(code, 0) + 1
        asked.seconds.count(seconds)
        if rows is not None:
            asked.rows.count(rows)
        for stage, spent in zip(asked.stages, stages, strict=True):
            if spent:
                stage.count(spent)

    def failed(self, endpoint: str, model: str, reason: str) -> None:
        """A request was refused or failed, for one of a closed set of reasons."""
        asked = self._asked.get((endpoint, model)) or self._of(endpoint, model)
        asked.reasons[reason] = asked.reasons.get(reason, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """What Prometheus reads."""
        answered = _counter(series.REQUESTS)
        failed = _counter(series.FAILURES)
        for (endpoint, model), asked in list(self._asked.items()):
            for code, count in list(asked.codes.items()):
                answered.add_metric((endpoint, model, str(code) if code else "none"), count)
            for reason, count in list(asked.reasons.items()):
                failed.add_metric((endpoint, model, reason), count)
        yield from (answered, failed)
        for histogram in (self._seconds, self._rows, self._stage_seconds):
            yield from histogram.collect()

    def _of(self, endpoint: str, model: str) -> _Asked:
        if model not in self._models:
            if len(self._models) >= MAX_MODELS and model != UNKNOWN_MODEL:
                return self._of(endpoint, UNKNOWN_MODEL)
            self._models.add(model)
        if (asked := self._asked.get((endpoint, model))) is None:
            asked = self._asked[endpoint, model] = _Asked(
                self._seconds.labels(endpoint, model),
                self._rows.labels(endpoint, model),
                [self._stage_seconds.labels(model, stage) for stage in series.STAGES],
                self._figures.counts(series.REQUESTS.name, (endpoint, model), int),
                self._figures.counts(series.FAILURES.name, (endpoint, model), str),
            )
        return asked

    def _found_code(self, endpoint: str, model: str, code: str) -> None:
        self._of(endpoint, model).codes.setdefault(int(code), 0)

    def _found_reason(self, endpoint: str, model: str, reason: str) -> None:
        self._of(endpoint, model).reasons.setdefault(reason, 0)


def reasons() -> dict[str, int]:
    """Why a request may be refused or fail, and the status that says so."""
    kinds = ServiceError.__subclasses__()
    for kind in kinds:
        kinds += kind.__subclasses__()
    return {kind.reason: kind.status for kind in kinds} | OTHER_REASONS


def _counter(spec: MetricSpec) -> CounterMetricFamily:
    return CounterMetricFamily(spec.name.removesuffix("_total"), spec.help, labels=spec.labels)
