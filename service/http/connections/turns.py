"""Requests that were sent ahead of their turn, a few at a time."""

import asyncio
from typing import Protocol


class TakesTurns(Protocol):
    """A connection on which requests were sent ahead."""

    def take_turn(self) -> None:
        """Go on with the next of them; followed by one call of `Turns.end`."""
        ...


class Turns:
    """Which connections answer what was sent ahead: so many at once, in turn.

    A caller who waits for each answer takes one place among all that are answered. One who sends a
    thousand requests ahead on each of a thousand connections takes a few, with all of them.

    Args:
        limit: how many at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._going_on = 0
        self._waiting: dict[TakesTurns, None] = {}

    def ask(self, connection: TakesTurns) -> None:
        """Have a connection take its turn, soon."""
        self._waiting[connection] = None
        self._next()

    def forget(self, connection: TakesTurns) -> None:
        """A connection that waits will take no turn."""
        self._waiting.pop(connection, None)

    def end(self) -> None:
        """A turn is over."""
        self._going_on -= 1
        self._next()

    def _next(self) -> None:
        while self._waiting and self._going_on < self._limit:
            connection = next(iter(self._waiting))
            del self._waiting[connection]
            self._going_on += 1
            # from the event loop, or one that asks for too much would call itself ever deeper
            asyncio.get_running_loop().call_soon(connection.take_turn)
