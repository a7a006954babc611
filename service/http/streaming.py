"""Samples of any length, sent a piece at a time, in bounded memory."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from math import prod

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.codecs import base as formats
from service.codecs import npy
from service.http.disconnect import unless_gone
from service.store import Lease, Model
from service.types import Arrays


@dataclass(frozen=True)
class Sampling:
    """A sample that is being drawn.

    Args:
        model: which is sampled.
        rows: how many there will be.
        seed: of the sample.
        pieces: x and log_prob, of some rows each.
    """

    model: Model
    rows: int
    seed: int
    pieces: AsyncGenerator[Arrays, None]


class Streamed(Response):
    """A sample as a response.

    A piece that fails after the first breaks the connection: what has come is not all.

    Args:
        kind: npy's or Arrow's type.
        sampling: the sample.
        first: its first piece, which has come.
        output: the one array wanted; where None, npy holds x, Arrow both.
    """

    def __init__(self, kind: str, sampling: Sampling, first: Arrays, output: str | None) -> None:
        super().__init__(media_type=kind, headers=formats.headers(sampling.model, sampling.seed))
        self._pieces = sampling.pieces
        self._first = first
        self._encode: Callable[[Arrays], bytes]
        self._tail: Callable[[], bytes]
        if kind == npy.TYPE:
            name = output or "x"
            row = first[name].shape[1:]
            self._head, self._tail = npy.header((sampling.rows, *row)), bytes
            self._encode = lambda piece: npy.values(piece[name])
            size = len(self._head) + sampling.rows * prod(row) * first[name].itemsize
            self.headers["content-length"] = str(size)
        else:
            names = list(first) if output is None else [output]
            chosen = {name: first[name] for name in names}
            table = formats.writer(chosen, sampling.model, sampling.seed)
            self._head, self._tail, self._encode = b"", table.end, table.piece
            del self.headers["content-length"]  # it comes in chunks
        self._lease = Lease(sampling.model)  # last: what fails above has nobody to release it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        with self._lease:
            await send(start)
            async with aclosing(self._pieces):
                await self._send_pieces(receive, send)

    async def _send_pieces(self, receive: Receive, send: Send) -> None:
        piece, content = self._first, self._head
        try:
            while True:
                content += self._encode(piece)
                # waits until the caller has taken most of what was sent
                await send({"type": "http.response.body", "body": content, "more_body": True})
                piece, content = await unless_gone(receive, anext(self._pieces)), b""
        except StopAsyncIteration:
            await send({"type": "http.response.body", "body": self._tail()})
        except ClientDisconnect:
            return
