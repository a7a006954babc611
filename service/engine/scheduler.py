"""The requests that wait for a graph, counted in rows."""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from service.errors import OverloadedError
from service.types import Arrays

# The share of the newest run in what is known of the device's speed.
SMOOTHING = 0.2


class Graph(Protocol):
    """What runs a batch."""

    def __call__(self, feeds: Arrays, wanted: Sequence[str]) -> Arrays:
        """Inputs by name → the wanted outputs by name, row for row."""
        ...


class Observer(Protocol):
    """Who is told what becomes of a queue."""

    def batch(self, rows: int, seconds: float) -> None:
        """A batch of so many rows took the device so long."""
        ...

    def waited(self, seconds: float) -> None:
        """A request waited so long until the device took its first rows."""
        ...


@dataclass(slots=True, eq=False)
class Job:
    """The rows of one request on their way through a graph.

    Args:
        feeds: its rows, by input name.
        wanted: names of the outputs.
        rows: how many.
        future: of the outputs; done before its time where the caller has left.
        queued, deadline: on `time.monotonic`'s clock.
    """

    feeds: Arrays
    wanted: tuple[str, ...]
    rows: int
    future: asyncio.Future[Arrays]
    queued: float
    deadline: float
    taken: int = 0
    answered: int = 0
    outputs: Arrays = field(default_factory=dict)

    def collect(self, start: int, part: Arrays) -> None:
        """Keep the outputs of the rows from `start` on; the last part to come ends the job."""
        rows = len(part[self.wanted[0]])
        if rows == self.rows:
            self.outputs = part
        else:
            for name, values in part.items():
                if name not in self.outputs:
                    self.outputs[name] = np.empty((self.rows, *values.shape[1:]), values.dtype)
                self.outputs[name][start : start + rows] = values
        self.answered += rows
        if self.answered == self.rows and not self.future.done():
            self.future.set_result(self.outputs)

    def fail(self, error: Exception) -> None:
        """End the job with an error, unless its caller has left."""
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of a job that go into one batch."""

    job: Job
    start: int
    stop: int

    @property
    def feeds(self) -> Arrays:
        """The inputs of these rows."""
        if self.stop - self.start == self.job.rows:
            return self.job.feeds
        return {name: rows[self.start : self.stop] for name, rows in self.job.feeds.items()}


@dataclass
class Statistics:
    """What a queue has come to since its start.

    Args:
        requests, rows, batches: how many were taken.
        waited: seconds that requests waited for the device, in all.
        ran: seconds of the device.
    """

    requests: int = 0
    rows: int = 0
    batches: int = 0
    waited: float = 0.0
    ran: float = 0.0


class Queue:
    """The jobs that wait for one graph; whoever calls holds its batcher's lock.

    Args:
        graph: what runs them.
        observer: is told.
        batch_rows: most rows of a batch. A larger job takes turns with the others.
        queue_rows: most rows that may wait, where a larger job counts as its next batch.
    """

    def __init__(self, graph: Graph, observer: Observer, batch_rows: int, queue_rows: int) -> None:
        self.graph = graph
        self.observer = observer
        self.batch_rows = batch_rows
        self.queue_rows = queue_rows
        self.jobs: deque[Job] = deque()
        self.depth = 0
        self.used = 0.0
        self.statistics = Statistics()
        self._seconds: dict[int, float] = {}
        self._rate = math.inf

    def append(self, job: Job) -> None:
        """Queue a job; one that finds the queue empty is never refused.

        Raises:
            OverloadedError: the queue is full.
        """
        turn = self._turn(job)
        if self.jobs and self.depth + turn > self.queue_rows:
            raise OverloadedError(
                f"{self.depth} rows are waiting, and at most {self.queue_rows} may",
                retry_after=max(1, math.ceil(self.depth / self._rate)),
            )
        self.jobs.append(job)
        self.depth += turn

    def discard(self, job: Job) -> None:
        """Forget a job whose caller has left, if it still waits."""
        if job in self.jobs:
            self.jobs.remove(job)
            self.depth -= self._turn(job)

    def take(self, limit: int, now: float) -> list[Part]:
        """The next batch: parts of at most `limit` rows in all, none of who left or is too late."""
        parts: list[Part] = []
        room = limit
        while self.jobs and room:
            job = self.jobs[0]
            rows = job.rows - job.taken
            if parts and room < rows <= self.batch_rows:
                break  # it goes whole into the next batch
            self.jobs.popleft()
            self.depth -= self._turn(job)
            if job.future.done() or job.deadline <= now:
                continue  # it has been answered, or will be by the timer of its deadline
            if not job.taken:
                self.observer.waited(now - job.queued)
                self.statistics.requests += 1
                self.statistics.waited += now - job.queued
            stop = job.taken + min(rows, room)
            parts.append(Part(job, job.taken, stop))
            room -= stop - job.taken
            job.taken = stop
            if stop < job.rows:
                # a large job takes turns; what idle threads share is first in line
                (self.jobs.append if job.rows > self.batch_rows else self.jobs.appendleft)(job)
                self.depth += self._turn(job)
        return parts

    def measured(self, rows: int, seconds: float) -> None:
        """Learn from a run how fast the device is."""
        self.used += seconds
        self.statistics.batches += 1
        self.statistics.rows += rows
        self.statistics.ran += seconds
        size = rows.bit_length()
        self._seconds[size] = _smoothed(self._seconds.get(size, seconds), seconds)
        rate = rows / max(seconds, 1e-9)
        self._rate = _smoothed(rate if math.isinf(self._rate) else self._rate, rate)
        self.observer.batch(rows, seconds)

    def seconds(self, rows: int) -> float:
        """What a batch of so many rows took of late; infinity where there was none."""
        return self._seconds.get(rows.bit_length(), math.inf)

    def _turn(self, job: Job) -> int:
        return min(job.rows - job.taken, self.batch_rows)


def _smoothed(old: float, new: float) -> float:
    return (1 - SMOOTHING) * old + SMOOTHING * new
