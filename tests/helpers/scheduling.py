"""A scheduler with jobs of nothing but rows, driven by a clock that the test moves."""

import math
from dataclasses import dataclass, field

from service.engine.policy import SchedulerPolicy
from service.engine.queue import Job, JobQueue
from service.engine.scheduler import Batch, Scheduler

POLICY = SchedulerPolicy()


@dataclass(slots=True, eq=False)
class FakeJob(Job):
    """A job whose caller leaves when the test says so."""

    served: list[tuple[int, int]] = field(default_factory=list)
    has_left: bool = False

    @property
    def is_over(self) -> bool:
        return self.has_left or self.is_served

    @property
    def is_served(self) -> bool:
        return sum(stop - start for start, stop in self.served) == self.rows


class Silence:
    """An observer that forgets."""

    def batch(self, rows: int, seconds: float) -> None: ...

    def waited(self, seconds: float) -> None: ...


def job(rows: int, queue: str = "a", queued: float = 0.0, deadline: float = math.inf) -> FakeJob:
    return FakeJob(queue, rows, queued, deadline)


class LoopClock:
    """CPU seconds of a loop."""

    def __init__(self) -> None:
        self.used = 0.0

    def __call__(self) -> float:
        return self.used


def scheduler(
    *names: str,
    batch_rows: int = 8,
    queue_rows: int = 10_000,
    workers: int = 1,
    cpus: int = 8,
    loop: LoopClock | None = None,
    policy: SchedulerPolicy = POLICY,
) -> Scheduler[FakeJob]:
    """A scheduler of queues of these names, or of one called a."""
    queues: dict[str, JobQueue[FakeJob]] = {
        name: JobQueue(Silence(), batch_rows, queue_rows, policy.speed_smoothing)
        for name in names or ("a",)
    }
    return Scheduler(queues, workers, cpus, loop, policy)


def end(scheduler: Scheduler[FakeJob], batch: Batch[FakeJob], seconds: float) -> None:
    """A batch has run for that many seconds."""
    for chunk in batch.chunks:
        chunk.job.served.append((chunk.start, chunk.stop))
    scheduler.finished(batch, seconds)


def learn(scheduler: Scheduler[FakeJob], seconds: float, *sizes: int, queue: str = "a") -> None:
    """Let batches of some sizes run, each for that many seconds, so that their time is known."""
    for rows in sizes:
        scheduler.submit(job(rows, queue), 0.0)
        batch = scheduler.next_batch_on_loop(0.0) or scheduler.next_batch(0.0)
        assert batch is not None
        assert batch.rows == rows
        end(scheduler, batch, seconds)
