"""A collector of traces on this machine, which keeps what it is sent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    """A span as a collector has it; times in nanoseconds, ids in hex, empty where there is none."""

    name: str
    trace: str
    id: str
    parent: str
    state: str
    kind: int
    start: int
    end: int
    status: int
    attributes: dict[str, Any]


@dataclass
class Collector:
    """What has been sent.

    Args:
        status: that it answers with.
    """

    status: int = 200
    port: int = 0
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def resource(self) -> dict[str, Any]:
        """What the sender says it is."""
        (first, *_) = self.requests
        return _values(first.resource_spans[0].resource.attributes)

    @property
    def spans(self) -> list[Span]:
        return [
            Span(
                name=span.name,
                trace=span.trace_id.hex(),
                id=span.span_id.hex(),
                parent=span.parent_span_id.hex(),
                state=span.trace_state,
                kind=span.kind,
                start=span.start_time_unix_nano,
                end=span.end_time_unix_nano,
                status=span.status.code,
                attributes=_values(span.attributes),
            )
            for request in self.requests
            for of_resource in request.resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        ]

    @property
    def servers(self) -> list[Span]:
        """The spans of whole requests, in the order of their ends."""
        return [span for span in self.spans if span.kind == 2]

    def stages(self, span: Span) -> list[Span]:
        """The spans of a request's stages."""
        return [each for each in self.spans if each.parent == span.id and each.kind == 1]


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@contextmanager
def collector(status: int = 200) -> Iterator[Collector]:
    """A collector that runs meanwhile."""
    found = Collector(status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.paths.append(self.path)
            found.headers.append({k.lower(): v for k, v in self.headers.items()})
            if found.status == 200:
                found.requests.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(found.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
