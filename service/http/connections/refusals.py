"""Answers that a connection gives by itself, to what never becomes a request."""

from typing import Any

import orjson
from starlette.types import Scope

from service.codecs import JSON_TYPE, PROBLEM_TYPE
from service.errors import OverloadedError, ServiceError
from service.http.connections.limits import (
    ALWAYS_BEGUN,
    LINGER_SECONDS,
    MAX_LINGER_BYTES,
    MAX_MALFORMED_LINGER_BYTES,
    MAX_SKIPPED_BYTES,
)
from service.http.connections.reading import RequestReader
from service.telemetry import SCOPE_KEY

OVERLOAD = OverloadedError("more requests come than this server can answer", retry_after=1)

REASON_PHRASES = {
    400: b"Bad Request",
    408: b"Request Timeout",
    413: b"Content Too Large",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}


def refusal(error: ServiceError, request_id: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    """A whole answer: a problem document (RFC 9457), after which the connection is closed.

    Args:
        error: why.
        request_id: of what is refused.
        headers: that it has besides.
    """
    body = orjson.dumps(error.problem() | {"request_id": request_id})
    named = {name: text for name, text in error.headers.items() if name != "Connection"}
    lines = [
        b"HTTP/1.1 %d %s" % (error.status, REASON_PHRASES[error.status]),
        *(name + b": " + value for name, value in headers),
        b"content-type: " + PROBLEM_TYPE.encode(),
        b"content-length: %d" % len(body),
        *(f"{name}: {text}".lower().encode() for name, text in named.items()),
        b"x-request-id: " + request_id.encode(),
        b"connection: close",
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _turning_away(document: dict[str, Any], media_type: str) -> tuple[bytes, int]:
    """The answer to what is turned away, with room for what differs, and the bytes of its body."""
    body = orjson.dumps({"request_id": "", **document}).replace(b"%", b"%%")
    body = body.replace(b'"request_id":""', b'"request_id":"%b"')
    head = (
        b"HTTP/1.1 429 Too Many Requests\r\n%bcontent-type: "
        + media_type.encode()
        + b"\r\nretry-after: 1\r\ncontent-length: %d\r\nx-request-id: %b\r\n\r\n"
    )
    return head + body, len(body % b"")


_NATIVE = _turning_away(OVERLOAD.problem(), PROBLEM_TYPE)
_V2 = _turning_away(
    {("error" if k == "detail" else k): v for k, v in OVERLOAD.problem().items()}, JSON_TYPE
)


def turned_away(request_id: str, path: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    """A whole answer to a request that finds the server overloaded (429); the connection stays.

    Args:
        request_id: of the request; it has no character that JSON escapes.
        path: of the request.
        headers: that the answer has besides.
    """
    answer, size = _V2 if path.startswith("/v2") else _NATIVE
    identity = request_id.encode()
    heads = b"".join([b"%b: %b\r\n" % header for header in headers])
    return answer % (heads, size + len(identity), identity, identity)


class RefusingReader(RequestReader):
    """The refusing half of a connection."""

    has_turn = False
    """Whether it is one of those that answer what was sent ahead."""
    lingers_until = 0.0
    """How long a connection that is closing is read from, on the clock of all connections."""
    max_lingered = MAX_LINGER_BYTES
    """Most bytes that are read then."""

    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of every answer."""
        return self.server_state.default_headers

    def refuse(self, error: ServiceError, reason: str | None = None) -> None:
        """Answer a request that does not become one, or not a whole one, and close."""
        self.registry.metrics.closed(reason or error.reason)
        self.let_go_of_input()
        exchange, scope = self.cycle, None
        if exchange is not None and not exchange.response_complete:
            exchange.depart()
            if exchange.response_started:
                self.transport.abort()
                return
            scope = exchange.scope
        self.send_refusal(error, scope)
        if error.status in (400, 431):
            self.max_lingered = MAX_MALFORMED_LINGER_BYTES
        self.linger()

    def send_refusal(self, error: ServiceError, scope: Scope | None = None) -> None:
        """Answer what is refused; `scope` is of a request that the application has begun."""
        record = None if scope is None else scope.get(SCOPE_KEY)
        request_id = self.registry.on_refusal(error, record)
        self.transport.write(refusal(error, request_id, self._refusal_headers(scope)))

    def linger(self) -> None:
        """Send no more, and throw away what still arrives for a while."""
        self.let_go_of_input()
        if self.transport.is_closing():
            return
        self.is_closing = True
        self.lingers_until = self.registry.now + LINGER_SECONDS
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def can_turn_away(self, scope: Scope) -> bool:
        """Whether a request can be answered unread, and another one follow it."""
        return (
            scope["method"] == "POST"
            and self.body_left <= MAX_SKIPPED_BYTES
            and self.chunks is None
            and not self.expect_100_continue
            and not self.flow.write_paused
            and not self.has_turn
            and not self.registry.is_draining
            and not scope["path"].startswith(ALWAYS_BEGUN)
        )

    def turn_away(self, scope: Scope) -> None:
        """Answer a request before it is begun; its body is passed over as it comes."""
        path = scope["path"]
        request_id = self.registry.on_overload(scope["headers"], scope["method"], path)
        self.transport.write(turned_away(request_id, path, self._refusal_headers(scope)))
        self.release_head()
        self.cycle = None

    def _refusal_headers(self, scope: Scope | None) -> list[tuple[bytes, bytes]]:
        """Headers of an answer to what is refused here, of a request where one has been read."""
        headers = self.default_headers()
        return headers if scope is None else [*headers, *self.registry.refusal_headers(scope)]
