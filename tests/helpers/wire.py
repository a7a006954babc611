"""One of our HTTP connections, without a network: a test is its caller, and its clock."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from service.http.connections import Connection, ConnectionLimits, Connections
from service.metrics import Metrics

LIMITS = ConnectionLimits(head_seconds=30, idle_seconds=65, write_seconds=60, max_connections=8)


class Wire(asyncio.Transport):
    """What a connection writes to; its caller takes all of it, unless it `is_stalled`."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.writes = 0
        self.is_stalled = False
        self.unsent = 0
        self.has_ended = False
        self.is_closed = False
        self.is_aborted = False
        self.is_paused = False
        self.connection: Connection | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data
        self.writes += 1
        if self.is_stalled:
            was, self.unsent = self.unsent, self.unsent + len(data)
            if was <= 2**16 < self.unsent and self.connection is not None:
                self.connection.pause_writing()

    def take(self, size: int) -> None:
        """The caller takes so many bytes."""
        self.unsent = max(0, self.unsent - size)
        if self.unsent <= 2**14 and self.connection is not None:
            self.connection.resume_writing()

    def heard(self) -> bytes:
        """What has been written since the last time."""
        sent = bytes(self.sent)
        self.sent.clear()
        return sent

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.has_ended = True

    def close(self) -> None:
        self.is_closed = True
        if not self.unsent:
            self._lose()

    def abort(self) -> None:
        self.is_closed = self.is_aborted = True
        self._lose()

    def _lose(self) -> None:
        if self.connection is not None:
            asyncio.get_running_loop().call_soon(self.connection.connection_lost, None)
            self.connection = None

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with method, target, number of headers and body."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    target = scope["raw_path"] + b"?" + scope["query_string"]
    content = b" ".join([scope["method"].encode(), target, b"%d" % len(scope["headers"]), body])
    headers = [(b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


App = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass
class Caller:
    """A caller of a connection of its own."""

    connection: Connection
    wire: Wire
    registry: Connections
    metrics: Metrics

    async def says(self, data: bytes, *, at_once: int | None = None) -> None:
        """Send bytes, so many at once; returns when the connection has done what it can."""
        size = at_once or max(1, len(data))
        for start in range(0, len(data), size):
            if self.wire.is_closed:
                break
            self.connection.data_received(data[start : start + size])
        await settle()

    async def hears(self) -> bytes:
        """What has been answered since the last time."""
        await settle()
        return self.wire.heard()

    def closed(self, reason: str) -> float:
        """How many connections were closed for a reason."""
        name, labels = "bijecta_connections_closed_total", {"reason": reason}
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


class Untimed(Connections):
    """Connections that are looked over when a test does so, and at no other time.

    A look by the timer, on a slow machine, would come between two of the test's own.
    """

    def _schedule(self) -> None:
        pass


@dataclass
class Party:
    """Connections of one process, whose clock a test turns."""

    app: App = echo
    limits: ConnectionLimits = LIMITS
    seconds: float = 0.0
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self.registry = Untimed(self.limits, self.metrics.connections, lambda: self.seconds)
        self._config = Config(self.app, log_config=None, proxy_headers=False)
        self._config.load()
        self._state = ServerState()

    def caller(self) -> Caller:
        connection = Connection(
            self._config, self._state, {}, asyncio.get_running_loop(), registry=self.registry
        )
        wire = Wire()
        wire.connection = connection
        connection.connection_made(wire)
        return Caller(connection, wire, self.registry, self.metrics)

    async def wait(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds / 0.25)):
            self.seconds += 0.25
            await self.registry.look_over()
        await settle()


async def settle() -> None:
    """Let every task go on until it waits."""
    for _ in range(12):
        await asyncio.sleep(0)


def statuses(answers: bytes) -> list[int]:
    """The statuses of answers that follow each other."""
    return [int(each) for each in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


async def stalls(scope: Scope, receive: Receive, send: Send) -> None:
    """Read nothing and answer nothing until the caller leaves."""
    message: Message = await receive()
    while message["type"] != "http.disconnect":
        message = await receive()
