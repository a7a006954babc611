"""One request over gRPC: its key, its message, its memory, and its end."""

import math
import time

import grpc

from service.decompression import GZIP_MAGIC, Decompression
from service.grpc.admission import authorization
from service.grpc.slow_callers import Context
from service.grpc.statuses import Failure, failure
from service.inflight import MemoryShare
from service.security import Key, Scope
from service.server import Server
from service.telemetry import CURRENT, RECEIVE, RequestRecord, Trace, request_id

# The label of requests in the metrics.
INFER, STREAM, OTHER = "grpc-infer", "grpc-stream", "grpc-other"

SERVICE = "inference.GRPCInferenceService"

# Statuses by which a server has failed, by OpenTelemetry's conventions.
FAULTS = frozenset(
    {"DATA_LOSS", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "UNIMPLEMENTED", "UNKNOWN"}
)

# Of a request that has no tensors.
MAX_OTHER_BYTES = 2**16

# Larger ones are decompressed and read in a thread, so that other requests do not wait for it.
MIN_THREAD_BYTES = 2**18

# What a request of fewer bytes is parsed to is not measured: it holds its message.
MIN_KEPT_BYTES = 2**18


class Call:
    """A request from its arrival to the end of its answer.

    Args:
        server: whose models are asked.
        context: of its call, or of the stream that it is a message of.
        label: of its metrics.
        method: of the service.
    """

    __slots__ = ("_code", "_label", "_server", "asked_id", "due", "key", "record", "share")

    def __init__(self, server: Server, context: Context, label: str, method: str) -> None:
        self._server = server
        self._label = label
        self._code = grpc.StatusCode.OK
        headers = [(name.encode(), _bytes(value)) for name, value in context.invocation_metadata()]
        self.record = RequestRecord(request_id(headers), "POST", f"/{SERVICE}/{method}", label)
        """What telemetry knows of it."""
        if (tracing := server.telemetry.tracing) is not None:
            tracing.begin(self.record, headers)
        CURRENT.set(self.record)
        self.due = deadline(context)
        """When its answer is of no more use, on `time.monotonic`'s clock."""
        self.share = MemoryShare(server.inflight)
        """What it holds in memory."""
        self.asked_id = ""
        """The id of what it asks, by its caller, once that has been read."""
        self.key: Key | None = None
        """By which its caller is known; None where none is needed."""
        server.metrics.in_flight += 1

    def admit(self, context: Context, scopes: tuple[Scope, ...]) -> None:
        """Find the key of its caller, and check that it is for this.

        Raises:
            ServiceError: it is not, or there is none.
        """
        if self._server.keyring is None or not scopes:
            return
        self.key = key = self._server.keyring.find(authorization(context))
        self.record.key = key.name
        key.check_scope(scopes)
        key.charge_request()

    def check_model(self, name: str) -> None:
        """Check that the caller may ask a model of the protocol.

        Raises:
            NotPermittedError, UnknownModelError: see `Key.check_model`.
        """
        if self.key is not None:
            self.key.check_model(name.partition(".")[0], self._server.store.entries)

    def may_see(self, name: str) -> bool:
        """Whether a listing for the caller has a model of that name."""
        return self.key is None or self.key.may_ask(name)

    def charge_rows(self, rows: int) -> None:
        """Count rows, before anything is done with them.

        Raises:
            RateLimitedError: there were too many.
        """
        if self.key is not None:
            self.key.charge_rows(rows, self._server.settings.max_sample_rows)

    async def content(self, message: bytes) -> bytes:
        """A message, which is charged, decompressed where it was compressed by gzip.

        Raises:
            MalformedBodyError: it is not whole.
            MemoryFullError, TooLargeError: more bytes than the limits allow.
        """
        self.share.charge(len(message))
        self.record.bytes_in = len(message)
        self.record.spent(RECEIVE, self.record.began, time.monotonic())
        if not message.startswith(GZIP_MAGIC):  # with which no message begins
            return message
        server = self._server
        limit = server.body_limits.body_bytes if self._label != OTHER else MAX_OTHER_BYTES
        stream = Decompression(message, "gzip", limit, self.share)
        if len(message) > MIN_THREAD_BYTES or not stream.read(MIN_THREAD_BYTES):
            await server.inflight.decompressing.in_turn(stream.read)
        self.share.keep(stream.size)
        return stream.content()

    def answered(self, rows: int | None = None) -> None:
        """There is an answer, to be sent."""
        self.record.answer(200)
        self.record.rows = rows

    def failed(self, error: Exception) -> Failure:
        """There is none, and why."""
        failed = failure(self._label, error)
        self.record.answer(failed.http_status)
        self.record.fail(failed.reason)
        self._code = failed.code
        return failed._replace(metadata=(*failed.metadata, ("x-request-id", self.record.id)))

    def end(self, _: Context = None) -> None:
        """It holds nothing any more."""
        self.share.__exit__(None, None, None)
        self._server.metrics.in_flight -= 1
        if not self.record.status:
            self.record.fail("cancelled")
            self._code = grpc.StatusCode.CANCELLED
        if self.record.trace is not None:
            _describe(self.record.trace, self.record.path, self._code)
        self._server.telemetry.ended(self.record)


def _describe(trace: Trace, path: str, code: grpc.StatusCode) -> None:
    """Say of a span what OpenTelemetry's conventions for servers of gRPC have.

    https://opentelemetry.io/docs/specs/semconv/rpc/grpc
    """
    trace.name = path[1:]
    trace.attributes = {
        "rpc.system.name": "grpc",
        "rpc.method": path[1:],
        "rpc.response.status_code": code.name,
    }
    trace.is_error = code.name in FAULTS
    if trace.is_error:
        trace.attributes["error.type"] = code.name


def _bytes(value: str | bytes) -> bytes:
    """A value of metadata, which is text but where its name ends in -bin."""
    return value if isinstance(value, bytes) else value.encode()


def deadline(context: Context) -> float:
    """When the answer of a call is of no more use, on `time.monotonic`'s clock."""
    remaining = context.time_remaining()
    return math.inf if remaining is None else time.monotonic() + remaining
