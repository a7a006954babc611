"""The timer that looks over connections."""

import asyncio

import pytest

from service.http.connections import Connections
from service.metrics import Metrics
from tests.helpers.wire import LIMITS


class Looked:
    """A connection that counts how often it is looked at."""

    heard = 0.0
    is_silent = True
    file_number = -1
    is_unread = False
    is_closing = False

    def __init__(self) -> None:
        self.times = 0

    def look(self, now: float) -> bool:
        self.times += 1
        return False

    def depart(self) -> None:
        raise AssertionError("nobody has left")

    def close_as(self, reason: str) -> None:
        raise AssertionError(f"closed as {reason}")


def test_connections_are_looked_over_again_and_again_as_long_as_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.http.connections.registry.TICK_SECONDS", 0.001)

    async def work() -> None:
        registry, first, second = Connections(LIMITS, Metrics().connections), Looked(), Looked()
        for connection in (first, second):
            registry.add(connection)
            async with asyncio.timeout(20):
                while connection.times < 3:
                    await asyncio.sleep(0.001)
            registry.discard(connection)
            await asyncio.sleep(0.02)
            times = connection.times
            await asyncio.sleep(0.02)
            assert connection.times == times

    asyncio.run(work())
