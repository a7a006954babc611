"""The share of a CPU that the event loop uses."""

import threading
import time
from collections.abc import Callable


class LoopShare:
    """A share of a CPU, measured over windows of time.

    Args:
        cpu_seconds: CPU time that the loop's thread has used, in seconds; None where the platform
            does not tell, and the share is 0.
        window: seconds of a measurement, at least.
    """

    def __init__(self, cpu_seconds: Callable[[], float] | None, window: float) -> None:
        self._cpu_seconds = cpu_seconds
        self._window = window
        self._measured_at = self._used = 0.0
        self._share = 0.0

    def at(self, now: float) -> float:
        """The share, 0 to 1, at a time in seconds."""
        if self._cpu_seconds is not None and now >= self._measured_at + self._window:
            used = self._cpu_seconds()
            self._share = (used - self._used) / (now - self._measured_at)
            self._measured_at, self._used = now, used
        return self._share


def main_thread_clock() -> Callable[[], float] | None:
    """CPU seconds of the main thread, which runs a server's loop; None where there is no clock."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return None
    ident = threading.main_thread().ident
    assert ident is not None
    clock = time.pthread_getcpuclockid(ident)
    return lambda: time.clock_gettime(clock)
