"""Which requests are traced, and the spans that are made of their records."""

import time
from collections.abc import Callable
from random import getrandbits
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)

from service.metrics import STAGES
from service.telemetry.request import RequestRecord
from service.telemetry.sampling import Sampling
from service.telemetry.trace import HeaderPairs, Trace, trace_parent, trace_state

KEPT = TraceFlags(TraceFlags.SAMPLED)
SCOPE = InstrumentationScope("bijecta")

# Probes and scrapes come all day: they begin no trace.
QUIET = ("/health/", "/metrics", "/v2/health/", "/inference.GRPCInferenceService/Server")


class Tracing:
    """Decides which requests are traced, and makes spans of those at their end alone.

    Args:
        sampling: decides.
        resource: what this server is.
        emit: takes a span that has ended.
    """

    def __init__(
        self, sampling: Sampling, resource: Resource, emit: Callable[[ReadableSpan], None]
    ) -> None:
        self._sampling = sampling
        self._resource = resource
        self._emit = emit

    def begin(
        self, record: RequestRecord, headers: HeaderPairs, outer: RequestRecord | None = None
    ) -> None:
        """Trace a request that begins, or not.

        Args:
            record: of the request, which gets `trace_id` and `trace`.
            headers: of the request, with names in lower case.
            outer: record of the request that this one is a part of.
        """
        if outer is not None:
            record.trace_id = outer.trace_id
            if (above := outer.trace) is not None:
                record.trace = Trace(above.trace_id, _new_id(64), above.span_id, False, above.state)
            return
        parent = trace_parent(headers)
        if parent is None:
            number = _new_id(128)
            if self._sampling.keeps(number, None) and not record.path.startswith(QUIET):
                record.trace_id = f"{number:032x}"
                record.trace = Trace(number, _new_id(64), 0, False)
            return
        record.trace_id, span_id, is_kept = parent
        number = int(record.trace_id, 16)
        if self._sampling.keeps(number, is_kept):
            state = trace_state(headers)
            record.trace = Trace(number, _new_id(64), int(span_id, 16), True, state)

    def ended(self, record: RequestRecord, trace: Trace) -> None:
        """Make the spans of a request that ends now."""
        state = TraceState.from_header([trace.state]) if trace.state else TraceState()
        context = SpanContext(trace.trace_id, trace.span_id, False, KEPT, state)
        parent = None
        if trace.parent_id:
            above = trace.trace_id, trace.parent_id, trace.is_remote, KEPT, state
            parent = SpanContext(*above)
        offset = time.time_ns() - time.monotonic_ns()
        for stage, since, until in trace.intervals:
            span_id = _new_id(64)
            self._emit(
                ReadableSpan(
                    STAGES[stage],
                    SpanContext(trace.trace_id, span_id, False, KEPT, state),
                    context,
                    self._resource,
                    start_time=offset + int(1e9 * since),
                    end_time=offset + int(1e9 * until),
                    instrumentation_scope=SCOPE,
                )
            )
        self._emit(
            ReadableSpan(
                trace.name,
                context,
                parent,
                self._resource,
                attributes=trace.attributes | _said(record),
                kind=SpanKind.SERVER,
                status=Status(StatusCode.ERROR if trace.is_error else StatusCode.UNSET),
                start_time=offset + int(1e9 * record.began),
                end_time=offset + time.monotonic_ns(),
                instrumentation_scope=SCOPE,
            )
        )


def _new_id(bits: int) -> int:
    """A number of a trace or of a span, which is never 0."""
    return getrandbits(bits) or 1


def _said(record: RequestRecord) -> dict[str, Any]:
    """What a span says of any request, as the request's line in the log does."""
    said = {
        "bijecta.request_id": record.id,
        "bijecta.operation": record.endpoint,
        "bijecta.model": record.model,
        "bijecta.version": record.version,
        "bijecta.rows": record.rows,
        "bijecta.key": record.key,
        "bijecta.reason": record.reason or None,
    }
    return {name: value for name, value in said.items() if value is not None}
