"""The five questions to a flow, in JSON, npy and Arrow."""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import parse_qsl

from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope

from service.codecs import base as formats
from service.codecs import json, wav
from service.errors import InvalidInputError, TooLargeError
from service.http.asgi_route import Endpoint, deadline, off_loop
from service.http.disconnect import unless_gone
from service.http.request_body import Headers, body_of
from service.http.streaming import Sampling, Streamed
from service.operations import (
    Answer,
    DecodeRequest,
    EncodeRequest,
    FlowRequest,
    InterpolateRequest,
    LogProbRequest,
    SampleRequest,
)
from service.server import Server
from service.store import Model

R = TypeVar("R", bound=FlowRequest)
Operation = Callable[[Model, R, float], Awaitable[Answer]]


class Asked(NamedTuple, Generic[R]):
    """A request, read.

    Args:
        request: its fields.
        model: which it means, leased until the answer is whole.
        kind: type of the answer.
        output: the one array that is wanted, if it names one.
        deadline: on `time.monotonic`'s clock.
    """

    request: R
    model: Model
    kind: str
    output: str | None
    deadline: float


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
        content_type = headers[b"content-type"].partition(";")[0].strip().lower()
        request, output = await self.read(scope, receive, headers, content_type)
        with await self.server.store.get(request.model, request.version) as model:
            kind = formats.accepted(headers[b"accept"], content_type)
            formats.check_acceptable(kind, model, output)
            return await self.answer_to(Asked(request, model, kind, output, due), receive)

    async def answer_to(self, asked: Asked[R], receive: Receive) -> Response:
        """The answer to a request that has been read."""
        work = self.operation(asked.model, asked.request, asked.deadline)
        answer = await unless_gone(receive, work)
        self.check_output(asked.output, answer.arrays)
        size = sum(array.nbytes for array in answer.arrays.values())
        self.count(asked.model, len(next(iter(answer.arrays.values()))))
        return await off_loop(
            size, partial(formats.respond, asked.kind, asked.model, answer, asked.output)
        )

    async def read(
        self, scope: Scope, receive: Receive, headers: Headers, content_type: str
    ) -> tuple[R, str | None]:
        """A request, and the one array that it wants, if it names one."""
        body = await body_of(receive, headers, self.server.settings.max_body)
        asked_for = scope["query_string"].decode("latin-1")
        query = dict(parse_qsl(asked_for, keep_blank_values=True)) if asked_for else {}
        output = query.pop("output", None)
        parse = partial(formats.parse, self.schema, content_type, body, query)
        return await off_loop(len(body), parse), output

    def check_output(self, output: str | None, names: Iterable[str]) -> None:
        """See that an answer has the array that is wanted.

        Raises:
            InvalidInputError: it has none of that name.
        """
        if output is not None and output not in names:
            raise InvalidInputError(f"output: there is no {output!r}, only {', '.join(names)}")

    def count(self, model: Model, rows: int) -> None:
        """Take an answer's rows into account."""
        self.server.metrics.request_rows(self.name, model.manifest.name, rows)


class Sample(Question[SampleRequest]):
    """`/sample`, which in binary answers with any number of rows, a piece at a time."""

    async def answer_to(self, asked: Asked[SampleRequest], receive: Receive) -> Response:
        """X and log_prob; in JSON and as a sound all at once."""
        if asked.kind in (json.TYPE, wav.TYPE):
            return await super().answer_to(asked, receive)
        request, ask = asked.request, self.server.operations
        if request.n > self.server.settings.max_sample_rows:
            allowed = self.server.settings.max_sample_rows
            raise TooLargeError(f"n is {request.n}, more than the {allowed} allowed")
        self.check_output(asked.output, ("x", "log_prob"))
        seed, pieces = ask.samples(asked.model, request, asked.deadline)
        self.count(asked.model, request.n)
        first = await unless_gone(receive, anext(pieces))
        sampling = Sampling(asked.model, request.n, seed, pieces)
        return Streamed(asked.kind, sampling, first, asked.output)


def questions(server: Server) -> list[Question[Any]]:
    """Every question of a server."""
    ask = server.operations
    return [
        Question(server, "log_prob", LogProbRequest, ask.log_prob),
        Question(server, "encode", EncodeRequest, ask.encode),
        Question(server, "decode", DecodeRequest, ask.decode),
        Sample(server, "sample", SampleRequest, ask.sample),
        Question(server, "interpolate", InterpolateRequest, ask.interpolate),
    ]


def routes(asked: Iterable[Question[Any]]) -> list[Route]:
    """The questions as routes."""
    return [Route(f"/{q.name}", q, methods=["POST"], name=q.name) for q in asked]


def documentation(asked: Iterable[Question[Any]]) -> dict[str, Any]:
    """What /docs shows of them: OpenAPI paths."""
    responses = {
        "200": {"description": "the answer", "content": _content({}) | {wav.TYPE: {}}},
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
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {json.TYPE: schema} | dict.fromkeys(formats.BINARY_TYPES, binary)
