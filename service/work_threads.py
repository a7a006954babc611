"""Threads for work that grows with what callers send, so that the event loop stays with the others.

The event loop answers every caller, and what it computes for one of them all others wait for. Work
on few numbers is done there, as handing it over takes longer; work on more is done here.
"""

import asyncio
import math
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from service.errors import DeadlineError

# Numbers that the event loop looks at itself, for one request at a time: to check them takes tens
# of microseconds, to write them as JSON two milliseconds. A thread costs 50 µs.
MIN_NUMBERS = 2**15

# Numbers of one turn in a thread, where the work can be divided. A departure or a deadline ends it
# between two turns, and numpy's intermediate arrays are no larger than this.
BLOCK_NUMBERS = 2**18

# Seconds after which a thread lets others run while one of these threads works, of Python's 5 ms. A
# small request takes the interpreter back about ten times on its way, and waits so long each time
# for a thread that parses a table: beside bodies of 500,000 cells of CSV one row took 15 ms in
# place of 65, its p99 was 65 ms in place of 439. Where no such thread works, it would cost each
# small request a quarter more CPU (360 µs in place of 275), as the event loop and the engine's
# threads change places more often.
SWITCH_SECONDS = 0.0005

T = TypeVar("T")


class _Yielding:
    """Makes the threads of the process let each other run often while one is in here."""

    def __init__(self) -> None:
        self._entered = 0
        self._lock = threading.Lock()
        self._usual_seconds = sys.getswitchinterval()

    def __enter__(self) -> None:
        self._count(1)

    def __exit__(self, *_: object) -> None:
        self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._entered += change
            sys.setswitchinterval(SWITCH_SECONDS if self._entered else self._usual_seconds)


YIELDING = _Yielding()
"""The one of this process, as Python's interval is."""


class WorkThreads:
    """A few threads, which all requests share.

    Args:
        threads: how many.
        name: of each, with a number.
    """

    def __init__(self, threads: int, name: str = "work") -> None:
        self._pool = ThreadPoolExecutor(threads, name)
        self._turns = asyncio.Semaphore(threads)

    async def run(
        self, numbers: float, work: Callable[..., T], *arguments: Any, deadline: float = math.inf
    ) -> T:
        """What work comes to: at once where it is on few numbers, else `in_thread`.

        Args:
            numbers: how many it is on.
            work: what to call.
            arguments: of it.
            deadline: in seconds, on `time.monotonic`'s clock.

        Raises:
            DeadlineError: the deadline passed first.
        """
        if numbers <= MIN_NUMBERS:
            return work(*arguments)
        return await self.in_thread(work, *arguments, deadline=deadline)

    async def in_thread(
        self, work: Callable[..., T], *arguments: Any, deadline: float = math.inf
    ) -> T:
        """What work comes to in a thread, once one is free: those who wait longest come first.

        Whoever stops waiting, because the caller has left or the deadline has passed, stops at
        once. What a thread has begun by then it ends, for nobody.

        Args:
            work: what to call.
            arguments: of it.
            deadline: in seconds, on `time.monotonic`'s clock.

        Raises:
            DeadlineError: the deadline passed first.
        """
        loop, call = asyncio.get_running_loop(), partial(_call_yielding, work, *arguments)
        # the future has no name here: an error would hold this frame, and the frame the error
        if math.isinf(deadline):
            return await loop.run_in_executor(self._pool, call)
        try:
            async with asyncio.timeout(deadline - time.monotonic()) as limit:
                return await loop.run_in_executor(self._pool, call)
        except TimeoutError:
            if not limit.expired():
                raise
        raise DeadlineError("the deadline passed before there was an answer")

    async def in_turn(self, work: Callable[..., T], *arguments: Any) -> T:
        """What work comes to in a thread that begins it once the event loop has seen the last one.

        So the event loop has a turn between two of them, however many wait: beside 64 bodies of a
        megabyte each, the p99 of small requests was 0.1 s in place of 0.33.

        Args:
            work: what to call.
            arguments: of it.
        """
        async with self._turns:
            return await self.in_thread(work, *arguments)

    async def run_in_blocks(
        self,
        rows: int,
        row_numbers: int,
        work: Callable[[int, int], None],
        deadline: float = math.inf,
    ) -> None:
        """Work through rows, some at a time: a departure or a deadline stops it between two turns.

        Args:
            rows: how many.
            row_numbers: numbers of a row.
            work: is called with the first of some rows, and the one after the last.
            deadline: in seconds, on `time.monotonic`'s clock.

        Raises:
            DeadlineError: the deadline passed first.
        """
        at_once = max(1, BLOCK_NUMBERS // max(1, row_numbers))
        for start in range(0, rows, at_once):
            stop = min(rows, start + at_once)
            numbers = (stop - start) * row_numbers
            await self.run(numbers, work, start, stop, deadline=deadline)

    def close(self) -> None:
        """Take nothing more; what has begun ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _call_yielding(work: Callable[..., T], *arguments: Any) -> T:
    with YIELDING:
        return work(*arguments)
