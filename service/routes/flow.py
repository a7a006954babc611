"""The five questions to a flow, in JSON and npy."""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

import numpy as np
from pydantic import ValidationError
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope

from service.codec import json, npy
from service.endpoint import Endpoint, deadline, off_loop
from service.errors import InvalidInputError, UnsupportedMediaTypeError, readable
from service.model import Model
from service.operations import Answer, Operations
from service.receiving import Headers, body_of, unless_gone
from service.schemas import (
    DecodeRequest,
    EncodeRequest,
    FlowRequest,
    InterpolateRequest,
    LogProbRequest,
    SampleRequest,
)
from service.server import Server

R = TypeVar("R", bound=FlowRequest)
Operation = Callable[[Model, R, float], Awaitable[Answer]]

# curl -d says urlencoded unless told otherwise, and means JSON
JSON_TYPES = ("", json.TYPE, "application/x-www-form-urlencoded")


class Question(Endpoint, Generic[R]):
    """The route of one operation.

    Args:
        server: which is asked.
        name: of the route.
        schema: of its requests.
        operation: what answers them.
    """

    def __init__(self, server: Server, name: str, schema: type[R], operation: Operation[R]) -> None:
        super().__init__(server)
        self.name = name
        self.schema = schema
        self.operation = operation

    async def answer(self, scope: Scope, receive: Receive) -> Response:
        """The operation's arrays, in the format asked for."""
        headers = Headers(scope)
        due = deadline(headers)
        body = await body_of(receive, headers, self.server.settings.max_body)
        query_string = scope["query_string"].decode("latin-1")
        query = dict(parse_qsl(query_string, keep_blank_values=True)) if query_string else {}
        output = query.pop("output", None)
        content_type = headers["content-type"].partition(";")[0].strip().lower()
        parse = partial(_parse, self.schema, content_type, body, query)
        asked = await off_loop(len(body), parse)
        model = await self.server.store.get(asked.model, asked.version)
        answer = await unless_gone(receive, self.operation(model, asked, due))
        own = next(iter(answer.arrays))
        self.server.metrics.request_rows(self.name, model.manifest.name, len(answer.arrays[own]))
        if output is not None and output not in answer.arrays:
            names = ", ".join(answer.arrays)
            raise InvalidInputError(f"output: there is no {output!r}, only {names}")
        size = sum(array.nbytes for array in answer.arrays.values())
        if _wants_npy(headers["accept"], content_type):
            return await off_loop(size, partial(_npy, model, answer, output or own))
        return await off_loop(size, partial(_json, model, answer))


def questions(server: Server) -> list[Question[Any]]:
    """Every question of a server."""
    ask: Operations = server.operations
    return [
        Question(server, "log_prob", LogProbRequest, ask.log_prob),
        Question(server, "encode", EncodeRequest, ask.encode),
        Question(server, "decode", DecodeRequest, ask.decode),
        Question(server, "sample", SampleRequest, ask.sample),
        Question(server, "interpolate", InterpolateRequest, ask.interpolate),
    ]


def routes(asked: Iterable[Question[Any]]) -> list[Route]:
    """The questions as routes."""
    return [Route(f"/{q.name}", q, methods=["POST"], name=q.name) for q in asked]


def documentation(asked: Iterable[Question[Any]]) -> dict[str, Any]:
    """What /docs shows of them: OpenAPI paths."""
    responses = {
        "200": {"description": "the answer", "content": _content({})},
        "default": {"description": "a problem document", "content": {json.PROBLEM: {}}},
    }
    return {
        f"/{q.name}": {
            "post": {
                "tags": ["flow"],
                "summary": (q.operation.__doc__ or "").partition("\n")[0],
                "operationId": q.name,
                "requestBody": {"content": _content({"schema": q.schema.model_json_schema()})},
                "responses": responses,
            }
        }
        for q in asked
    }


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    """What a body may be."""
    return {json.TYPE: schema, npy.TYPE: {"schema": {"type": "string", "format": "binary"}}}


def _parse(schema: type[R], content_type: str, body: bytes, query: dict[str, str]) -> R:
    if content_type == npy.TYPE or not body:
        content: dict[str, Any] = dict(query)
        if "context" in query:
            content["context"] = np.array(query["context"].split(","))
        fields = _npy_fields(schema, body) if body else {}
        if twice := sorted(content.keys() & fields.keys()):
            raise InvalidInputError(f"{', '.join(twice)}: in the body, and in the URL as well")
        content |= fields
        strict = False  # a query string holds only strings
    elif content_type in JSON_TYPES:
        if query:
            raise InvalidInputError(
                f"with a JSON body, {sorted(query)} go in the body, not in the URL"
            )
        content, strict = json.parse(body), True
    else:
        raise UnsupportedMediaTypeError(f"expected {json.TYPE} or {npy.TYPE}, got {content_type}")
    try:
        return schema.model_validate(content, strict=strict)
    except ValidationError as error:
        raise InvalidInputError("; ".join(map(readable, error.errors()))) from None


def _npy_fields(schema: type[FlowRequest], body: bytes) -> dict[str, Any]:
    array, names = npy.parse(body), schema.npy_fields
    if len(names) == 1:
        return {names[0]: array}
    if array.ndim == 0 or len(array) != len(names):
        raise InvalidInputError(
            f"expected {len(names)} × event shape (the rows {', '.join(names)}), got shape "
            f"{array.shape}"
        )
    return dict(zip(names, array, strict=True))


def _wants_npy(accept: str, content_type: str) -> bool:
    """Answer in the format accepted; where both or any are, in that of the request."""
    if (npy.TYPE in accept) != (json.TYPE in accept):
        return npy.TYPE in accept
    return content_type == npy.TYPE


def _json(model: Model, answer: Answer) -> Response:
    content = {
        "model": model.manifest.name,
        "version": model.manifest.version,
        **answer.arrays,
        **({} if answer.seed is None else {"seed": answer.seed}),
    }
    return Response(json.dump(content), media_type=json.TYPE)


def _npy(model: Model, answer: Answer, output: str) -> Response:
    headers = {
        "X-Bijecta-Model": model.manifest.name,
        "X-Bijecta-Version": str(model.manifest.version),
    }
    if answer.seed is not None:
        headers["X-Bijecta-Seed"] = str(answer.seed)
    return Response(npy.dump(answer.arrays[output]), media_type=npy.TYPE, headers=headers)
