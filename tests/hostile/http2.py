"""gRPC as frames of HTTP/2: what no library would send, and how calls end."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from tests.hostile.wire import HOST, PIECE

T = TypeVar("T")

SERVICE = "/inference.GRPCInferenceService/"

# By the code of gRPC, what HTTP would have answered; 0 for calls that were cut off.
STATUSES = {0: 200, 1: 0, 2: 500, 3: 400, 4: 408, 5: 404, 7: 403, 8: 429, 12: 404, 13: 500, 14: 503}


class GrpcConnection:
    """A connection whose caller sends what it likes.

    Args:
        reader, writer: of the connection.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        self._http2.initiate_connection()
        self._ends: deque[int] = deque()
        self._is_half_closed = False

    @classmethod
    async def open(cls, port: int) -> "GrpcConnection":
        """A new one."""
        connection = cls(*await asyncio.open_connection(HOST, port))
        await connection.flush()
        return connection

    def close(self) -> None:
        """End it at once."""
        self._writer.transport.abort()

    def half_close(self) -> None:
        """Send nothing more."""
        self._is_half_closed = True
        self._writer.write_eof()

    async def begin(self, method: str, **heads: str) -> int:
        """Open a call; returns its number."""
        stream = self._http2.get_next_available_stream_id()
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": SERVICE + method,
            ":authority": HOST,
            "te": "trailers",
            "content-type": "application/grpc",
        }
        fields |= {name.replace("_", "-"): value for name, value in heads.items()}
        self._framed(self._http2.send_headers, stream, list(fields.items()))
        await self.flush()
        return stream

    async def send(
        self,
        stream: int,
        message: bytes,
        *,
        announced: int | None = None,
        is_compressed: bool = False,
        is_last: bool = True,
    ) -> bool:
        """Send a message, or the beginning of one announced to be longer; whether all was taken."""
        size = len(message) if announced is None else announced
        data = bytes([is_compressed]) + size.to_bytes(4, "big") + message
        start = 0
        try:
            while start < len(data):
                room = self._http2.local_flow_control_window(stream)
                if room <= 0:
                    await self.receive()
                    if self._ends:  # there may be no room any more
                        return False
                    continue
                piece = data[start : start + min(room, self._http2.max_outbound_frame_size)]
                start += len(piece)
                self._http2.send_data(stream, piece, end_stream=is_last and start == len(data))
                await self.flush()
        except h2.exceptions.ProtocolError:  # the server has ended the call
            return False
        return True

    async def reset(self, stream: int) -> None:
        """Give a call up."""
        with suppress(h2.exceptions.ProtocolError):
            self._http2.reset_stream(stream)
        await self.flush()

    async def ping(self) -> None:
        """Ask whether the other side is there."""
        self._framed(self._http2.ping, bytes(8))
        await self.flush()

    async def end(self, *, takes: bool = True) -> int:
        """The status of the next call to end, as of HTTP.

        Args:
            takes: whether there is room for more of an answer once some has been read.
        """
        while not self._ends:
            await self.receive(takes=takes)
        return self._ends.popleft()

    async def receive(self, *, takes: bool = True) -> None:
        """Read something.

        Raises:
            ConnectionError: there is nothing more.
        """
        data = await self._reader.read(PIECE)
        if not data:
            raise ConnectionResetError("the connection ended")
        for event in self._framed(self._http2.receive_data, data):
            match event:
                case h2.events.DataReceived() if takes:
                    self._http2.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
                case h2.events.TrailersReceived() | h2.events.ResponseReceived():
                    found = {str(name): str(value) for name, value in event.headers or ()}
                    if "grpc-status" in found:
                        self._ends.append(STATUSES[int(found["grpc-status"])])
                case h2.events.StreamReset():
                    self._ends.append(0)
                case h2.events.ConnectionTerminated():
                    raise ConnectionResetError("the server has ended the connection")
        await self.flush()

    def _framed(self, act: Callable[..., T], *arguments: Any) -> T:
        """What an act of HTTP/2 comes to; an error where the connection is over."""
        try:
            return act(*arguments)
        except h2.exceptions.ProtocolError as error:
            raise ConnectionResetError(str(error)) from None

    async def flush(self) -> None:
        """Send what is to be sent; nothing once the connection is half closed."""
        data = self._http2.data_to_send()
        if self._is_half_closed:
            return
        self._writer.write(data)
        await self._writer.drain()
