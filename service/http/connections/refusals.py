"""Answers that a connection gives by itself, to what never becomes a request."""

import orjson

from service.codecs import PROBLEM_TYPE
from service.errors import ServiceError

REASON_PHRASES = {
    400: b"Bad Request",
    408: b"Request Timeout",
    413: b"Content Too Large",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}


def refusal(
    error: ServiceError, request_id: str, default_headers: list[tuple[bytes, bytes]]
) -> bytes:
    """A whole answer: a problem document (RFC 9457), after which the connection is closed.

    Args:
        error: why.
        request_id: of what is refused.
        default_headers: that every answer has.
    """
    body = orjson.dumps(error.problem() | {"request_id": request_id})
    named = {name: text for name, text in error.headers.items() if name != "Connection"}
    lines = [
        b"HTTP/1.1 %d %s" % (error.status, REASON_PHRASES[error.status]),
        *(name + b": " + value for name, value in default_headers),
        b"content-type: " + PROBLEM_TYPE.encode(),
        b"content-length: %d" % len(body),
        *(f"{name}: {text}".lower().encode() for name, text in named.items()),
        b"x-request-id: " + request_id.encode(),
        b"connection: close",
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
