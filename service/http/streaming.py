"""Answers sent a piece at a time: samples of any length in bounded memory, and all large answers.

No piece is made on the event loop, and none before the caller has taken most of the last.
"""

import math
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from time import monotonic
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.codecs import AnswerStream
from service.http.disconnect import DepartureWatch
from service.operations import AnswerPieces
from service.store import Lease, Model
from service.telemetry import SERIALISE, spent
from service.types import Arrays
from service.work_threads import WorkThreads

Body = AsyncGenerator[bytes, None]


class StreamingAnswer(Response):
    """An answer that is written a piece at a time, as a response.

    A piece that fails after the first breaks the connection: what has come is not all.

    Args:
        media_type: of the body.
        headers: beside those of the body.
        length: bytes of the body; None where only its end tells.
        first: its first piece, which has come.
        rest: the others, each made when it is asked for.
        watch: of the caller; closed at the end.
        model: which answers, where pieces still come from it: leased until the answer is sent.
    """

    def __init__(
        self,
        media_type: str,
        headers: Mapping[str, str] | None,
        length: int | None,
        first: bytes,
        rest: Body,
        watch: DepartureWatch,
        model: Model | None = None,
    ) -> None:
        super().__init__(media_type=media_type, headers=headers)
        if length is None:
            del self.headers["content-length"]  # it comes in chunks, or ends with the connection
        else:
            self.headers["content-length"] = str(length)
        self._first = first
        self._rest = rest
        self._watch = watch
        self._lease = None if model is None else Lease(model)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response.

        Raises:
            ServiceError: a piece that fails, after the head has been sent.
            ClientDisconnect: the caller has left.
        """
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with aclosing(self._rest):
                body: bytes | None = self._first
                while body is not None:
                    # waits until the caller has taken most of what was sent
                    await send({"type": "http.response.body", "body": body, "more_body": True})
                    body = await self._watch.finish(anext(self._rest, None))
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._watch.close()
            if self._lease is not None:
                self._lease.release()


@asynccontextmanager
async def closed_on_failure(
    opened: DepartureWatch | AsyncGenerator[Any, None],
) -> AsyncIterator[None]:
    """Close what nobody else will where the block does not come to its end."""
    try:
        yield
    except BaseException:
        if isinstance(opened, DepartureWatch):
            opened.close()
        else:
            await opened.aclose()
        raise


async def made_pieces(
    threads: WorkThreads, pieces: Iterator[bytes], deadline: float
) -> AsyncGenerator[bytes, None]:
    """Pieces of a body that are made in threads.

    Args:
        threads: which make them.
        pieces: of a codec.
        deadline: in seconds, on `time.monotonic`'s clock.
    """
    while True:
        began = monotonic()
        body = await threads.run(math.inf, next, pieces, None, deadline=deadline)
        spent(SERIALISE, began)
        if body is None:
            return
        yield body


async def sampled_pieces(
    threads: WorkThreads, stream: AnswerStream, pieces: AnswerPieces, first: Arrays, deadline: float
) -> AsyncGenerator[bytes, None]:
    """Pieces of a body of samples, which are drawn as it is sent.

    Args:
        threads: which write them.
        stream: of the codec, which has begun.
        pieces: of the answer.
        first: the first of them, which has come.
        deadline: in seconds, on `time.monotonic`'s clock.
    """
    async with aclosing(pieces.arrays):
        arrays: Arrays | None = first
        while arrays is not None:
            numbers, began = sum([array.size for array in arrays.values()]), monotonic()
            piece = await threads.run(numbers, stream.piece, arrays, deadline=deadline)
            spent(SERIALISE, began)
            yield piece
            arrays = await anext(pieces.arrays, None)
    if end := stream.end():
        yield end
