"""The jobs that wait for one graph, counted in rows."""

import math
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from service.errors import OverloadedError


class QueueObserver(Protocol):
    """What a queue reports to."""

    def batch(self, rows: int, seconds: float) -> None:
        """A batch of that many rows took the device that many seconds."""
        ...

    def waited(self, seconds: float) -> None:
        """A request waited that many seconds until the device took its first rows."""
        ...


@dataclass(slots=True, eq=False)
class Job(ABC):
    """The rows of one request on their way through a graph.

    Args:
        queue: name of the graph's queue.
        rows: how many, at least one.
        queued: when it was submitted, in seconds.
        deadline: when its answer is of no more use, in seconds on the same clock.

    Attributes:
        taken: rows that are in batches already.
        started: when the first of them were taken, in seconds; 0 before.
    """

    queue: str
    rows: int
    queued: float
    deadline: float
    taken: int = field(default=0, init=False)
    started: float = field(default=0.0, init=False)

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether it needs no more work: it has been answered, or its caller has left."""


J = TypeVar("J", bound=Job)


@dataclass(frozen=True, slots=True)
class Chunk(Generic[J]):
    """The rows `start` to `stop` of a job, which go into one batch."""

    job: J
    start: int
    stop: int


@dataclass
class Statistics:
    """Totals of a queue since its start.

    Args:
        requests, rows, batches: how many the device has taken.
        waited: seconds that requests waited for the device.
        ran: seconds of the device.
    """

    requests: int = 0
    rows: int = 0
    batches: int = 0
    waited: float = 0.0
    ran: float = 0.0


class JobQueue(Generic[J]):
    """The jobs of one graph in their order, their depth, and the graph's speed.

    A job that is larger than a batch goes to the end of the queue after each batch, so that it
    takes turns with the others; its turn is the rows of its next batch.

    Args:
        observer: is told of waits and batches.
        batch_rows: rows of a batch, at most.
        capacity: rows that may wait, at most, where a job counts as its next turn.
        smoothing: weight of the newest batch in the estimates of speed, 0 to 1.
    """

    def __init__(
        self, observer: QueueObserver, batch_rows: int, capacity: int, smoothing: float
    ) -> None:
        self.batch_rows = batch_rows
        self.capacity = capacity
        self.jobs: deque[J] = deque()
        """Those that wait, the next one first."""
        self.depth = 0
        """Rows ahead of a new job: the sum of the turns of all that wait."""
        self.device_seconds = 0.0
        """Device time charged to this queue; the scheduler sets it on when an idle queue fills."""
        self.statistics = Statistics()
        self._observer = observer
        self._smoothing = smoothing
        self._seconds: dict[int, float] = {}  # by the bit length of a batch's rows
        self._rows_a_second = math.inf

    def append(self, job: J) -> None:
        """Add a job at the end; an empty queue takes a job of any size.

        A job leaves room for smaller ones, up to its own size: however many large ones come, a
        request of a row is not refused because of them.

        Raises:
            OverloadedError: the queue is full; `retry_after` is how long what waits should take.
        """
        turn = self._turn(job)
        if self.jobs and self.depth + 2 * turn - 1 > self.capacity:
            raise OverloadedError(
                f"{self.depth} rows are waiting, and at most {self.capacity} may, with room "
                "left for smaller requests",
                retry_after=max(1, math.ceil(self.depth / self._rows_a_second)),
            )
        self.jobs.append(job)
        self.depth += turn

    def discard(self, job: J) -> None:
        """Remove a job, if it still waits."""
        if job in self.jobs:
            self.jobs.remove(job)
            self.depth -= self._turn(job)

    def clear(self) -> list[J]:
        """Remove every job, and return them."""
        jobs = list(self.jobs)
        self.jobs.clear()
        self.depth = 0
        return jobs

    def take(self, limit: int, now: float) -> list[Chunk[J]]:
        """The next batch: chunks of at most `limit` rows together.

        Jobs that are over, and those whose deadline has passed, are dropped: no chunk is of theirs.
        """
        chunks: list[Chunk[J]] = []
        room = limit
        while self.jobs and room:
            job = self.jobs[0]
            rows = job.rows - job.taken
            if chunks and room < rows <= self.batch_rows:
                break  # it goes whole into the next batch
            self.jobs.popleft()
            self.depth -= self._turn(job)
            if job.is_over or job.deadline <= now:
                continue  # the timer of its deadline answers it
            if not job.taken:
                job.started = now
                self._observer.waited(now - job.queued)
                self.statistics.requests += 1
                self.statistics.waited += now - job.queued
            stop = job.taken + min(rows, room)
            chunks.append(Chunk(job, job.taken, stop))
            room -= stop - job.taken
            job.taken = stop
            if stop < job.rows:
                # a large job takes turns; the rest of one that threads share stays first in line
                (self.jobs.append if job.rows > self.batch_rows else self.jobs.appendleft)(job)
                self.depth += self._turn(job)
        return chunks

    def measured(self, rows: int, seconds: float) -> None:
        """Learn the device's speed from a batch, and charge its time to this queue."""
        self.device_seconds += seconds
        self.statistics.batches += 1
        self.statistics.rows += rows
        self.statistics.ran += seconds
        size = rows.bit_length()
        self._seconds[size] = self._smoothed(self._seconds.get(size, seconds), seconds)
        rate = rows / max(seconds, 1e-9)
        known = rate if math.isinf(self._rows_a_second) else self._rows_a_second
        self._rows_a_second = self._smoothed(known, rate)
        self._observer.batch(rows, seconds)

    def expected_seconds(self, rows: int) -> float:
        """Seconds that batches of about that many rows take; infinity where none has run."""
        return self._seconds.get(rows.bit_length(), math.inf)

    def _turn(self, job: J) -> int:
        return min(job.rows - job.taken, self.batch_rows)

    def _smoothed(self, old: float, new: float) -> float:
        return (1 - self._smoothing) * old + self._smoothing * new
