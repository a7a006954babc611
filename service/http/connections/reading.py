"""What arrives on a connection, cut into heads and bodies, within their limits."""

import urllib.parse
from abc import abstractmethod
from functools import lru_cache
from typing import Any, cast

import httptools
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.errors import HeadTooLargeError, MalformedBodyError, ServiceError, UnavailableError
from service.http.connections.chunked import ChunkedBody
from service.http.connections.exchange import Exchange
from service.http.connections.limits import (
    MAX_HEAD_BYTES,
    MAX_HEAD_FIELDS,
    MAX_WAITING_BODY_BYTES,
    SMALL_HEAD_BYTES,
)
from service.http.connections.registry import Connections

# Callers ask for the same few again and again; a long one is not worth its room in the cache.
CACHED_URLS = 256
CACHED_URL_BYTES = 256

HEAD_END = b"\r\n\r\n"
LINE_BREAKS = b"\r\n"


class RequestReader(HttpToolsProtocol):
    """The reading half of a connection.

    httptools parses heads and bodies, and is never given a byte of the next request before the
    last one is answered. So limits are checked on bytes as they come, what a caller sends ahead
    stays bytes, and `Upgrade` can be passed over.

    A small request takes 46 µs of CPU time from its bytes to those of its answer, with uvicorn's
    own connection 51 µs (medians of five pairs of 48,000 requests, on a busy core).
    """

    cycle: Exchange | None  # type: ignore[assignment]
    registry: Connections

    in_head = True
    """Whether a head comes next or goes on; not within a body."""
    head_bytes = 0
    """That have come of this head."""
    head_since = 0.0
    """When the first of them came, on the clock of all connections."""
    has_begun = False
    """Whether they are more than line breaks."""
    body_left = 0
    """Bytes of a body with a length that are to come."""
    chunks: ChunkedBody | None = None
    """The body, where it comes in chunks."""
    ahead = b""
    """What was sent before the last request was answered, from `ahead_at` on."""
    ahead_at = 0
    is_closing = False
    """Whether nothing that arrives is read any more."""

    _head_tail = b""
    _head_held = 0  # bytes counted as unread
    _ahead_held = 0
    _is_upgrade = False

    @property
    def is_answering(self) -> bool:
        """Whether the answer to the last request is not complete."""
        return self.cycle is not None and not self.cycle.response_complete

    @abstractmethod
    def begin(self, scope: Scope, keep_alive: bool) -> None:
        """Begin to answer a request, of which the head has come."""

    @abstractmethod
    def refuse(self, error: ServiceError, reason: str | None = None) -> None:
        """Answer what does not become a request, or not a whole one, and close."""

    def take(self, data: bytes, at: int) -> None:
        """Read on from a place in what has arrived."""
        end = len(data)
        try:
            while at < end:
                if self.in_head:
                    if self.is_answering:
                        self.hold(data, at)
                        return
                    at = self._take_head(data, at)
                elif self.chunks is not None:
                    at = self._take_chunks(data, at)
                else:
                    stop = min(at + self.body_left, end)
                    self.body_left -= stop - at
                    self.parser.feed_data(memoryview(data)[at:stop])
                    at = stop
                if self.is_closing:
                    return
        except ServiceError as error:
            self.refuse(error)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self.refuse(
                cause
                if isinstance(cause, ServiceError)
                else MalformedBodyError(f"this is no HTTP/1.1 request: {str(error) or 'no URL'}")
            )

    def _take_head(self, data: bytes, at: int) -> int:
        """Read what there is of a head; returns where it ends."""
        if data[at] in LINE_BREAKS and not self.has_begun:
            return self._pass_over_line_breaks(data, at)
        stop = data.find(HEAD_END, at)
        stop = stop + 4 if stop >= 0 else len(data)
        if self.head_bytes:
            straddling = (self._head_tail + data[at : at + 3]).find(HEAD_END)
            if straddling >= 0:
                stop = at + straddling + 4 - len(self._head_tail)
        self._count_head(stop - at)
        part = data[at:stop]
        try:
            self.parser.feed_data(part)
        except httptools.HttpParserUpgrade:
            self._pass_over_upgrade()
        if self.in_head and self.head_bytes:  # it goes on
            self._head_tail = (self._head_tail + part)[-3:]
            self._hold_head()
        return stop

    def _pass_over_line_breaks(self, data: bytes, at: int) -> int:
        """Pass over those before a head at once: for the parser, two of them end one."""
        part = data[at : at + MAX_HEAD_BYTES + 1]
        size = len(part) - len(part.lstrip(LINE_BREAKS))
        self._count_head(size)
        return at + size

    def _count_head(self, size: int) -> None:
        """Count bytes of the head that comes."""
        if not self.head_bytes:
            self.head_since = self.registry.now
        self.head_bytes += size
        if self.head_bytes > MAX_HEAD_BYTES:
            text = f"the request line and headers may have {MAX_HEAD_BYTES} bytes, these have more"
            raise HeadTooLargeError(text)

    def _take_chunks(self, data: bytes, at: int) -> int:
        """Read what there is of a chunked body; returns where it ends."""
        exchange, chunks = self.cycle, self.chunks
        assert exchange is not None
        assert chunks is not None
        parts: list[bytes] = []
        at, is_complete = chunks.take(data, at, parts)
        if parts:
            self.on_body(b"".join(parts))
        if is_complete:
            # for the parser, the body was empty
            self.chunks = None
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
        self.in_head = True
        self.parser.feed_data(b"\r\n".join(lines) + HEAD_END)

    def hold(self, data: bytes, at: int) -> None:
        """Keep what was sent ahead, and read no more until the last request is answered."""
        self.flow.pause_reading()
        size = len(data) - at
        self.registry.release(self._ahead_held)
        self._ahead_held = 0
        if self.registry.hold(size):
            self.ahead, self.ahead_at, self._ahead_held = data, at, size
            return
        # the request in progress is answered, and the caller told to ask for the others again
        self.registry.metrics.closed("read-ahead")
        self.ahead = b""
        if self.cycle is not None:
            self.cycle.keep_alive = False

    def take_ahead(self) -> None:
        """Read what was sent ahead, as far as the next request."""
        if self.ahead:
            data, at = self.ahead, self.ahead_at
            self.registry.release(self._ahead_held)
            self.ahead, self._ahead_held = b"", 0
            self.take(data, at)

    def _hold_head(self) -> None:
        """Count the part of a head that has come."""
        size = self.head_bytes - self._head_held
        if not self.registry.hold(size):
            raise UnavailableError("too many requests have come in part")
        self._head_held += size

    def release_head(self) -> None:
        """Count the head as unread no more."""
        self.registry.release(self._head_held)
        self._head_held = 0

    def let_go_of_input(self) -> None:
        """Forget what has been read of requests that will not be answered."""
        self.release_head()
        self.registry.release(self._ahead_held)
        self.ahead, self._ahead_held = b"", 0

    # what httptools calls

    def on_message_begin(self) -> None:
        """A head begins."""
        self.has_begun = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field is complete."""
        name = name.lower()
        headers = self.headers
        headers.append((name, value))
        if name == b"content-length":
            self.body_left = int(value)
        elif name == b"transfer-encoding":
            if value.strip().lower() != b"chunked":
                raise MalformedBodyError(f"Transfer-Encoding: expected chunked, got {value!r:.40}")
            self.chunks = ChunkedBody()
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
        split = _split_url if len(self.url) <= CACHED_URL_BYTES else _split_url.__wrapped__
        scope["path"], scope["raw_path"], scope["query_string"] = split(self.url)
        if self.head_bytes > SMALL_HEAD_BYTES:
            self._hold_head()
        elif self._head_held:
            self.release_head()
        self.in_head = False
        self.head_bytes = 0
        keep_alive = version != "1.0" and parser.should_keep_alive()
        self.begin(scope, keep_alive)

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
        self.in_head = True
        self._head_tail = b""
        self.has_begun = False
        if self.cycle is not None:
            self.cycle.more_body = False
            self.cycle.arrived()
        if self.flow.read_paused:  # by a large body; now a departure is to be heard
            self.flow.resume_reading()


@lru_cache(CACHED_URLS)
def _split_url(url: bytes) -> tuple[str, bytes, bytes]:
    """The path of a URL, decoded and as it came, and its query string."""
    parsed = httptools.parse_url(url)
    raw_path: bytes = parsed.path
    path = raw_path.decode("ascii")
    return urllib.parse.unquote(path) if "%" in path else path, raw_path, parsed.query or b""
