"""Spans on their way to a collector, over OTLP/HTTP."""

import logging
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from service.errors import masked
from service.telemetry.sampling import Sampling
from service.telemetry.tracing import Tracing

log = logging.getLogger(__name__)

# How long the end of the server waits for a collector that takes the last spans.
CLOSE_SECONDS = 5.0

# The SDK's own loggers: of each batch that is lost, of each span that finds no room, of headers
# that callers send, and of what should be `OTEL_EXPORTER_OTLP_HEADERS`, with its secrets.
EXPORTER_LOGGER = "opentelemetry.exporter"
TALKATIVE_LOGGERS = (
    "opentelemetry.sdk._shared_internal",
    "opentelemetry.trace.span",
    "opentelemetry.util.re",
)


class TraceExport:
    """Sends spans in a thread that nothing waits for, and drops what no collector takes.

    The environment says the rest, as https://opentelemetry.io/docs/languages/sdk-configuration has
    it: the SDK reads the variables of the resource, the batches and the exporter.

    Args:
        url: that takes spans.
        sampling: decides which traces are kept.
        counted: told of spans, by how many and whether a collector has taken them.

    Raises:
        ValueError, RuntimeError: a variable of the environment that cannot be followed.
    """

    def __init__(self, url: str, sampling: Sampling, counted: Callable[[int, bool], None]) -> None:
        self.url = url
        """That takes spans."""
        for name in TALKATIVE_LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._exporter = _Exporter(url, counted)
        self._processor = BatchSpanProcessor(self._exporter)
        resource = _named(Resource.create())
        self.tracing = Tracing(sampling, resource, self._processor.on_end)
        """Decides which requests are traced."""
        log.info("traces go to %s: %s", masked(url), sampling)

    def close(self) -> None:
        """Send what waits, for a while; a collector that takes nothing is not waited for."""
        if self._exporter.is_down:
            self._exporter.shutdown()
        thread = threading.Thread(target=self._processor.shutdown, daemon=True)
        thread.start()
        thread.join(CLOSE_SECONDS)


class _Exporter(SpanExporter):
    """Counts what is sent, and says once that nothing is taken.

    Args:
        url: that takes spans.
        counted: see `TraceExport`.
    """

    def __init__(self, url: str, counted: Callable[[int, bool], None]) -> None:
        self._inner = OTLPSpanExporter(endpoint=url)
        self._address = masked(url)
        self._counted = counted
        self.is_down = False
        """Whether the collector has not taken what it was sent last."""
        self._is_shut = False
        logger = logging.getLogger(EXPORTER_LOGGER)
        logger.handlers[:] = [_Reasons(self._say_down)]
        logger.propagate = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; in the thread of the processor."""
        result = self._inner.export(spans)
        is_sent = result is SpanExportResult.SUCCESS
        self._counted(len(spans), is_sent)
        if is_sent and self.is_down:
            self.is_down = False
            log.info("traces: %s takes spans again", self._address)
        return result

    def shutdown(self) -> None:
        """Send nothing more; what is being tried again is given up."""
        if not self._is_shut:
            self._is_shut = True
            self._inner.shutdown()  # type: ignore[no-untyped-call]

    def _say_down(self, reason: str) -> None:
        if not self.is_down:
            self.is_down = True
            log.warning("traces are lost: %s does not take them: %s", self._address, reason)


class _Reasons(logging.Handler):
    """Takes what the SDK would write of each batch that is not taken.

    Args:
        say: told why.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Tell the reason, without the texts of errors, in which URLs stand whole."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        reason = next(
            (each for each in arguments if each not in (None, "spans")), "no answer in time"
        )
        if isinstance(reason, BaseException):
            cause = reason
            while (inner := cause.__cause__ or cause.__context__) is not None:
                cause = inner
            text = getattr(cause, "strerror", None)
            reason = type(reason).__name__ + (f", {text}" if text else "")
        self._say(str(reason))


def _named(resource: Resource) -> Resource:
    """What the environment says this is, and this program's own name where it says none."""
    own = {"service.name": "bijecta", "service.version": version("bijecta")}
    given = {k for k, v in resource.attributes.items() if not str(v).startswith("unknown_service")}
    return resource.merge(Resource({k: v for k, v in own.items() if k not in given}))
