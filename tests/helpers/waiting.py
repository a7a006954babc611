"""Waiting until something is so, and a port that nobody listens on yet."""

import asyncio
import socket
import time
from collections.abc import Callable

SECONDS = 60.0


async def until(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait for a condition of the running loop; fail where it never comes to hold."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def wait_until(
    condition: Callable[[], object],
    seconds: float = SECONDS,
    what: str = "it did not come to hold",
    pause: float = 0.01,
) -> float:
    """Seconds until a condition holds; fail, saying what is missing, where it never does."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, what
        time.sleep(pause)
    return time.monotonic() - began


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
