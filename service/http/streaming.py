"""Samples of any length, sent a piece at a time, in bounded memory."""

from contextlib import aclosing

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.codecs import AnswerStream, Codec
from service.http.disconnect import DepartureWatch
from service.operations import AnswerPieces
from service.store import Lease, Model
from service.types import Arrays


class StreamingAnswer(Response):
    """An answer that is written a piece at a time, as a response.

    A piece that fails after the first breaks the connection: what has come is not all.

    Args:
        codec: which writes it.
        model: which answers; it is leased until the answer has been sent.
        stream: of the codec.
        pieces: of the answer.
        first: the first of them, which has come.
        watch: of the caller; closed at the end.
    """

    def __init__(
        self,
        codec: Codec,
        model: Model,
        stream: AnswerStream,
        pieces: AnswerPieces,
        first: Arrays,
        watch: DepartureWatch,
    ) -> None:
        headers = codec.headers(model.manifest, pieces.seed)
        super().__init__(media_type=codec.media_type, headers=headers)
        self._stream = stream
        self._pieces = pieces.arrays
        self._first = first
        self._watch = watch
        length = stream.begin(first, pieces.rows, pieces.seed)
        if length is None:
            del self.headers["content-length"]  # it comes in chunks
        else:
            self.headers["content-length"] = str(length)
        self._lease = Lease(model)  # last: what fails above has nobody to release it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        try:
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            async with aclosing(self._pieces):
                await self._send_pieces(send)
        finally:
            self._watch.close()
            self._lease.release()

    async def _send_pieces(self, send: Send) -> None:
        arrays = self._first
        try:
            while True:
                body = self._stream.piece(arrays)
                # waits until the caller has taken most of what was sent
                await send({"type": "http.response.body", "body": body, "more_body": True})
                arrays = await self._watch.finish(anext(self._pieces))
        except StopAsyncIteration:
            await send({"type": "http.response.body", "body": self._stream.end()})
        except ClientDisconnect:
            return
