"""One request and its answer on a connection: the two ends of ASGI, `receive` and `send`."""

import asyncio
import logging
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Scope
from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE

from service.http.connections.has_exchange import HasExchange
from service.http.connections.limits import PIECE_BYTES
from service.telemetry import SCOPE_KEY

log = logging.getLogger(__name__)

ERROR_BODY = b"Internal Server Error"


class Exchange:
    """One request and its answer.

    Args:
        connection: on which it came.
        scope: of the request.
        expects_continue: whether the caller waits to be told before it sends the body.
        keep_alive: whether another request may follow.
    """

    __slots__ = (
        "_chunked",
        "_connection",
        "_event",
        "_expects_continue",
        "_head",
        "_left",
        "_on_departure",
        "disconnected",
        "keep_alive",
        "more_body",
        "parts",
        "reserved",
        "response_complete",
        "response_started",
        "scope",
        "waiting_bytes",
    )

    def __init__(
        self, connection: HasExchange, scope: Scope, expects_continue: bool, keep_alive: bool
    ) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.disconnected = False
        self.more_body = True
        """Whether the body is not complete."""
        self.parts: list[bytes] = []
        """Of the body, that the application has not read."""
        self.waiting_bytes = 0
        """In these parts."""
        self.reserved = 0
        """Bytes that its answer holds."""
        self.response_started = False
        self.response_complete = False
        self._connection: HasExchange | None = connection
        self._expects_continue = expects_continue
        self._event = asyncio.Event()
        self._head = b""  # of the answer, until its body begins
        self._chunked = False
        self._left: int | None = None  # bytes of the answer that are to come
        self._on_departure: Callable[[], None] | None = None

    @property
    def awaits_body(self) -> bool:
        """Whether the caller has not been told to send its body, and waits for that."""
        return self._expects_continue

    def arrived(self) -> None:
        """Tell `receive` that there is more of the body, or its end."""
        self._event.set()

    def depart(self) -> None:
        """The caller has left: nothing is sent any more, and whoever watches is told."""
        if self.disconnected:
            return
        self.disconnected = True
        self.arrived()
        if self._on_departure is not None:
            self._on_departure()

    def watch(self, on_departure: Callable[[], None] | None) -> None:
        """Have a function called when the caller leaves; None ends that."""
        self._on_departure = on_departure

    def reserved_now(self, size: int) -> bool:
        """Hold so many bytes for the answer, if there is room; returns whether there was."""
        connection = self._connection
        if connection is not None and not connection.unsent.reserved_now(size):
            return False
        self.reserved += size
        return True

    async def reserve(self, size: int) -> None:
        """Hold so many bytes for the answer, once there is room, until it has been sent."""
        connection = self._connection
        if connection is not None:
            await connection.unsent.reserve(size)
            self.reserved += size

    def keep(self, size: int) -> None:
        """Hold so many bytes at most from now on."""
        connection = self._connection
        if connection is not None and size < self.reserved:
            connection.unsent.release(self.reserved - size)
            self.reserved = size

    async def receive(self) -> Message:
        """The next message of the request, as ASGI says."""
        connection = self._connection
        if connection is not None and not self.disconnected and not self.response_complete:
            if self._expects_continue:
                self._expects_continue = False
                connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if self._head:  # whoever reads on may wait for a caller who waits for the head
                self._write_head(connection)
            if self.more_body:
                connection.read_body()
            if not self._event.is_set():  # most bodies come with their head
                await self._event.wait()
            self._event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        parts, self.parts, self.waiting_bytes = self.parts, [], 0
        return {"type": "http.request", "body": b"".join(parts), "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        """Send a message of the answer, as ASGI says; waits while the caller takes nothing.

        Raises:
            RuntimeError: this message cannot come now, or holds what a head cannot.
        """
        connection = self._connection
        if connection is None or self.disconnected:
            return
        if connection.flow.write_paused:
            await connection.flow.drain()
            if self.disconnected:
                return
        if not self.response_started:
            self._start(connection, message)
        elif not self.response_complete:
            if message["type"] != "http.response.body":
                raise RuntimeError(f"expected http.response.body, got {message['type']}")
            body = message.get("body", b"")
            more_body = message.get("more_body", False)
            if len(body) > PIECE_BYTES:
                await self._write_pieces(connection, body)
                if self.disconnected:
                    return
            else:
                self._write(connection, body)
            if not more_body:
                self._end(connection)
        else:
            raise RuntimeError(f"{message['type']} after the end of the answer")

    def _start(self, connection: HasExchange, message: Message) -> None:
        """Make the head of the answer, which is sent with the first part of its body."""
        if message["type"] != "http.response.start":
            raise RuntimeError(f"expected http.response.start, got {message['type']}")
        status = message["status"]
        headers = [*connection.default_headers(), *message.get("headers", ())]
        if HEADER_RE.search(b"".join([name for name, _ in headers])):
            raise RuntimeError("a header name that cannot be sent")
        if HEADER_VALUE_RE.search(b"".join([value for _, value in headers])):
            raise RuntimeError("a header value that cannot be sent")
        self.response_started = True
        says_close = False
        content = [STATUS_LINE[status]]
        for name, value in headers:
            name = name.lower()
            if name == b"content-length" and not self._chunked:
                self._left = int(value)
            elif name == b"transfer-encoding" and value.lower() == b"chunked":
                self._chunked, self._left = True, None
            elif name == b"connection":
                says_close = b"close" in value.lower()
            content += (name, b": ", value, b"\r\n")
        self.keep_alive = self.keep_alive and not says_close and not connection.closes_after(status)
        self._expects_continue = False
        if not self.keep_alive and not says_close:
            content.append(b"connection: close\r\n")
        if self.scope["method"] == "HEAD" or status in (204, 304):
            self._chunked, self._left = False, 0
        elif self._left is None and not self._chunked:
            if self.scope["http_version"] == "1.0":  # knows no chunks: the end of all is its end
                if self.keep_alive:
                    self.keep_alive = False
                    content.append(b"connection: close\r\n")
            else:
                self._chunked = True
                content.append(b"transfer-encoding: chunked\r\n")
        content.append(b"\r\n")
        self._head = b"".join(content)

    def _write_head(self, connection: HasExchange) -> None:
        head, self._head = self._head, b""
        connection.transport.write(head)

    def _write(self, connection: HasExchange, body: bytes) -> None:
        """Write a part of the body that is small, behind the head where it is the first."""
        head, self._head = self._head, b""
        if self._chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        elif not self._counted(len(body)):
            body = b""
        if head:
            connection.transport.write(head + body)  # in one system call
        elif body:
            connection.transport.write(body)

    async def _write_pieces(self, connection: HasExchange, body: bytes) -> None:
        """Write a part of the body piece by piece, each when most of the last has been taken."""
        transport, flow = connection.transport, connection.flow
        if self._head:
            self._write_head(connection)
        if self._chunked:
            transport.write(b"%x\r\n" % len(body))
        elif not self._counted(len(body)):
            return
        view = memoryview(body)
        for start in range(0, len(body), PIECE_BYTES):
            if flow.write_paused:
                await flow.drain()
            if self.disconnected:
                return
            transport.write(view[start : start + PIECE_BYTES])
        if self._chunked:
            transport.write(b"\r\n")

    def _counted(self, size: int) -> bool:
        """Count bytes of the body; returns whether they are sent: to HEAD they are not."""
        if self.scope["method"] == "HEAD":
            return False
        if self._left is None:  # until the connection is closed
            return True
        if size > self._left:
            raise RuntimeError("more bytes of the answer than its Content-Length says")
        self._left -= size
        return True

    def _end(self, connection: HasExchange) -> None:
        if self._chunked:
            connection.transport.write(b"0\r\n\r\n")
        elif self._left:
            raise RuntimeError("fewer bytes of the answer than its Content-Length says")
        self.response_complete = True
        self.arrived()
        connection.answered(whole=True)

    async def run(self, app: ASGIApp) -> None:
        """Have an application answer."""
        if self._connection is not None:
            self._connection.started()
        try:
            await app(self.scope, self.receive, self.send)
            if not self.response_complete and not self.disconnected:
                raise RuntimeError("the application ended before its answer did")
        except Exception as error:
            log.error("the application failed", exc_info=error)
            if not self.response_started:
                await self._send_error()
        finally:
            if self.reserved:
                self.keep(0)
            connection, self._connection = self._connection, None
            self._on_departure = None
            if connection is not None and not self.response_complete:
                if self._head and not self.disconnected:
                    self._write_head(connection)
                connection.answered(whole=False)

    async def _send_error(self) -> None:
        length = b"%d" % len(ERROR_BODY)
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", length),
            (b"connection", b"close"),
        ]
        if (record := self.scope.get(SCOPE_KEY)) is not None:
            headers.append((b"x-request-id", record.id.encode()))
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": ERROR_BODY})
