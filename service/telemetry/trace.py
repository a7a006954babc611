"""One request's place in a trace, as W3C Trace Context says it (https://www.w3.org/TR/trace-context)."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

# Of a request that is traced; a long answer has thousands.
MAX_INTERVALS = 64

# What callers must be able to pass on; more is dropped.
MAX_STATE_BYTES = 512

# version, trace, caller's span and flags; a version to come may go on
TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
NO_TRACE, NO_SPAN = b"0" * 32, b"0" * 16
# last digits of flags in which the bit for sampled is set
ODD = b"13579bdf"

HeaderPairs = Iterable[tuple[bytes, bytes]]


class TraceParent(NamedTuple):
    """What a caller says of the trace that its request is a part of.

    Args:
        trace_id: of the trace, 32 hexadecimal digits, not all 0.
        span_id: of the caller's own span, 16 of them.
        is_sampled: whether the caller keeps its spans.
    """

    trace_id: str
    span_id: str
    is_sampled: bool


class Trace:
    """A request whose spans are kept.

    Args:
        trace_id: of the trace.
        span_id: of the request.
        parent_id: of the span that asked; 0 where the trace begins here.
        is_remote: whether that is another program's.
        state: `tracestate`, as it came.

    Attributes:
        name: of its span.
        attributes: what its protocol says of it.
        is_error: whether it failed, by the protocol's conventions.
        intervals: stage, start and end of each part, on `time.monotonic`'s clock.
    """

    __slots__ = (
        "attributes",
        "intervals",
        "is_error",
        "is_remote",
        "name",
        "parent_id",
        "span_id",
        "state",
        "trace_id",
    )

    def __init__(
        self, trace_id: int, span_id: int, parent_id: int, is_remote: bool, state: str = ""
    ) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent_id = parent_id
        self.is_remote = is_remote
        self.state = state
        self.name = ""
        self.attributes: dict[str, Any] = {}
        self.is_error = False
        self.intervals: list[tuple[int, float, float]] = []

    def spent(self, stage: int, since: float, until: float) -> None:
        """Keep a part of a stage, unless there are very many."""
        if len(self.intervals) < MAX_INTERVALS:
            self.intervals.append((stage, since, until))


def trace_parent(headers: HeaderPairs) -> TraceParent | None:
    """What the headers of a request say; None where they say nothing, or nothing well formed."""
    given = None
    for name, value in headers:
        if name == b"traceparent":
            if given is not None:  # there may be one
                return None
            given = value
    if given is None or (match := TRACEPARENT.fullmatch(given.strip(b" \t"))) is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == b"ff" or (version == b"00" and more):
        return None
    if trace_id == NO_TRACE or span_id == NO_SPAN:
        return None
    is_sampled = flags[1] in ODD
    return TraceParent(trace_id.decode(), span_id.decode(), is_sampled)


def trace_state(headers: HeaderPairs) -> str:
    """`tracestate`, in one line; empty where it is too long."""
    state = b",".join([value for name, value in headers if name == b"tracestate"])
    return state.decode("latin-1") if len(state) <= MAX_STATE_BYTES else ""
