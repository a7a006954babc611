"""When Python looks for garbage that goes in circles: seldom, as requests leave none behind."""

import gc
import time

# Objects more than at the last time, dead or alive, that are worth a look.
MANY = 50_000
# The part of all time that may be spent on it.
SHARE = 0.02


class Garbage:
    """Python's collector of this process, taken over from Python.

    By itself it would look through all that start-up leaves every few hundred requests, and
    through all waiting requests the more often the more there are: an overloaded server would
    come to spend half of its time on that.
    """

    def __init__(self) -> None:
        gc.collect()
        gc.freeze()  # what is here stays
        gc.disable()
        self._next = 0.0

    def collect(self) -> None:
        """Collect, if that is worth its while: to be called many times a second."""
        if gc.get_count()[0] < MANY or time.monotonic() < self._next:
            return
        started = time.monotonic()
        gc.collect()
        ended = time.monotonic()
        self._next = ended + (ended - started) / SHARE
