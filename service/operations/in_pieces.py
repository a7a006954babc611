"""Work of many rows in pieces: how large they are, and what waits for whom."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from service.errors import OverloadedError

# Rows and numbers that are made and run in one go: samples, noisy copies, rows with other values.
ROWS_AT_ONCE = 4096
NUMBERS_AT_ONCE = 2**20

T = TypeVar("T")


def rows_at_once(row_numbers: int) -> int:
    """How many rows of so many numbers are made in one go."""
    return max(1, min(ROWS_AT_ONCE, NUMBERS_AT_ONCE // row_numbers))


async def patiently(start: int, run: Callable[[], Awaitable[T]]) -> T:
    """What a run of the rows from `start` on comes to: what has begun is not given up.

    Raises:
        OverloadedError: too much is waiting, and these are the first rows.
    """
    while True:
        try:
            return await run()
        except OverloadedError as full:
            if start == 0:
                raise
            await asyncio.sleep(full.retry_after)
