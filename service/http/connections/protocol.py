"""uvicorn's HTTP connection with limits: the parser is shown no more than one request at a time."""

import asyncio
import select
import socket
import urllib.parse
from typing import Any, cast

import httptools
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from service.errors import (
    HeadTooLargeError,
    MalformedBodyError,
    ServiceError,
    TooSlowError,
    UnavailableError,
)
from service.http.connections.chunked import ChunkedBody
from service.http.connections.exchange import Exchange
from service.http.connections.limits import (
    LINGER_SECONDS,
    MAX_HEAD_BYTES,
    MAX_HEAD_FIELDS,
    MAX_LINGER_BYTES,
    MAX_SKIPPED_BYTES,
    MAX_WAITING_BODY_BYTES,
    MIN_TAKEN_BYTES,
    SMALL_HEAD_BYTES,
)
from service.http.connections.refusals import refusal
from service.http.connections.registry import Connections

HEAD_END = b"\r\n\r\n"


class Connection(HttpToolsProtocol):
    """One HTTP/1.1 connection.

    What arrives is cut into heads and bodies here, and httptools parses them: it is never given a
    byte of the next request before the last one is answered. So limits are checked on bytes as they
    come, what a caller sends ahead stays bytes, and `Upgrade` can be passed over.

    Args:
        config: of uvicorn.
        server_state: of uvicorn.
        app_state: of the application's lifespan.
        registry: all connections.
    """

    cycle: Exchange | None  # type: ignore[assignment]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        registry: Connections,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.heard = registry.now
        self._registry = registry
        self._in_head = True  # or between two requests
        self._head_bytes = 0
        self._head_held = 0  # of these, counted as unread
        self._head_since = 0.0
        self._head_tail = b""
        self._has_begun = False  # the parser has seen more than line breaks
        self._is_upgrade = False
        self._body_left = 0
        self._chunks: ChunkedBody | None = None
        self._ahead = b""  # what was sent before the last request was answered
        self._ahead_at = 0
        self._ahead_held = 0
        self._lingers_until: float | None = None
        self._lingered = 0
        self._unsent = 0
        self._unsent_since: float | None = None

    # what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, or refuse it where too many are open."""
        self.transport = cast(asyncio.Transport, transport)
        if not self._registry.has_room():
            self._registry.metrics.closed("too-many")
            error = UnavailableError("too many connections are open")
            self.transport.write(refusal(error, self.default_headers()))
            self.transport.close()
            self._lingers_until = 0.0  # what arrives is for nobody
            return
        super().connection_made(self.transport)
        self._registry.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the request that nobody waits for any more."""
        self.connections.discard(self)
        self._registry.discard(self)
        self._let_go_of_input()
        if self.cycle is not None:
            self.cycle.depart()
        if self.flow is not None:
            self.flow.resume_writing()
        self.parser = None  # type: ignore[assignment]

    def eof_received(self) -> None:
        """The caller sends no more: it has left, also where an answer is on its way to it."""
        if self._is_answering:
            self.depart()

    def data_received(self, data: bytes) -> None:
        """Read what has arrived."""
        self.heard = self._registry.now
        if self._lingers_until is not None:
            self._lingered += len(data)
            if self._lingered > MAX_LINGER_BYTES:
                self.transport.abort()
        elif self._ahead:
            self._hold(self._ahead[self._ahead_at :] + data, 0)
        else:
            self._take(data, 0)

    def pause_writing(self) -> None:
        """The caller takes its answer more slowly than it is made."""
        super().pause_writing()
        self._unsent_since = None

    def resume_writing(self) -> None:
        """The caller has taken most of what was sent."""
        super().resume_writing()
        self._unsent_since = None

    # cutting what arrives

    def _take(self, data: bytes, at: int) -> None:
        """Read on from a place in what has arrived."""
        end = len(data)
        try:
            while at < end:
                if self._in_head:
                    if self._is_answering:
                        self._hold(data, at)
                        return
                    at = self._take_head(data, at)
                elif self._chunks is not None:
                    at = self._take_chunks(data, at)
                else:
                    stop = min(at + self._body_left, end)
                    self._body_left -= stop - at
                    self.parser.feed_data(memoryview(data)[at:stop])
                    at = stop
                if self._lingers_until is not None:
                    return
        except ServiceError as error:
            self._refuse(error)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(
                cause
                if isinstance(cause, ServiceError)
                else MalformedBodyError(f"this is no HTTP/1.1 request: {str(error) or 'no URL'}")
            )

    def _take_head(self, data: bytes, at: int) -> int:
        """Read what there is of a head; returns where it ends."""
        stop = data.find(HEAD_END, at)
        stop = stop + 4 if stop >= 0 else len(data)
        if self._head_bytes:
            straddling = (self._head_tail + data[at : at + 3]).find(HEAD_END)
            if straddling >= 0:
                stop = at + straddling + 4 - len(self._head_tail)
        else:
            self._head_since = self._registry.now
        self._head_bytes += stop - at
        if self._head_bytes > MAX_HEAD_BYTES:
            raise HeadTooLargeError(
                f"the request line and headers may have {MAX_HEAD_BYTES} bytes, these have more"
            )
        part = data[at:stop]
        try:
            self.parser.feed_data(part)
        except httptools.HttpParserUpgrade:
            self._pass_over_upgrade()
        if self._in_head and self._head_bytes:  # it goes on
            self._head_tail = (self._head_tail + part)[-3:]
            self._hold_head()
        return stop

    def _take_chunks(self, data: bytes, at: int) -> int:
        """Read what there is of a chunked body; returns where it ends."""
        exchange, chunks = self.cycle, self._chunks
        assert exchange is not None
        assert chunks is not None
        parts: list[bytes] = []
        at, is_complete = chunks.take(data, at, parts)
        if parts:
            self.on_body(b"".join(parts))
        if is_complete:
            # for the parser, the body was empty
            self._chunks = None
            self.parser.feed_data(b"0\r\n\r\n")
        return at

    def _pass_over_upgrade(self) -> None:
        """Read a head again without its wish for another protocol: RFC 9110 allows to ignore it.

        The parser takes what follows such a head for the other protocol, and so loses its body.
        """
        self._is_upgrade = False
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise MalformedBodyError("CONNECT is for proxies, which this server is not")
        lines = [b"%b %b HTTP/%b" % (method, self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                options = [option.strip() for option in value.split(b",")]
                value = b", ".join([o for o in options if o.lower() != b"upgrade"])
            if name != b"upgrade":
                lines.append(name + b": " + value)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._in_head = True
        self.parser.feed_data(b"\r\n".join(lines) + HEAD_END)

    def _hold(self, data: bytes, at: int) -> None:
        """Keep what was sent ahead, and read no more until the last request is answered."""
        self.flow.pause_reading()
        size = len(data) - at
        self._registry.release(self._ahead_held)
        self._ahead_held = 0
        if self._registry.hold(size):
            self._ahead, self._ahead_at, self._ahead_held = data, at, size
            return
        # the request in progress is answered, and the caller told to ask for the others again
        self._registry.metrics.closed("read-ahead")
        self._ahead = b""
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def _hold_head(self) -> None:
        """Count the part of a head that has come."""
        size = self._head_bytes - self._head_held
        if not self._registry.hold(size):
            raise UnavailableError("too many requests have come in part")
        self._head_held += size

    def _release_head(self) -> None:
        self._registry.release(self._head_held)
        self._head_held = 0

    def _let_go_of_input(self) -> None:
        """Forget what has been read of requests that will not be answered."""
        self._release_head()
        self._registry.release(self._ahead_held)
        self._ahead, self._ahead_held = b"", 0

    # what httptools calls

    def on_message_begin(self) -> None:
        """A head begins."""
        self._has_begun = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field is complete."""
        name = name.lower()
        headers = self.headers
        headers.append((name, value))
        if name == b"content-length":
            self._body_left = int(value)
        elif name == b"transfer-encoding":
            if value.strip().lower() != b"chunked":
                raise MalformedBodyError(f"Transfer-Encoding: expected chunked, got {value!r:.40}")
            self._chunks = ChunkedBody()
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        if len(headers) > MAX_HEAD_FIELDS:
            raise HeadTooLargeError(f"a request may have {MAX_HEAD_FIELDS} header fields")

    def on_headers_complete(self) -> None:
        """A head is complete: begin to answer."""
        parser = self.parser
        if parser.should_upgrade():
            self._is_upgrade = True
            return
        scope = cast(dict[str, Any], self.scope)
        version = parser.get_http_version()
        scope["method"] = parser.get_method().decode("ascii")
        if version != "1.1":
            scope["http_version"] = version
        url = httptools.parse_url(self.url)
        raw_path = url.path
        path = raw_path.decode("ascii")
        scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        scope["raw_path"] = raw_path
        scope["query_string"] = url.query or b""
        if self._head_bytes > SMALL_HEAD_BYTES:
            self._hold_head()
        elif self._head_held:
            self._release_head()
        self._in_head = False
        self._head_bytes = 0
        keep_alive = version != "1.0" and parser.should_keep_alive()
        self.cycle = exchange = Exchange(self, scope, self.expect_100_continue, keep_alive)
        task = self.loop.create_task(exchange.run(cast(ASGIApp, self.app)))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def on_body(self, body: bytes) -> None:
        """A part of a body has come."""
        exchange = self.cycle
        if exchange is None or exchange.response_complete:
            return
        exchange.parts.append(body)
        exchange.waiting_bytes += len(body)
        if exchange.waiting_bytes > MAX_WAITING_BODY_BYTES:
            self.flow.pause_reading()
        exchange.arrived()

    def on_message_complete(self) -> None:
        """A request is complete."""
        if self._is_upgrade:
            return
        self._in_head = True
        self._head_tail = b""
        self._has_begun = False
        if self.cycle is not None:
            self.cycle.more_body = False
            self.cycle.arrived()
        if self.flow.read_paused:  # by a large body; now a departure is to be heard
            self.flow.resume_reading()

    # what the exchange calls

    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of every answer."""
        return self.server_state.default_headers

    def closes_after(self, status: int) -> bool:
        """Whether an answer of this status that begins now is the last one."""
        exchange = self.cycle
        if exchange is not None and exchange.more_body:
            return (
                status in (408, 413)
                or exchange.awaits_body
                or self._chunks is not None
                or self._body_left > MAX_SKIPPED_BYTES
            )
        # requests that were sent ahead are answered before the stop
        return self._registry.is_draining and not self._ahead

    def read_body(self) -> None:
        """Read on: the application waits for the body."""
        if self.flow.read_paused and not self.transport.is_closing():
            self.heard = self._registry.now  # it was not the caller who was silent
            self.flow.resume_reading()

    def answered(self, *, whole: bool) -> None:
        """The answer has been handed over, or has been given up."""
        self.server_state.total_requests += 1
        transport, exchange = self.transport, self.cycle
        self._release_head()
        if transport.is_closing() or self._lingers_until is not None:
            return
        self.heard = self._registry.now
        if not whole:
            transport.close()
        elif exchange is not None and not exchange.keep_alive:
            if exchange.more_body or self._ahead or self.flow.read_paused:
                self._linger()
            else:
                transport.close()
        else:
            data, at = self._ahead, self._ahead_at
            if data:
                self._registry.release(self._ahead_held)
                self._ahead, self._ahead_held = b"", 0
                self._take(data, at)
            if not self._ahead:
                self.flow.resume_reading()

    # the clock

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def is_silent(self) -> bool:
        """Whether it has no whole request, so that nobody misses an answer when it is closed."""
        return self._in_head and not self._is_answering

    @property
    def is_unread(self) -> bool:
        """Whether a request is being answered while nothing is read from the socket."""
        return self.flow.read_paused and self._is_answering

    @property
    def file_number(self) -> int:
        """Of its socket; -1 where it has none."""
        found: socket.socket | None = self.transport.get_extra_info("socket")
        return -1 if found is None else found.fileno()

    def look(self, now: float) -> None:
        """Do what is due."""
        limits = self._registry.limits
        if self.flow.write_paused or self.transport.is_closing():
            self._look_at_reader(now)
            return
        if self._lingers_until is not None:
            if now >= self._lingers_until:
                self.transport.abort()
        elif self.is_silent:
            if self._head_bytes and self._has_begun:
                if now - self._head_since >= limits.head_seconds:
                    text = f"the head of the request was not here after {limits.head_seconds:g} s"
                    self._refuse(TooSlowError(text), "head-timeout")
            elif now - self.heard >= limits.idle_seconds:
                self.close_as("idle")
            elif self._registry.closes_silent(self.heard) and not self._has_input():
                self.close_as("stop")
        elif self._in_head or self.flow.read_paused or now - self.heard < limits.idle_seconds:
            return
        elif self._is_answering:
            text = f"nothing came of the body for {limits.idle_seconds:g} seconds"
            self._refuse(TooSlowError(text), "body-timeout")
        else:
            self.close_as("body-timeout")

    def _look_at_reader(self, now: float) -> None:
        """Break a connection off whose caller does not take what is sent to it."""
        unsent = self.transport.get_write_buffer_size()
        if self._unsent_since is None:
            self._unsent, self._unsent_since = unsent, now
        elif now - self._unsent_since >= self._registry.limits.write_seconds:
            if self._unsent - unsent < MIN_TAKEN_BYTES:
                self._registry.metrics.closed("write-timeout")
                self.transport.abort()
            self._unsent, self._unsent_since = unsent, now

    def _has_input(self) -> bool:
        """Whether something has arrived that has not been read yet."""
        poll = select.poll()
        poll.register(self.file_number, select.POLLIN)
        return bool(poll.poll(0))

    # endings

    def depart(self) -> None:
        """The caller has left."""
        if self.cycle is not None:
            self.cycle.depart()
        self.flow.resume_writing()
        self.transport.abort()

    def close_as(self, reason: str) -> None:
        """Close it, whatever it does; counted under a reason."""
        self._registry.metrics.closed(reason)
        self._let_go_of_input()
        # what the caller has not taken by now it will not take
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def _refuse(self, error: ServiceError, reason: str | None = None) -> None:
        """Answer a request that does not become one, or not a whole one, and close."""
        self._registry.metrics.closed(reason or error.reason)
        self._let_go_of_input()
        exchange = self.cycle
        if exchange is not None and not exchange.response_complete:
            exchange.depart()
            if exchange.response_started:
                self.transport.abort()
                return
        self.transport.write(refusal(error, self.default_headers()))
        self._linger()

    def _linger(self) -> None:
        """Send no more, and throw away what still arrives for a while."""
        self._let_go_of_input()
        if self.transport.is_closing():
            return
        self._lingers_until = self._registry.now + LINGER_SECONDS
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def shutdown(self) -> None:
        """Close for the end of the process; what uvicorn calls."""
        if self._is_answering and self.cycle is not None:
            self.cycle.keep_alive = False
        else:
            self.transport.close()
