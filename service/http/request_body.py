"""Headers and bodies of requests, as they come over ASGI."""

import asyncio
import zlib
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope

from service.errors import (
    MalformedBodyError,
    TooLargeError,
    TooSlowError,
    UnsupportedMediaTypeError,
)

# Slower bodies than this are from callers that are gone, or mean harm.
BODY_SECONDS = 300

# The formats that zlib reads, by Content-Encoding, as its `wbits`.
ENCODINGS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


class Headers:
    """The headers of a request, by lower-case name; empty where there is none.

    Args:
        scope: of an HTTP request.
    """

    def __init__(self, scope: Scope) -> None:
        self._values: dict[bytes, bytes] = dict(scope["headers"])

    def __getitem__(self, name: bytes) -> str:
        return self._values.get(name, b"").decode("latin-1")


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
    if encoding not in ("", "identity", *ENCODINGS):
        raise UnsupportedMediaTypeError(
            f"Content-Encoding: expected gzip, deflate or none, got {encoding:.40}"
        )
    announced = headers[b"content-length"]
    if announced and int(announced) > limit:
        raise TooLargeError(f"a request body may have {limit} bytes, this one has {announced}")
    # most bodies come with their head, and need no clock
    message = _at_once(receive)
    if message is not None and not message.get("more_body") and "body" in message:
        body: bytes = message["body"]
    else:
        body = await _in_time(receive, message, limit)
    if len(body) > limit:
        raise TooLargeError(f"a request body may have {limit} bytes, this one has more")
    if encoding not in ENCODINGS:
        return body
    # in a thread: a few bytes may hold very many
    return await asyncio.to_thread(decompressed, body, encoding, limit)


def _at_once(receive: Receive) -> Message | None:
    """The next message, if it does not have to be waited for."""
    pending: Any = receive()
    try:
        pending.send(None)
    except StopIteration as done:
        message: Message = done.value
        return message
    pending.close()
    return None


async def _in_time(receive: Receive, message: Message | None, limit: int) -> bytes:
    """The body that begins with a message, or with the next one; a little more than the limit."""
    chunks, size, more = [], 0, True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more and size <= limit:
                message = message or await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunks.append(message.get("body", b""))
                more = message.get("more_body", False)
                size += len(chunks[-1])
                message = None
    except TimeoutError:
        raise TooSlowError(f"the body was not here after {BODY_SECONDS} seconds") from None
    return b"".join(chunks)


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
