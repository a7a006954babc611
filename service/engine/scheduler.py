"""Which jobs run next, in which batch, and where: decisions without threads, locks or clocks."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic

from service.engine.loop_share import LoopShare
from service.engine.policy import SchedulerPolicy
from service.engine.queue import Chunk, J, JobQueue
from service.errors import OutOfOrderError

OUT_OF_ORDER = "this model is out of order; the log says why"


class Runner(Enum):
    """What the caller of the scheduler has to do so that jobs which wait are run."""

    NOBODY = "nothing: who runs now, or is about to, takes them"
    LOOP = "call next_batch_on_loop in the next turn of the event loop"
    THREAD = "wake a thread, which calls next_batch"


@dataclass(slots=True, eq=False)
class Batch(Generic[J]):
    """Chunks of jobs of one queue that run together.

    Args:
        queue: its name.
        chunks: at least one.
        rows: of all chunks together.
        expected_seconds: that it should take; infinity where nothing is known.
    """

    queue: str
    chunks: list[Chunk[J]]
    rows: int
    expected_seconds: float


class Scheduler(Generic[J]):
    """The queues of one model, and every decision about them.

    It has no lock, no thread, no event loop and no clock: its callers hold a lock, carry out what
    it returns, and pass the time, `now`, in seconds on one monotonic clock. There is no timer
    either: while the device is busy the queues fill, and whoever is free takes what is there.

    A job::

                    next_batch             every chunk has run
        WAITING ─────────────────> RUNNING ──────────────────> over
          ^  │                       │
          │  │ is over, or too late  │ rows are left: it waits again
          │  └────> dropped          │ while its chunk runs
          └──────────────────────────┘
        submit of a job that finds the queue full raises OverloadedError, and changes nothing

    The scheduler::

               close                nothing waits or runs
        OPEN ─────────> CLOSED ───────────────────────────> FINISHED
          │               │    what waits still runs
          └───────────────┴──────────> FAILED: nothing waits or runs
                 fail_all
        submit raises OutOfOrderError in every state but OPEN

    Fairness: of the queues with waiting jobs, the one goes next that has had the least device time.
    A queue that fills after it was empty is charged up to the virtual time, the device time of the
    queue that was served last when it was served: idling earns no credit (start-time fair queueing,
    Goyal, Vin & Cheng 1996). So two queues that both wait have device times that differ by no more
    than one batch for each worker.

    Args:
        queues: by the name of their graph.
        workers: batches that run at a time, at most.
        cpus: that this process may use.
        loop_cpu_seconds: see `LoopShare`.
        policy: the tuned constants.
    """

    def __init__(
        self,
        queues: Mapping[str, JobQueue[J]],
        workers: int,
        cpus: int,
        loop_cpu_seconds: Callable[[], float] | None,
        policy: SchedulerPolicy,
    ) -> None:
        self.queues = dict(queues)
        self._all_queues = tuple(queues.values())
        self.has_failed = False
        self._policy = policy
        self._workers = workers
        self._workers_beside_loop = max(1, min(workers, cpus - 1))
        self._loop_share = LoopShare(loop_cpu_seconds, policy.loop_share_window)
        self._running: set[Batch[J]] = set()
        self._virtual_time = 0.0
        self._is_loop_due = False
        self._is_closed = False

    @property
    def is_finished(self) -> bool:
        """Whether it is closed, and nothing waits or runs any more."""
        return self._is_closed and not self._running and not self._has_waiting()

    def submit(self, job: J, now: float) -> Runner:
        """Queue a job; returns who has to act on it.

        Raises:
            OverloadedError: its queue is full.
            OutOfOrderError: the scheduler is closed or has failed.
        """
        if self.has_failed:
            raise OutOfOrderError(OUT_OF_ORDER)
        if self._is_closed:
            raise OutOfOrderError("this model has been unloaded")
        queue = self.queues[job.queue]
        if not queue.jobs:
            queue.device_seconds = max(queue.device_seconds, self._virtual_time)
        queue.append(job)
        return self._runner(now)

    def runner(self, now: float) -> Runner:
        """Who has to act on what waits at the end of a batch on the loop."""
        return self._runner(now) if self._has_waiting() else Runner.NOBODY

    def wants_worker(self, now: float) -> bool:
        """Whether something waits that should run beside the batches that run now."""
        return self._has_waiting() and self._wants_worker(now)

    def next_batch(self, now: float) -> Batch[J] | None:
        """The batch that a free thread should run now; None: it should wait."""
        return self._take(now) if self.wants_worker(now) else None

    def next_batch_on_loop(self, now: float) -> Batch[J] | None:
        """The batch that the loop should run now; None: a thread runs, or too much waits.

        To be called once for each `Runner.LOOP`.
        """
        self._is_loop_due = False
        return None if self._running or not self._is_light() else self._take(now)

    def finished(self, batch: Batch[J], seconds: float) -> None:
        """Take note that a batch has run for that many seconds."""
        self._running.discard(batch)  # a failure may have dropped it
        self.queues[batch.queue].measured(batch.rows, seconds)

    def discard(self, job: J) -> None:
        """Drop a job whose caller has left."""
        self.queues[job.queue].discard(job)

    def close(self) -> None:
        """Take no more jobs; those that wait still run."""
        self._is_closed = True

    def fail_all(self) -> list[J]:
        """Drop every job that waits or runs, and take no more; returns the jobs."""
        self.has_failed = True
        jobs = [job for queue in self.queues.values() for job in queue.clear()]
        jobs += [chunk.job for batch in self._running for chunk in batch.chunks]
        self._running.clear()
        return list(dict.fromkeys(jobs))

    # What follows runs for every request, with loops where generators would read better: one takes
    # a third of a microsecond to begin.

    def _has_waiting(self) -> bool:
        for queue in self._all_queues:  # noqa: SIM110
            if queue.jobs:
                return True
        return False

    def _runner(self, now: float) -> Runner:
        """Who has to act on what waits, where something does."""
        if self._is_loop_due:
            return Runner.NOBODY
        if not self._running and self._is_light():
            self._is_loop_due = True
            return Runner.LOOP
        return Runner.THREAD if self._wants_worker(now) else Runner.NOBODY

    def _wants_worker(self, now: float) -> bool:
        """Whether what waits should run beside the batches that run now."""
        shortest = math.inf
        for batch in self._running:
            shortest = min(shortest, batch.expected_seconds)
        if shortest <= self._policy.divisible_seconds:
            return False
        if len(self._running) < self._worker_limit(shortest, now):
            return True
        return any(queue.depth >= queue.batch_rows for queue in self._all_queues)

    def _is_light(self) -> bool:
        """Whether all that waits is few jobs, and soon done."""
        jobs, seconds = 0, 0.0
        for queue in self._all_queues:
            if queue.jobs:
                jobs += len(queue.jobs)
                seconds += queue.expected_seconds(queue.depth)
        return jobs <= self._policy.loop_jobs and seconds <= self._policy.loop_seconds

    def _least_served(self) -> JobQueue[J] | None:
        """Of the queues with waiting jobs, the one that has had the least device time."""
        least = None
        for queue in self._all_queues:
            if queue.jobs and (least is None or queue.device_seconds < least.device_seconds):
                least = queue
        return least

    def _take(self, now: float) -> Batch[J] | None:
        """The next batch, which runs from now on; None where every job was over or too late."""
        while queue := self._least_served():
            if chunks := queue.take(self._row_limit(queue, now), now):
                self._virtual_time = queue.device_seconds
                rows = sum([chunk.stop - chunk.start for chunk in chunks])
                batch = Batch(chunks[0].job.queue, chunks, rows, queue.expected_seconds(rows))
                self._running.add(batch)
                return batch
        return None

    def _row_limit(self, queue: JobQueue[J], now: float) -> int:
        """Rows to take: a share of what waits, where free workers should run the rest."""
        seconds = queue.expected_seconds(min(queue.depth, queue.batch_rows))
        if seconds <= self._policy.divisible_seconds:
            return queue.batch_rows
        # a worker that delivers its last answers is back at once, so it counts as free
        free = max(1, self._worker_limit(seconds, now) - len(self._running))
        share = max(math.ceil(queue.depth / free), self._policy.divisible_rows)
        return min(queue.batch_rows, share)

    def _worker_limit(self, seconds: float, now: float) -> int:
        """Batches to run at a time, where one takes that many seconds, or infinity if unknown.

        All workers; beside a busy loop, as many as leave it a CPU, unless batches are so short that
        it hardly waits for them.
        """
        if not self._policy.loop_turn_seconds < seconds < math.inf:
            return self._workers
        is_busy = self._loop_share.at(now) > self._policy.busy_loop_share
        return self._workers_beside_loop if is_busy else self._workers
