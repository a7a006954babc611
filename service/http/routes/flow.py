"""The questions to a flow, in every format of `service.codecs`: a route for each operation."""

from collections.abc import Awaitable
from functools import partial
from time import monotonic
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import parse_qsl

from starlette.responses import Response
from starlette.types import Receive, Scope

from service.codecs import (
    AnswerStream,
    Codec,
    PendingRequest,
    check_output,
    choose_codec,
    parse_request,
)
from service.errors import (
    InvalidInputError,
    NotAcceptableError,
    TooLargeError,
    UnavailableError,
)
from service.http.admission import key_of
from service.http.answer_room import BYTES_PER_STREAMED_NUMBER, held_answer, room_for_answer
from service.http.asgi_route import AsgiRoute, WholeAnswer, deadline
from service.http.disconnect import DepartureWatch, unless_departed
from service.http.request_body import MIN_KEPT_BYTES, Headers, body_of, parsed
from service.http.streaming import (
    StreamingAnswer,
    closed_on_failure,
    made_pieces,
    sampled_pieces,
)
from service.inflight import MemoryShare
from service.operations import (
    FLOW_OPERATIONS,
    AnswerPieces,
    FlowOperation,
    FlowRequest,
    operation_of,
)
from service.security import Key
from service.server import Server
from service.store import Model
from service.telemetry import PARSE, SERIALISE, current, spent
from service.work_threads import MIN_NUMBERS

R = TypeVar("R", bound=FlowRequest)

# Of an answer in records, which takes so much longer to write, see `MIN_NUMBERS`.
MIN_RECORD_NUMBERS = 2**11

# Beyond any request's.
MAX_QUERY_FIELDS = 64


class ParsedRequest(NamedTuple, Generic[R]):
    """A request, read.

    Args:
        request: its fields.
        content_type: of its body.
        accept: the formats of an answer that it accepts.
        output: the one array that it picks, if it does.
        deadline: on `time.monotonic`'s clock.
    """

    request: R | PendingRequest
    content_type: str
    accept: str
    output: str | None
    deadline: float


class FlowRoute(AsgiRoute, Generic[R]):
    """The route of one operation.

    Args:
        server: whose models are asked.
        operation: what answers.
    """

    def __init__(self, server: Server, operation: FlowOperation[R]) -> None:
        super().__init__(server, operation.name, [f"/{operation.name}"])
        self.operation = operation

    async def answer(self, scope: Scope, receive: Receive, share: MemoryShare) -> Response:
        """The operation's arrays, in the format asked for."""
        question = await self._read(scope, receive, share)
        request, key = question.request, key_of(scope)
        name, store = request.model, self.server.store
        if key is not None:
            name = key.model_of(name, store.default, store.entries)
        with await store.get(name, request.version) as model:
            return await self._answer_of(model, question, receive, share, key)

    async def _answer_of(
        self,
        model: Model,
        question: ParsedRequest[R],
        receive: Receive,
        share: MemoryShare,
        key: Key | None,
    ) -> Response:
        """The answer of a model."""
        asked, content_type, accept, output, due = question
        operation = operation_of(self.operation, model)
        request: FlowRequest
        if isinstance(asked, PendingRequest):
            began = monotonic()
            request = await self.server.threads.run(
                asked.numbers, asked.resolved, model.manifest, deadline=due
            )
            spent(PARSE, began)
        elif model.format_2 is None:
            request = asked
        else:  # it was read as one to a flow, before there was a table or a detector here
            raise UnavailableError(f"{model.manifest.name} has just been loaded: ask again")
        if key is not None:
            key.charge_rows(request.row_count, self.server.settings.max_sample_rows)
        if share.held > MIN_KEPT_BYTES:
            share.keep(request.nbytes)
        if output is not None and (field := request.lacks_for(output)) is not None:
            raise InvalidInputError(
                f"output: {output} is answered where {field} is true: say so in the body if it is "
                "JSON, and beside output if not"
            )
        schema = operation.request
        codec = choose_codec(accept, content_type, schema, model.manifest, output)
        if not codec.has_reasons and request.has_reasons:
            raise NotAcceptableError(
                f"reasons: {codec.media_type} has no room for them: ask for JSON, CSV, Arrow or "
                "Parquet"
            )
        if (reason := codec.too_large(model.manifest, request)) is not None:
            raise TooLargeError(reason)
        # the values of records say their types: all of them, and not the first
        pieces = None if request.is_of_records else operation.pieces
        if pieces is not None and (stream := codec.stream(model.manifest, output)):
            check_output(output, schema.outputs)
            sampled = pieces(self.server.operations, model, request, due)
            return await self._sampled(model, codec, stream, sampled, receive, due)
        size = request.answer_numbers(operation.row_numbers(model), self.server.settings.max_rows)
        if room := held_answer(receive, share, size, due):
            await unless_departed(receive, room)
        work = operation.answer(self.server.operations, model, request, due)
        answer = await unless_departed(receive, work)
        _count(len(next(iter(answer.arrays.values()))))
        headers = codec.headers(model.manifest, answer.seed, answer.remarks)
        most = MIN_NUMBERS if answer.columns is None else MIN_RECORD_NUMBERS
        if answer.numbers <= most:
            began = monotonic()
            content = codec.dump(model.manifest, answer, output)
            spent(SERIALISE, began)
            return WholeAnswer(content, codec.media_type, headers)
        length, written = codec.pieces(model.manifest, answer, output)
        body = made_pieces(self.server.threads, written, due)
        watch = DepartureWatch(receive)
        async with closed_on_failure(watch), closed_on_failure(body):
            first = await watch.finish(anext(body))
            return StreamingAnswer(codec.media_type, headers, length, first, body, watch)

    async def _read(self, scope: Scope, receive: Receive, share: MemoryShare) -> ParsedRequest[R]:
        """A request, and what it says of its answer."""
        headers = Headers(scope)
        due = deadline(headers)
        body = await body_of(receive, headers, self.server, share)
        text = scope["query_string"].decode("latin-1")
        query = _fields(text) if text else {}
        output = query.pop("output", None)
        content_type = headers[b"content-type"]
        schema = self.operation.request

        # a function in here would have its annotations made anew for each request, in 1 µs
        parse = partial(parse_request, schema, content_type, body, query)
        request: R | PendingRequest = await parsed(self.server, share, body, parse)
        return ParsedRequest(request, content_type, headers.joined(b"accept"), output, due)

    async def _sampled(
        self,
        model: Model,
        codec: Codec,
        stream: AnswerStream,
        asked: Awaitable[AnswerPieces],
        receive: Receive,
        due: float,
    ) -> Response:
        """An answer of any number of rows, once its first piece is there."""
        watch = DepartureWatch(receive)
        async with closed_on_failure(watch):
            pieces = await watch.finish(asked)
            _count(pieces.rows)
            if room := room_for_answer(receive, pieces.numbers * BYTES_PER_STREAMED_NUMBER, due):
                await watch.finish(room)
            async with closed_on_failure(pieces.arrays):
                arrays = await watch.finish(anext(pieces.arrays))
                length = stream.begin(arrays, pieces.rows, pieces.seed)
                body = sampled_pieces(self.server.threads, stream, pieces, arrays, due)
                async with closed_on_failure(body):
                    first = await watch.finish(anext(body))
                    headers = codec.headers(model.manifest, pieces.seed)
                    kind = codec.media_type
                    return StreamingAnswer(kind, headers, length, first, body, watch, model)


def _count(rows: int) -> None:
    """Note the rows of an answer."""
    if (record := current()) is not None:
        record.rows = rows


def _fields(text: str) -> dict[str, str]:
    """The fields of a query string."""
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS))
    except ValueError:
        raise InvalidInputError(
            f"a query string may have {MAX_QUERY_FIELDS} fields, this one has more"
        ) from None


def flow_routes(server: Server) -> list[FlowRoute[Any]]:
    """The route of every operation."""
    return [FlowRoute(server, operation) for operation in FLOW_OPERATIONS]
