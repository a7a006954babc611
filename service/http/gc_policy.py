"""When Python looks for garbage that goes in circles: at times, as few requests leave any."""

import gc
import time

# Objects more than at the last time, dead or alive, without which there is nothing to look for.
FEW = 1000
# Seconds between two times, at least: a failed request may leave large arrays behind.
PAUSE = 1.0
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
        if gc.get_count()[0] < FEW or time.monotonic() < self._next:
            return
        started = time.monotonic()
        gc.collect()
        ended = time.monotonic()
        self._next = ended + max(PAUSE, (ended - started) / SHARE)
