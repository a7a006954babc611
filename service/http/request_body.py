"""What a route reads of a request: its headers, its body, and which server it is for."""

import asyncio
import zlib
from typing import Annotated

from fastapi import Depends
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope

from service.errors import (
    MalformedBodyError,
    TooLargeError,
    TooSlowError,
    UnsupportedMediaTypeError,
)
from service.http.disconnect import Suspended, receive_at_once
from service.server import Server

# Slower bodies than this are from callers that are gone, or mean harm.
BODY_SECONDS = 300

# The formats that zlib reads, by Content-Encoding, as its `wbits`.
ENCODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


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


async def body_of(receive: Receive, headers: Headers, limit: int) -> bytes:
    """The body of a request, decompressed.

    Args:
        receive: of the request.
        headers: of the request.
        limit: most bytes, compressed or not.

    Raises:
        MalformedBodyError: it is not compressed as `Content-Encoding` says.
        TooLargeError: more bytes, announced or not, or more when decompressed.
        TooSlowError: it does not come to its end.
        UnsupportedMediaTypeError: a `Content-Encoding` that is not read.
        ClientDisconnect: the caller has left.
    """
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
    else:
        body = await _in_time(first, receive, limit)
    if len(body) > limit:
        raise TooLargeError(f"a request body may have {limit} bytes, this one has more")
    if encoding not in ENCODINGS:
        return body
    # in a thread: a few bytes may hold very many
    return await asyncio.to_thread(decompressed, body, encoding, limit)


async def _in_time(first: Message | Suspended[Message], receive: Receive, limit: int) -> bytes:
    """The body that begins with this message; a little more than the limit, if it is longer."""
    chunks, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            message = await first if isinstance(first, Suspended) else first
            while True:
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if not message.get("more_body") or size > limit:
                    return b"".join(chunks)
                message = await receive()
    except TimeoutError:
        raise TooSlowError(f"the body was not here after {BODY_SECONDS} seconds") from None


def decompressed(body: bytes, encoding: str, limit: int) -> bytes:
    """What a compressed body holds.

    Args:
        body: compressed.
        encoding: of `ENCODINGS`.
        limit: most bytes; no more than that are ever made of it.

    Raises:
        MalformedBodyError: it is not of this encoding, or not whole.
        TooLargeError: it holds more.
    """
    stream = zlib.decompressobj(ENCODINGS[encoding])
    try:
        content = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise MalformedBodyError(f"the body is not {encoding} data: {error}") from None
    if len(content) > limit:
        raise TooLargeError(
            f"a request body may have {limit} bytes, this one has more when decompressed"
        )
    if not stream.eof:
        raise MalformedBodyError(f"the body is not all of its {encoding} data: its end is missing")
    if stream.unused_data:
        raise MalformedBodyError(
            f"{len(stream.unused_data)} bytes follow the {encoding} data of the body"
        )
    return content
