"""uvicorn's HTTP connection with limits: the parser is shown no more than one request at a time."""

import asyncio
import socket
from typing import Any, cast

from starlette.types import ASGIApp, Scope
from uvicorn.config import Config
from uvicorn.server import ServerState

from service.errors import TooSlowError, UnavailableError
from service.http.connections.exchange import Exchange
from service.http.connections.limits import MAX_SKIPPED_BYTES
from service.http.connections.refusals import RefusingReader
from service.http.connections.registry import Connections, has_input, is_gone
from service.http.connections.unsent import Stall


class Connection(RefusingReader):
    """One HTTP/1.1 connection: when it reads, what it answers by itself, and when it is closed.

    Args:
        config: of uvicorn.
        server_state: of uvicorn.
        app_state: of the application's lifespan.
        registry: all connections.
    """

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
        self.unsent = registry.unsent
        self.registry = registry
        self._lingered = 0
        self._stall = Stall()
        self._is_new = True  # nothing has been asked yet
        self._answering_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, or refuse it where too many are open."""
        self.transport = cast(asyncio.Transport, transport)
        if is_gone(self.file_number):  # thousands may have come and left by the time of their turn
            self.transport.abort()
        elif self.registry.has_room():
            super().connection_made(self.transport)
            self.registry.add(self)
            return
        else:
            self.registry.metrics.closed("too-many")
            error = UnavailableError("too many connections are open")
            self.send_refusal(error)
            self.transport.close()
        self.is_closing = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the request that nobody waits for any more."""
        self.connections.discard(self)
        self.registry.discard(self)
        self.let_go_of_input()
        self.registry.ahead.forget(self)
        if self.cycle is not None:
            self.cycle.depart()
        self._end_turn()
        if self.flow is not None:
            self.flow.resume_writing()
        self.parser = None  # type: ignore[assignment]

    def eof_received(self) -> None:
        """The caller sends no more: it has left, also where an answer is on its way to it."""
        if self.is_answering:
            self.depart()

    def data_received(self, data: bytes) -> None:
        """Read what has arrived."""
        self.heard = self.registry.now
        if self.is_closing:
            self._lingered += len(data)
            if self._lingered > self.max_lingered:
                self.transport.abort()
        elif self.ahead:
            self.hold(self.ahead[self.ahead_at :] + data, 0)
        else:
            self.take(data, 0)

    def pause_writing(self) -> None:
        """The caller takes its answer more slowly than it is made."""
        super().pause_writing()
        self._stall.end()

    def resume_writing(self) -> None:
        """The caller has taken most of what was sent."""
        super().resume_writing()
        self._stall.end()

    # what the reader calls

    def begin(self, scope: Scope, keep_alive: bool) -> None:
        """Begin to answer a request, of which the head has come."""
        if self._is_new:  # many may come and leave at once: nothing is begun for who is gone
            self._is_new = False
            if is_gone(self.file_number):
                self.depart()
                self.is_closing = True
                return
        admission = self.registry.admission
        if admission.is_full and keep_alive and self.can_turn_away(scope):
            admission.refused()
            self.turn_away(scope)
            return
        admission.begun()
        self.cycle = exchange = Exchange(self, scope, self.expect_100_continue, keep_alive)
        task = self.loop.create_task(exchange.run(cast(ASGIApp, self.app)))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    # what the exchange calls

    def started(self) -> None:
        """The exchange has begun to answer."""
        self.registry.admission.started()

    def closes_after(self, status: int) -> bool:
        """Whether an answer of this status that begins now is the last one."""
        exchange = self.cycle
        self._answering_since = self.registry.now
        if exchange is not None and exchange.more_body:
            return (
                status in (408, 413)
                or exchange.awaits_body
                or self.chunks is not None
                or self.body_left > MAX_SKIPPED_BYTES
            )
        # requests that were sent ahead are answered before the stop
        return self.registry.is_draining and not self.ahead

    def read_body(self) -> None:
        """Read on: the application waits for the body."""
        if self.flow.read_paused and not self.transport.is_closing():
            self.heard = self.registry.now  # it was not the caller who was silent
            self.flow.resume_reading()

    def answered(self, *, whole: bool) -> None:
        """The answer has been handed over, or has been given up."""
        self.server_state.total_requests += 1
        transport, exchange = self.transport, self.cycle
        self.release_head()
        self._end_turn()
        if transport.is_closing() or self.is_closing:
            return
        self.heard = self.registry.now
        if not whole:
            transport.close()
        elif exchange is not None and not exchange.keep_alive:
            if exchange.more_body or self.ahead or self.flow.read_paused:
                self.linger()
            else:
                transport.close()
        else:
            if self.ahead:
                self.registry.ahead.ask(self)
            else:
                self.flow.resume_reading()

    def take_turn(self) -> None:
        """Go on with the next request that was sent ahead; `registry.ahead` says when."""
        self.has_turn = True
        if not self.transport.is_closing() and not self.is_closing:
            self.take_ahead()
            if not self.ahead:
                self.flow.resume_reading()
        if not self.is_answering:  # no whole request was there
            self._end_turn()

    def _end_turn(self) -> None:
        if self.has_turn:
            self.has_turn = False
            self.registry.ahead.end()

    @property
    def is_silent(self) -> bool:
        """Whether it has no whole request, so that nobody misses an answer when it is closed."""
        return self.in_head and not self.is_answering

    @property
    def is_unread(self) -> bool:
        """Whether a request is being answered while nothing is read from the socket."""
        return self.flow.read_paused and self.is_answering

    @property
    def file_number(self) -> int:
        """Of its socket; -1 where it has none."""
        found: socket.socket | None = self.transport.get_extra_info("socket")
        return -1 if found is None else found.fileno()

    def look(self, now: float) -> bool:
        """Do what is due; returns whether something was."""
        if self.flow.write_paused or self.transport.is_closing():
            return self._look_at_reader(now)
        limits = self.registry.limits
        if self.is_closing:
            if now < self.lingers_until:
                return False
            self.transport.abort()
        elif self.is_silent:
            if self.head_bytes and self.has_begun:
                if now - self.head_since < limits.head_seconds:
                    return False
                text = f"the head of the request was not here after {limits.head_seconds:g} s"
                self.refuse(TooSlowError(text), "head-timeout")
            elif now - self.heard >= limits.idle_seconds:
                self.close_as("idle")
            elif self.registry.closes_silent(self.heard) and not has_input(self.file_number):
                self.close_as("stop")
            else:
                return False
        elif self.in_head or self.flow.read_paused or now - self.heard < limits.idle_seconds:
            return False
        elif self.is_answering:
            text = f"nothing came of the body for {limits.idle_seconds:g} s"
            self.refuse(TooSlowError(text), "body-timeout")
        else:
            self.close_as("body-timeout")
        return True

    def _look_at_reader(self, now: float) -> bool:
        """Break a connection off whose caller does not take what is sent to it."""
        seconds = self.registry.limits.write_seconds
        unsent = self.transport.get_write_buffer_size()
        is_stalled = self._stall.goes_on(unsent, now, seconds)
        # while others wait for the room that a large answer takes, it has that time in all
        others_since, exchange = self.unsent.waiting_since, self.cycle
        if others_since is not None and exchange is not None and exchange.reserved:
            is_stalled |= now - max(others_since, self._answering_since) >= seconds
        if not is_stalled or (self.transport.is_closing() and not unsent):
            return False
        self.registry.metrics.closed("write-timeout")
        self.transport.abort()
        return True

    def depart(self) -> None:
        """The caller has left."""
        if self.cycle is not None:
            self.cycle.depart()
        self.flow.resume_writing()
        self.transport.abort()

    def close_as(self, reason: str) -> None:
        """Close it, whatever it does; counted under a reason."""
        self.registry.metrics.closed(reason)
        self.let_go_of_input()
        # what the caller has not taken by now it will not take
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """Close for the end of the process; what uvicorn calls."""
        if self.is_answering and self.cycle is not None:
            self.cycle.keep_alive = False
        else:
            self.transport.close()
