"""What a route reads of a request: its headers, its body, and which server it is for."""

import asyncio
import io
from collections.abc import Callable
from time import monotonic
from typing import Annotated, TypeVar

from fastapi import Depends
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope

from service.decompression import ENCODINGS, Decompression
from service.errors import TooLargeError, TooSlowError, UnsupportedMediaTypeError
from service.http.disconnect import Suspended, receive_at_once
from service.inflight import MemoryShare, Reading, TakesLongError
from service.server import Server
from service.telemetry import PARSE, RECEIVE, current, spent

# Slower bodies than this are from callers that are gone, or mean harm.
BODY_SECONDS = 300

# Larger bodies are read and written in a thread, so that other requests do not wait
# for it; to hand a smaller one over takes more than to do it.
MIN_THREAD_BYTES = 2**18

# What a request of fewer bytes is parsed to is not measured, which takes 2 µs: it holds its body.
MIN_KEPT_BYTES = 2**18

T = TypeVar("T")


class Headers:
    """The headers of a request, by lower-case name; empty where there is none.

    The look-ups of a request take 4.8 µs, with starlette's `Headers`, which searches its list for
    each name, 8 µs (both on a busy core).

    Args:
        scope: of an HTTP request.
    """

    __slots__ = ("_by_name", "_pairs")

    def __init__(self, scope: Scope) -> None:
        self._pairs: list[tuple[bytes, bytes]] = scope["headers"]
        self._by_name: dict[bytes, bytes] = dict(self._pairs)

    def __getitem__(self, name: bytes) -> str:
        """The value of a header, the last one where it is repeated."""
        return self._by_name.get(name, b"").decode("latin-1")

    def joined(self, name: bytes) -> str:
        """The values of a header that is a list, in the order in which they came."""
        if len(self._by_name) == len(self._pairs):  # no header is repeated
            return self[name]
        return b", ".join([value for key, value in self._pairs if key == name]).decode("latin-1")


def _server(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


ServerDependency = Annotated[Server, Depends(_server)]
"""What a FastAPI route asks for by type: the server that it answers for."""


async def body_of(
    receive: Receive, headers: Headers, server: Server, share: MemoryShare, limit: int | None = None
) -> bytes:
    """The body of a request, decompressed.

    Args:
        receive: of the request.
        headers: of the request.
        server: whose limits hold.
        share: what the request holds; charged before memory is taken.
        limit: most bytes, compressed or not; None for the server's.

    Raises:
        MalformedBodyError: it is not compressed as `Content-Encoding` says.
        MemoryFullError: more bytes than the other requests leave.
        TooLargeError: more bytes, announced or not, or more when decompressed.
        TooSlowError: it does not come to its end.
        UnsupportedMediaTypeError: a `Content-Encoding` that is not read.
        ClientDisconnect: the caller has left.
    """
    limit = server.body_limits.body_bytes if limit is None else limit
    encoding = headers[b"content-encoding"].strip().lower()
    if encoding and encoding != "identity" and encoding not in ENCODINGS:
        raise UnsupportedMediaTypeError(
            f"Content-Encoding: expected gzip, deflate or none, got {encoding:.40}"
        )
    announced = headers[b"content-length"]
    # of 20 digits: Python refuses to read thousands of them
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise TooLargeError(f"a request body may have {limit} bytes, this one has {announced:.40}")
    # most bodies come with their head, and need no clock
    first = receive_at_once(receive)
    if isinstance(first, dict) and not first.get("more_body") and "body" in first:
        body: bytes = first["body"]
        share.charge(len(body))
    else:
        body = await _in_time(first, receive, limit, share)
    if (record := current()) is not None:
        record.bytes_in = len(body)
        record.spent(RECEIVE, record.began, monotonic())
    if len(body) > limit:
        raise TooLargeError(f"a request body may have {limit} bytes, this one has more")
    if encoding not in ENCODINGS:
        return body
    began = monotonic()
    stream = Decompression(body, encoding, limit, share)
    # a few bytes may hold very many
    if len(body) > MIN_THREAD_BYTES or not stream.read(MIN_THREAD_BYTES):
        await server.inflight.decompressing.in_turn(stream.read)
    spent(PARSE, began)
    share.keep(stream.size)  # what it was made of is needed no more
    return stream.content()


async def _in_time(
    first: Message | Suspended[Message], receive: Receive, limit: int, share: MemoryShare
) -> bytes:
    """The body that begins with this message; a little more than the limit, if it is longer."""
    body = io.BytesIO()  # which gives what was written without a copy
    try:
        async with asyncio.timeout(BODY_SECONDS):
            message = await first if isinstance(first, Suspended) else first
            while True:
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                piece = message.get("body", b"")
                share.charge(len(piece))
                body.write(piece)
                if not message.get("more_body") or body.tell() > limit:
                    return body.getvalue()
                message = await receive()
    except TimeoutError:
        pass
    raise TooSlowError(f"the body was not here after {BODY_SECONDS} seconds")


async def parsed(
    server: Server, share: MemoryShare, body: bytes, parse: Callable[[Reading], T]
) -> T:
    """What a body is parsed to: at once where that is quick, else in a thread in its turn.

    Args:
        server: whose limits hold, and who gives the turns.
        share: what the request holds.
        body: whose size decides, beside what `parse` sees of it.
        parse: the parser.

    Raises:
        ServiceError: what `parse` raises.
    """
    has_tables, began = server.store.has_tables, monotonic()
    try:
        if len(body) <= MIN_THREAD_BYTES:
            try:
                quick = Reading(server.body_limits, share, on_loop=True, has_tables=has_tables)
                return parse(quick)
            except TakesLongError:
                pass
        reading = Reading(server.body_limits, share, has_tables=has_tables)
        return await server.inflight.parsing.in_turn(parse, reading)
    finally:
        spent(PARSE, began)
