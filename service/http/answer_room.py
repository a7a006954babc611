"""Room for large answers, asked for before they are made.

A caller who takes no answer costs what the answer holds, for as long as the connection may stay.
So answers of more than a few thousand numbers wait until others have been taken, where these hold
`--max-unsent-mib`. This needs the connections of `service.http.connections`; behind another ASGI
server answers are made at once.
"""

import asyncio
import math
import time
from collections.abc import Awaitable

from starlette.types import Receive

from service.errors import DeadlineError
from service.http.connections import Exchange
from service.inflight import MemoryShare

# Of a number in an array: what it is written to is sent a piece at a time.
BYTES_PER_NUMBER = 4
# Of pieces: two are drawn and one is written at once.
BYTES_PER_STREAMED_NUMBER = 12
# Smaller answers are made at once: the transport holds as much of each connection anyway.
MIN_ROOM_BYTES = 2**16


def held_answer(
    receive: Receive, share: MemoryShare, numbers: int, due: float
) -> Awaitable[None] | None:
    """Have an answer hold the memory of so many numbers, before one of them is made.

    Args:
        receive: of the request, whose body has been read.
        share: of the request, in the memory of all requests.
        numbers: of the answer.
        due: when the answer is of no more use, on `time.monotonic`'s clock.

    Returns:
        What `room_for_answer` does.

    Raises:
        ServiceError: all requests together may not hold so much, or do already.
    """
    size = numbers * BYTES_PER_NUMBER
    if size < MIN_ROOM_BYTES:
        return None
    share.charge(size)
    return room_for_answer(receive, size, due)


def room_for_answer(receive: Receive, size: int, due: float) -> Awaitable[None] | None:
    """Have an answer hold so many bytes until it has been sent.

    Args:
        receive: of the request, whose body has been read.
        size: of the arrays and of what they are written to.
        due: when the answer is of no more use, on `time.monotonic`'s clock.

    Returns:
        What to wait for before the answer is made; None where there is room, or none is needed.
        It raises DeadlineError where there is no room in time.
    """
    exchange = getattr(receive, "__self__", None)
    if size < MIN_ROOM_BYTES or not isinstance(exchange, Exchange) or exchange.reserved_now(size):
        return None
    return _room_in_time(exchange, size, due)


async def _room_in_time(exchange: Exchange, size: int, due: float) -> None:
    seconds = None if due == math.inf else due - time.monotonic()
    try:
        async with asyncio.timeout(seconds):
            await exchange.reserve(size)
            return
    except TimeoutError:
        pass
    raise DeadlineError("there was no room for this answer before its deadline")
