"""Answers that are not taken: what they hold in all, who waits for room, and for how long."""

import asyncio
from collections import deque
from collections.abc import Callable

from service.http.connections.limits import MIN_TAKEN_BYTES


class Stall:
    """Whether a caller takes what is sent to it."""

    __slots__ = ("_since", "_unsent")

    def __init__(self) -> None:
        self._unsent = 0  # bytes that the transport held when it was looked at
        self._since: float | None = None

    def end(self) -> None:
        """The caller has taken most of it, or has just begun to get more."""
        self._since = None

    def goes_on(self, unsent: int, now: float, seconds: float) -> bool:
        """Whether the caller has taken less than `MIN_TAKEN_BYTES` in so many seconds.

        Args:
            unsent: bytes that the transport holds now.
            now: on the clock of all connections.
            seconds: that it has.
        """
        if self._since is not None and now - self._since < seconds:
            return False
        is_stalled = self._since is not None and self._unsent - unsent < MIN_TAKEN_BYTES
        self._unsent, self._since = unsent, now
        return is_stalled


class UnsentAnswers:
    """The bytes that answers of one process may hold, from their making until they are sent.

    Who makes a large answer asks for room first, and waits where there is none, in turn. An answer
    that is larger than all the room there is gets it alone.

    Args:
        limit: in bytes.
        clock: seconds.
    """

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self.limit = limit
        self.held = 0
        """Bytes that answers hold."""
        self._clock = clock
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._waiting_since: float | None = None

    @property
    def waiting_since(self) -> float | None:
        """Since when somebody has been waiting all the time; None where nobody is."""
        return self._waiting_since

    def reserved_now(self, size: int) -> bool:
        """Hold so many bytes, if there is room and nobody waits; returns whether it does."""
        if self._waiting or not self._fits(size):
            return False
        self.held += size
        return True

    async def reserve(self, size: int) -> None:
        """Hold so many bytes, once there is room."""
        if self.reserved_now(size):
            return
        turn = asyncio.get_running_loop().create_future()
        entry = (size, turn)
        if not self._waiting:
            self._waiting_since = self._clock()
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # its turn came just now
                self.release(size)
            elif entry in self._waiting:
                self._waiting.remove(entry)
                self._admit()
            raise

    def release(self, size: int) -> None:
        """Hold so many bytes less."""
        self.held -= size
        self._admit()

    def _fits(self, size: int) -> bool:
        return self.held == 0 or self.held + size <= self.limit

    def _admit(self) -> None:
        """Let those go on for whom there is room, in turn."""
        while self._waiting:
            size, turn = self._waiting[0]
            if not turn.cancelled():
                if not self._fits(size):
                    break
                self.held += size
                turn.set_result(None)
            self._waiting.popleft()
        if not self._waiting:
            self._waiting_since = None
