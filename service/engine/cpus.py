"""Whether the event loop needs one of the CPUs of this process."""

import math
import threading
import time

from service.runtime import granted_cpus

# Of a CPU: a loop that takes more is slowed down by a run on every CPU, and all wait for it then.
BUSY = 0.3
# Seconds: a loop's turn may take as long, and hardly waits for runs that are shorter.
SHORT = 0.004
# Seconds over which a loop's share is taken.
WINDOW = 0.05


class Runners:
    """How many threads should run graphs at a time.

    Args:
        threads: the most.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._beside_loop = max(1, min(threads, granted_cpus() - 1))
        self._clock: int | None = None
        if hasattr(time, "pthread_getcpuclockid"):
            ident = threading.main_thread().ident  # which has the loop, in a server
            assert ident is not None
            self._clock = time.pthread_getcpuclockid(ident)
        self._measured = self._used = 0.0
        self._share = 0.0

    def __call__(self, seconds: float) -> int:
        """All of them; where runs take longer than a loop's turn, as many as leave it a CPU.

        Args:
            seconds: that runs take; infinity where it is not known.
        """
        if not SHORT < seconds < math.inf:
            return self._threads
        now = time.monotonic()
        if self._clock is not None and now >= self._measured + WINDOW:
            used = time.clock_gettime(self._clock)
            self._share = (used - self._used) / (now - self._measured)
            self._measured, self._used = now, used
        return self._threads if self._share <= BUSY else self._beside_loop
