"""Exceptions to answers: one problem document for everything that goes wrong."""

import logging
import uuid
from http import HTTPStatus

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from service.codec import PROBLEM
from service.errors import InvalidInputError, ServiceError, readable
from service.metrics import endpoint_label

log = logging.getLogger(__name__)


def add_handlers(app: FastAPI) -> None:
    """Answer every exception of an application with `application/problem+json` (RFC 9457)."""

    def answer(request: Request, reason: str, problem: dict[str, object]) -> Response:
        endpoint = endpoint_label(request.url.path)
        app.state.server.metrics.failures.labels(endpoint, reason).inc()
        status = problem["status"]
        assert isinstance(status, int)
        return Response(orjson.dumps(problem), status, media_type=PROBLEM)

    @app.exception_handler(ServiceError)
    async def _service_error(request: Request, error: ServiceError) -> Response:
        return answer(request, error.reason, error.problem())

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        invalid = InvalidInputError("; ".join(map(readable, error.errors())))
        return answer(request, invalid.reason, invalid.problem())

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        phrase = HTTPStatus(error.status_code).phrase
        reason = phrase.lower().replace(" ", "-")
        detail = f"{request.method} {request.url.path}: {phrase}; see /docs"
        response = answer(
            request,
            reason,
            {
                "type": f"urn:bijecta:{reason}",
                "title": phrase,
                "status": error.status_code,
                "detail": detail,
            },
        )
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(ClientDisconnect)
    async def _gone(request: Request, _: ClientDisconnect) -> Response:
        # nobody reads this; it is counted, under nginx's code for it
        return answer(request, "cancelled", {"status": 499})

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> Response:
        instance = f"urn:uuid:{uuid.uuid4()}"
        log.error("%s %s failed, %s", request.method, request.url.path, instance, exc_info=error)
        internal = ServiceError("something went wrong here; the log says what", instance=instance)
        return answer(request, internal.reason, internal.problem())
