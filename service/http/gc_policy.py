"""When Python's collector looks for reference cycles, of this process.

The rule for contributors: an answered request leaves no reference cycle behind, whether it
succeeds or fails. Reference counts free what is in no cycle at once; what is in one stays, with all
arrays that it refers to, until the collector's next turn. The usual way to make one is an exception
kept in a local variable: it refers to its traceback, that to the frame, and the frame to the
exception. Another is to raise an error while a TimeoutError of `asyncio.timeout` is being handled:
the error refers to it, its traceback to the timeout, that to the task, and the task to the error it
ended with; so such an error is raised after the `except` block.
`tests/service/http/test_gc_policy.py` checks the rule.
"""

import gc
import time
from collections.abc import Callable
from typing import Literal

# New objects that are in the collector's youngest generation, below which there is little to find.
MIN_NEW_OBJECTS = 1000
# Seconds between two collections, at least.
MIN_PAUSE_SECONDS = 1.0
# Share of all time that collections may take.
MAX_TIME_SHARE = 0.02


def apply_gc_policy(policy: Literal["timed", "python"]) -> Callable[[], None]:
    """Set Python's collector up; returns what to call many times a second.

    Args:
        policy: `timed` for a `TimedCollector`; `python` leaves Python's own thresholds alone.
    """
    return TimedCollector().collect if policy == "timed" else _nothing


def _nothing() -> None:
    pass


class TimedCollector:
    """Python's collector, called by the clock instead of by counts of new objects.

    By its own counts Python walks through everything that start-up leaves every few hundred
    requests, and through all waiting requests the more often the more there are: an overloaded
    server spent half of its time on that. With 64 connections that ask for one row at a time, a CPU
    second answers 1.13 times as many requests as under Python's policy (95 % interval 1.01 to 1.25,
    `tests.benchmarks.serving.pairs --base-options "--gc-policy python"`).
    """

    def __init__(self) -> None:
        gc.collect()
        gc.freeze()  # what exists by now stays, and is not looked at again
        gc.disable()
        self._next = 0.0

    def collect(self) -> None:
        """Collect, if there are enough new objects and the last collection is long enough ago."""
        if gc.get_count()[0] < MIN_NEW_OBJECTS or time.monotonic() < self._next:
            return
        started = time.monotonic()
        gc.collect()
        ended = time.monotonic()
        self._next = ended + max(MIN_PAUSE_SECONDS, (ended - started) / MAX_TIME_SHARE)
