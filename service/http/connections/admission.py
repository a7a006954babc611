"""How many requests are begun at a time while more come than the event loop can answer."""

import asyncio
import logging
import time
from collections.abc import Callable

from service.http.connections.limits import (
    MAX_BEGUN_AT_ONCE,
    REFUSED_SHARE,
    REVIEW_SECONDS,
    STRAIN_SECONDS,
    TURN_SECONDS,
)

log = logging.getLogger(__name__)


class Admission:
    """Tells when requests have to be turned away before they are begun.

    Where graphs are short of time their queues fill, and what comes is refused there, for little
    what its answer would have taken of the event loop. Where it is the loop that is short of time,
    no queue fills: requests are late before they are read, and all of them are. It shows in the
    loop's turns, each of which begins what the last one has left in the sockets. If they take more
    than `TURN_SECONDS`, one after the other, for `STRAIN_SECONDS`, only `MAX_BEGUN_AT_ONCE` are
    begun in each, and the others are turned away, which takes 14 µs in place of 130. A burst,
    however large, is followed by a turn that finds nothing.

    It is left when, for `REVIEW_SECONDS`, less than `REFUSED_SHARE` of the requests are refused.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._is_refusing = False
        self._waiting = 0  # that have been begun, and whose tasks have not had a turn
        self._is_looking = False
        self._found = 0  # since the last look, while one look follows the other
        self._strained_since: float | None = None
        self._reviewed_at = self._looked_at = 0.0
        self._begun = self._refused = 0  # since the last review

    @property
    def is_full(self) -> bool:
        """Whether the next request is to be turned away."""
        return self._is_refusing and self._waiting >= MAX_BEGUN_AT_ONCE

    def begun(self) -> None:
        """A request is begun; its task will say when it has `started`."""
        self._begun += 1
        self._found += 1
        self._waiting += 1
        if self._waiting >= MAX_BEGUN_AT_ONCE and not self._is_looking:
            self._look_from_now()

    def started(self) -> None:
        """The task of a request has had its first turn."""
        self._waiting -= 1

    def refused(self) -> None:
        """A request is turned away."""
        self._refused += 1
        self._found += 1

    def _look_from_now(self) -> None:
        self._is_looking = True
        self._found, now = self._waiting, self._clock()
        if self._is_refusing and now - self._looked_at > REVIEW_SECONDS:
            self._is_refusing = False  # that was another time
        self._looked_at = now
        asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        """Count what the loop has found; called once a turn."""
        now, found, self._found = self._clock(), self._found, 0
        lasted, self._looked_at = now - self._looked_at, now
        if self._is_refusing and now - self._reviewed_at >= REVIEW_SECONDS:
            self._review(now)
        if found < MAX_BEGUN_AT_ONCE:
            self._is_looking = False
            self._strained_since = None
            return
        if lasted < TURN_SECONDS:
            self._strained_since = None
        elif self._strained_since is None:
            self._strained_since = now
        elif now - self._strained_since >= STRAIN_SECONDS and not self._is_refusing:
            self._is_refusing = True
            self._begin_review(now)
            log.warning("more requests come than can be answered: some are refused unread")
        # the loop does not wait for its sockets before it calls this: it finds what is there
        asyncio.get_running_loop().call_soon(self._look)

    def _review(self, now: float) -> None:
        if self._refused < REFUSED_SHARE * (self._begun + self._refused):
            self._is_refusing = False
            self._strained_since = None
        self._begin_review(now)

    def _begin_review(self, now: float) -> None:
        self._reviewed_at = now
        self._begun = self._refused = 0
