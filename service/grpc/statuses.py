"""The status code of every error: one table for all methods, by the HTTP status of the error."""

import logging
import uuid
from typing import NamedTuple

import grpc
from grpc import StatusCode

from service.errors import ServiceError
from service.log import place

log = logging.getLogger(__name__)

STATUS_CODES = {
    400: StatusCode.INVALID_ARGUMENT,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.NOT_FOUND,
    406: StatusCode.INVALID_ARGUMENT,
    408: StatusCode.DEADLINE_EXCEEDED,
    # not RESOURCE_EXHAUSTED, on which callers try again
    413: StatusCode.INVALID_ARGUMENT,
    415: StatusCode.INVALID_ARGUMENT,
    421: StatusCode.INVALID_ARGUMENT,
    422: StatusCode.INVALID_ARGUMENT,
    429: StatusCode.RESOURCE_EXHAUSTED,
    431: StatusCode.INVALID_ARGUMENT,
    500: StatusCode.INTERNAL,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.DEADLINE_EXCEEDED,
}

# Of a text; metadata may have 8 KiB in all, and a character becomes up to 12 of them.
MAX_DETAIL = 500


class Failure(NamedTuple):
    """How a request failed.

    Args:
        code: of gRPC.
        http_status: of the same answer over HTTP, which metrics count.
        reason: a word of a closed set.
        detail: for people.
        metadata: what follows the answer.
    """

    code: grpc.StatusCode
    http_status: int
    reason: str
    detail: str
    metadata: tuple[tuple[str, str], ...]


def failure(method: str, error: Exception) -> Failure:
    """What a request that failed is answered; the log says what nobody expected.

    Args:
        method: of the service.
        error: why it failed.
    """
    if not isinstance(error, ServiceError):
        # of one mistake the log has one traceback: all its answers name this one
        instance = uuid.uuid5(uuid.NAMESPACE_URL, repr(place(error))).urn
        log.error("%s failed, %s", method, instance, exc_info=error)
        error = ServiceError(f"something went wrong here; the log says what: {instance}")
    detail = error.detail
    if len(detail) > MAX_DETAIL:
        detail = f"{detail[:MAX_DETAIL]}…"
    metadata = [("bijecta-reason", error.reason)]
    if (seconds := error.headers.get("Retry-After")) is not None:
        metadata.append(("grpc-retry-pushback-ms", str(1000 * int(seconds))))
    code = STATUS_CODES[error.status]
    return Failure(code, error.status, error.reason, detail, tuple(metadata))
