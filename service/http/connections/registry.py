"""All connections of a process: their one clock, their number, and what they hold in all."""

import asyncio
import select
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from starlette.types import Scope

from service.errors import ServiceError
from service.http.connections.admission import Admission
from service.http.connections.limits import (
    CLOSED_AT_ONCE,
    MAX_AHEAD_ANSWERED,
    MAX_UNREAD_BYTES,
    STOP_SILENT_SECONDS,
    TICK_SECONDS,
    ConnectionLimits,
)
from service.http.connections.turns import Turns
from service.http.connections.unsent import UnsentAnswers
from service.metrics import ConnectionMetrics
from service.telemetry import HeaderPairs, RequestRecord, new_id

# More than that between two looks is time in which this process did not run, and could not read.
MAX_STEP_SECONDS = 1.0

# What poll says of a socket whose peer has left, though nobody reads from it.
GONE = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)


class Watched(Protocol):
    """A connection, as far as all of them are looked after."""

    heard: float
    """When it was last heard, on the clock of all."""

    @property
    def is_silent(self) -> bool:
        """Whether it has no whole request, so that nobody misses an answer when it is closed."""
        ...

    @property
    def file_number(self) -> int:
        """Of its socket; -1 where it has none."""
        ...

    @property
    def is_unread(self) -> bool:
        """Whether a request is being answered while nothing is read from the socket."""
        ...

    @property
    def is_closing(self) -> bool:
        """Whether it is kept only until its caller has seen the last answer."""
        ...

    def look(self, now: float) -> bool:
        """Do what is due; returns whether something was."""
        ...

    def depart(self) -> None:
        """The caller has left."""
        ...

    def close_as(self, reason: str) -> None:
        """Close it, whatever it does; counted under a reason."""
        ...


class Connections:
    """The connections of one process.

    One timer looks over all of them, four times a second, as long as there is one: a timer for
    each request would take longer than parsing its head.

    Args:
        limits: that can be set.
        metrics: where they are counted.
        clock: seconds.
    """

    def __init__(
        self,
        limits: ConnectionLimits,
        metrics: ConnectionMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits
        self.metrics = metrics
        self.now = 0.0
        """Seconds in which this process ran, to a quarter of a second."""
        self.is_draining = False
        """Whether answers say that they are the last on their connection."""
        self.on_refusal: Callable[[ServiceError, RequestRecord | None], str] = _new_id
        """Told of what is refused before it is a request, or answered here and not by the
        application; returns the id that the answer is to have."""
        self.on_overload: Callable[[HeaderPairs, str, str], str] = lambda *_: new_id()
        """Told of what is turned away unread: headers, method and path; returns its id."""
        self.on_count: Callable[[int], None] | None = None
        """Told how many are open or about to be, where other processes want to know."""
        self.refusal_headers: Callable[[Scope], list[tuple[bytes, bytes]]] = lambda _: []
        """Headers of answers that are given here and not by the application."""
        self.admission = Admission(clock)
        """Tells when that is to be."""
        self._stopped_at: float | None = None
        self._clock = clock
        self._looked_at = clock()
        self._open: dict[Watched, None] = {}
        self._silent: list[Watched] = []  # the one to be closed first is the last
        self._silent_at = -1.0
        self._expected = 0  # that have been taken, and are not added yet
        self._unread = 0
        self._is_watching = False
        self._looking: asyncio.Task[None] | None = None
        self.unsent = UnsentAnswers(limits.max_unsent, lambda: self.now)
        """What large answers hold."""
        self.ahead = Turns(MAX_AHEAD_ANSWERED)
        """Who answers what was sent ahead."""
        metrics.watch(lambda: len(self._open), lambda: self.unsent.held)

    def __len__(self) -> int:
        return len(self._open)

    def has_room(self) -> bool:
        """Whether one more may be open; where all are, another is closed for it.

        That is one whose last answer has been sent, or else the one silent longest.
        """
        if len(self._open) < self.limits.max_connections:
            return True
        if self._silent_at != self.now:  # at most once between two looks: it takes a while
            self._silent_at = self.now
            waiting = [
                c for c in self._open if c.is_closing or (c.is_silent and self.now - c.heard >= 1)
            ]
            self._silent = sorted(waiting, key=lambda c: (c.is_closing, -c.heard))
        while self._silent:
            connection = self._silent.pop()
            if connection in self._open and (connection.is_closing or connection.is_silent):
                connection.close_as("displaced")
                self.discard(connection)
                return True
        return False

    def add(self, connection: Watched) -> None:
        """A connection was opened."""
        self._open[connection] = None
        self._say_count()
        if not self._is_watching:
            self._is_watching = True
            self._looked_at = self._clock()
            self._schedule()

    def discard(self, connection: Watched) -> None:
        """A connection was closed."""
        self._open.pop(connection, None)
        self._say_count()

    def expect(self, change: int) -> None:
        """So many more connections have been taken and are about to be added, or so many fewer."""
        self._expected += change
        self._say_count()

    def hold(self, size: int) -> bool:
        """Count bytes that wait to be read; returns whether they may, or else counts none."""
        if self._unread + size > MAX_UNREAD_BYTES:
            return False
        self._unread += size
        return True

    def release(self, size: int) -> None:
        """Bytes counted by `hold` wait no more."""
        self._unread -= size

    def stop(self) -> None:
        """Close connections as they fall silent; those that go on asking are told to go."""
        self.is_draining = True
        self._stopped_at = self.now

    def closes_silent(self, heard: float) -> bool:
        """Whether a connection that asks for nothing since then is to be closed for the stop."""
        stopped_at = self._stopped_at
        return stopped_at is not None and self.now - max(heard, stopped_at) >= STOP_SILENT_SECONDS

    async def look_over(self) -> None:
        """Do what is due on every connection; requests have their turn in between.

        1,500 heads whose time is over at once took the event loop for a third of a second, with
        those that came in their place: p99 of a good client was 1.2 s under the mixed load.
        """
        now = self._clock()
        self.now += min(now - self._looked_at, MAX_STEP_SECONDS)
        self._looked_at = now
        self._see_departures([c for c in self._open if c.is_unread])
        closed = 0
        for connection in tuple(self._open):
            if connection in self._open and connection.look(self.now):
                closed += 1
                if closed % CLOSED_AT_ONCE == 0:
                    await asyncio.sleep(0)

    def _see_departures(self, unread: Iterable[Watched]) -> None:
        """Find the callers that have left, of connections that are not read from meanwhile."""
        by_file = {c.file_number: c for c in unread if c.file_number >= 0}
        if not by_file:
            return
        poll = select.poll()
        for number in by_file:
            poll.register(number, GONE)
        for number, _ in poll.poll(0):
            by_file[number].depart()

    def _say_count(self) -> None:
        if self.on_count is not None:
            self.on_count(len(self._open) + self._expected)

    def _schedule(self) -> None:
        asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        self._looking = asyncio.get_running_loop().create_task(self.look_over())
        self._looking.add_done_callback(self._looked)

    def _looked(self, _: asyncio.Task[None]) -> None:
        if self._open:
            self._schedule()
        else:
            self._is_watching = False


def _new_id(_: ServiceError, __: RequestRecord | None) -> str:
    return new_id()


def is_gone(file_number: int) -> bool:
    """Whether the caller behind a socket has left, though what it sent has not been read yet."""
    return _polled(file_number, GONE)


def has_input(file_number: int) -> bool:
    """Whether something has arrived at a socket that has not been read yet."""
    return _polled(file_number, select.POLLIN)


def _polled(file_number: int, events: int) -> bool:
    if file_number < 0:
        return False
    poll = select.poll()
    poll.register(file_number, events)
    return bool(poll.poll(0))
