"""A few numbers that the processes of one server share: each writes its own, and reads all."""

import math
import mmap
import os
import time
from enum import IntEnum

# Memory of a worker's counters and histograms: some 60 kB for each model that is asked in every
# way. Pages that nothing has been written to take none.
FIGURES_BYTES = 32 * 2**20

# Memory of what is left of the rates of keys: `SharedRates` has 64 bytes for each.
RATES_BYTES = 2**21

# A worker whose event loop has not come round for so long does not count as one that answers.
FRESH_SECONDS = 2.0

# Two workers may differ by one connection, or by such a part of many. Who has more waits a moment
# for the other one to catch up, and a burst of 1,500 callers cannot wait so for each of them.
EVEN_PART = 8


class State(IntEnum):
    """How far a worker is."""

    ABSENT = 0
    MADE = 1
    """It could be made of its settings."""
    LISTENING = 2
    """It takes connections, and should not be sent requests."""
    READY = 3


class _Cell(IntEnum):
    """What a row of the board holds; the first row is the parent's."""

    STATE = 0
    BEAT = 1
    CONNECTIONS = 2
    INFLIGHT_BYTES = 3
    PROCESS = 4
    RESTARTS = 5
    IS_STOPPING = 6
    WIDTH = 8


class Board:
    """The memory that a parent and its workers share.

    Every number has one writer and is written whole, so that nobody waits for anybody. What a
    worker has counted stays when it is killed: the one that takes its place goes on from there.

    Args:
        workers: how many.

    Attributes:
        figures: of each worker, where it counts.
        rates: what is left of the rates of keys.
        rates_lock: descriptor of a file that is locked by who changes `rates`; the kernel takes the
            lock from a process that is killed.
        parent: number of the process that made the board.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.parent = os.getpid()
        # anonymous and shared: forked processes have the same pages
        size = (workers + 1) * _Cell.WIDTH * 8
        self._cells = memoryview(mmap.mmap(-1, size)).cast("d")
        self.figures = [mmap.mmap(-1, FIGURES_BYTES) for _ in range(workers)]
        self.rates = mmap.mmap(-1, RATES_BYTES)
        self.rates_lock = os.memfd_create("bijecta-rates")

    def beat(self, worker: int, state: State) -> None:
        """A worker's event loop has come round."""
        self._set(worker, _Cell.STATE, state)
        self._set(worker, _Cell.BEAT, time.monotonic())

    def last_beat(self, worker: int) -> float:
        """When a worker's loop last came round; 0 where it never has, or does so no more."""
        return self._get(worker, _Cell.BEAT)

    def leave(self, worker: int) -> None:
        """A worker is about to end, and says no more that its loop goes round."""
        self._set(worker, _Cell.STATE, State.MADE)
        self._set(worker, _Cell.BEAT, 0)

    def began(self, worker: int, process: int) -> None:
        """A worker has been started, as the process of this number."""
        self._set(worker, _Cell.PROCESS, process)

    def ended(self, worker: int) -> None:
        """A worker's process is no more; what it counted stays."""
        for cell in (_Cell.STATE, _Cell.BEAT, _Cell.CONNECTIONS, _Cell.INFLIGHT_BYTES):
            self._set(worker, cell, 0)
        self._set(worker, _Cell.PROCESS, 0)

    def state(self, worker: int) -> State:
        """How far a worker is."""
        return State(int(self._get(worker, _Cell.STATE)))

    @property
    def states(self) -> list[State]:
        """How far each worker is."""
        return [self.state(worker) for worker in range(self.workers)]

    @property
    def processes(self) -> list[int]:
        """The numbers of the parent's process and of those of workers."""
        found = [int(self._get(worker, _Cell.PROCESS)) for worker in range(self.workers)]
        return [self.parent, *filter(None, found)]

    @property
    def restarts(self) -> int:
        """How many workers have been started in place of others."""
        return int(self._get(-1, _Cell.RESTARTS))

    def restarted(self) -> None:
        """A worker has been started in place of another."""
        self._set(-1, _Cell.RESTARTS, self.restarts + 1)

    @property
    def is_stopping(self) -> bool:
        """Whether all workers are told to stop."""
        return bool(self._get(-1, _Cell.IS_STOPPING))

    def stop(self) -> None:
        """All workers are told to stop."""
        self._set(-1, _Cell.IS_STOPPING, 1)

    def set_connections(self, worker: int, count: int) -> None:
        """A worker has so many connections."""
        self._set(worker, _Cell.CONNECTIONS, count)

    def room(self, worker: int, *, is_late: bool = False) -> float:
        """How many connections a worker should take now; the others are for those with fewer.

        Args:
            worker: its number.
            is_late: whether the others have had time to take what waits; then one at least.

        Returns:
            Infinity where no other worker takes connections.
        """
        own, fewest, now = self._get(worker, _Cell.CONNECTIONS), math.inf, time.monotonic()
        for other in range(self.workers):
            if (
                other != worker
                and self._get(other, _Cell.STATE) >= State.LISTENING
                and now - self._get(other, _Cell.BEAT) < FRESH_SECONDS
            ):
                fewest = min(fewest, self._get(other, _Cell.CONNECTIONS))
        if math.isinf(fewest):
            return fewest
        if is_late:
            fewest = max(fewest, own)
        return fewest + max(1, fewest // EVEN_PART) - own

    def hold(self, worker: int, size: int) -> None:
        """A worker's requests in progress hold so many bytes."""
        self._set(worker, _Cell.INFLIGHT_BYTES, size)

    def held_by_all(self) -> int:
        """Bytes that the requests in progress of all workers hold."""
        first = _Cell.WIDTH + _Cell.INFLIGHT_BYTES
        return int(sum(self._cells[first :: _Cell.WIDTH].tolist()))

    def _get(self, worker: int, cell: _Cell) -> float:
        return self._cells[(worker + 1) * _Cell.WIDTH + cell]

    def _set(self, worker: int, cell: _Cell, value: float) -> None:
        self._cells[(worker + 1) * _Cell.WIDTH + cell] = value
