"""Exceptions to answers: one problem document for everything that goes wrong."""

import logging
import uuid
from http import HTTPStatus

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from service.codecs import JSON_TYPE, PROBLEM_TYPE
from service.errors import InvalidInputError, ServiceError, readable
from service.log import place
from service.telemetry import of_scope

log = logging.getLogger(__name__)

# nginx's code for a caller that left: nobody reads the answer, it is counted.
CLIENT_CLOSED_REQUEST = 499


def answer(scope: Scope, error: Exception) -> Response:
    """The answer to a request that failed: a problem document (RFC 9457), with the request's id.

    Args:
        scope: of the request, whose record gets the reason.
        error: why it failed.
    """
    method, path, record = scope["method"], scope["path"], of_scope(scope)
    headers: dict[str, str] = {}
    match error:
        case ServiceError():
            problem, reason, headers = error.problem(), error.reason, error.headers
        case RequestValidationError():
            invalid = InvalidInputError("; ".join(map(readable, error.errors())))
            problem, reason = invalid.problem(), invalid.reason
        case HTTPException():
            phrase = HTTPStatus(error.status_code).phrase
            reason = phrase.lower().replace(" ", "-")
            detail = f"{method} {path:.200}: {phrase}; see /docs"
            problem = {"type": f"urn:bijecta:{reason}", "title": phrase}
            problem |= {"status": error.status_code, "detail": detail}
            headers = dict(error.headers or {})
        case ClientDisconnect():
            problem, reason = {"status": CLIENT_CLOSED_REQUEST}, "cancelled"
        case _:
            # of one mistake the log has one traceback: all its answers name this one
            instance = uuid.uuid5(uuid.NAMESPACE_URL, repr(place(error))).urn
            log.error("%s %s failed, %s", method, path, instance, exc_info=error)
            internal = ServiceError("something went wrong here; the log says what")
            problem, reason = internal.problem() | {"instance": instance}, internal.reason
    record.fail(reason)
    problem["request_id"] = record.id
    if path.startswith("/v2"):
        # Open Inference Protocol: the text has another name, and wrong values are 400 too
        status = 400 if problem["status"] == 422 else problem["status"]
        document = {"error": problem.pop("detail", ""), **problem, "status": status}
        return Response(orjson.dumps(document), status, headers, JSON_TYPE)
    return Response(orjson.dumps(problem), problem["status"], headers, PROBLEM_TYPE)


def say_broken_off(scope: Scope, error: Exception) -> None:
    """Say why an answer ends after its head, when it is too late for a document.

    Args:
        scope: of the request, whose record gets the reason.
        error: why it failed.
    """
    record = of_scope(scope)
    match error:
        case ServiceError():
            reason = error.reason
            endpoint = record.endpoint
            extra = {"kind": ("broken off", endpoint, reason)}
            log.warning("an answer of %s is broken off: %s", endpoint, error.detail, extra=extra)
        case ClientDisconnect():
            reason = "cancelled"
        case _:
            reason = ServiceError.reason
            log.error("%s %s is broken off", scope["method"], scope["path"], exc_info=error)
    record.fail(reason)


def add_handlers(app: FastAPI) -> None:
    """Answer every exception of an application with `application/problem+json`."""

    async def handler(request: Request, error: Exception) -> Response:
        return answer(request.scope, error)

    for kind in (
        ServiceError,
        RequestValidationError,
        HTTPException,
        ClientDisconnect,
        Exception,
    ):
        app.add_exception_handler(kind, handler)
