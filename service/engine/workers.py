"""Many small requests in few runs of a device: the threads that empty a model's queues.

There is no timer. While the device is busy the queues fill; a thread that is free takes what is
there, up to a budget of rows. A request larger than the budget takes turns with the others, a
part at a time. Of two queues that both wait, the one goes next that has had less of the device.

Two things make much of small requests. Where nothing runs, a few that are soon done are run on
the loop: to wake a thread and be woken takes longer. And a busy loop has a CPU to itself until a
full batch waits: runs on every CPU would be small ones, and keep from the loop what comes next.

Rows are checked before they are queued, so a batch that fails is the fault of the device, or of
values that cannot be told beforehand: its requests are then run one by one, and only the guilty
one fails.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeVar

from service.engine.batch import Outcome, outcomes_of
from service.engine.cpus import Runners
from service.engine.scheduler import Job, Part, Queue
from service.errors import BatcherFailedError, DeadlineError
from service.types import Arrays

log = logging.getLogger(__name__)

# Less work than this, in seconds, is done sooner by one thread than shared with a second.
WORTH_A_THREAD = 0.002
# Work that takes no longer than this, in seconds, for no more requests, is done on the loop.
WORTH_A_WAKE, FEW = 0.0005, 4
# Fewer rows than this are not divided between threads.
ROWS_WORTH_DIVIDING = 8

OUT_OF_ORDER = "this model is out of order; the log says why"

T = TypeVar("T")


class Batcher:
    """The queues of one model, and the threads that run what waits in them.

    Args:
        name: of the model, for its threads.
        queues: by the name of their graph.
        threads: runs at a time.
    """

    def __init__(self, name: str, queues: Mapping[str, Queue], threads: int) -> None:
        self._queues = dict(queues)
        self._wake = threading.Condition()
        self._closed = False
        self._loop_will_work = False
        self._failure: BaseException | None = None
        self._running: dict[int, tuple[float, list[Part]]] = {}  # by thread: foreseen seconds
        self._runners = Runners(threads)
        for i in range(threads):
            threading.Thread(target=self._work, name=f"{name}-{i}", daemon=True).start()

    @property
    def healthy(self) -> bool:
        """Whether the threads are alive."""
        return self._failure is None

    async def run(
        self, queue: str, feeds: Arrays, wanted: tuple[str, ...], deadline: float = math.inf
    ) -> Arrays:
        """The wanted outputs of some rows, at least one.

        Args:
            queue: which graph.
            feeds: rows by input name.
            wanted: names of outputs.
            deadline: on `time.monotonic`'s clock.

        Raises:
            OverloadedError: too much is waiting.
            DeadlineError: the deadline passed first.
            InferenceError: the graph failed on these rows.
            BatcherFailedError: this batcher is out of order.
        """
        loop, now = asyncio.get_running_loop(), time.monotonic()
        rows = len(next(iter(feeds.values())))
        job = Job(feeds, wanted, rows, loop.create_future(), now, deadline)
        waits = self._queues[queue]
        with self._wake:
            self._check_in_order()
            self._enter(waits)
            waits.append(job)
            here = self._see_to()
        try:
            if here:
                try:
                    await asyncio.sleep(0)  # what else has come by now is queued in the meantime
                except asyncio.CancelledError:
                    job.future.cancel()
                    raise
                finally:
                    self._work_on_loop(loop)
            if math.isinf(deadline):
                return await job.future
            async with asyncio.timeout(deadline - now):
                return await job.future
        except TimeoutError:
            raise DeadlineError("the deadline passed before there was an answer") from None
        finally:
            if job.answered < rows:
                with self._wake:
                    waits.discard(job)
            del job  # an error would hold this frame, the frame the job, and the job the error

    def close(self) -> None:
        """Take nothing more, and let the threads go once they have finished what waits."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()

    def _check_in_order(self) -> None:
        if self._failure is not None:
            raise BatcherFailedError(OUT_OF_ORDER)
        if self._closed:
            raise BatcherFailedError("this model has been unloaded")

    def _see_to(self) -> bool:
        """Have a thread take what waits, unless somebody is about to; True: the loop has to."""
        if self._loop_will_work:
            return False
        if not self._running and self._is_light():
            self._loop_will_work = True
        elif self._worth_another():
            self._wake.notify()
        return self._loop_will_work

    def _is_light(self) -> bool:
        """Whether all that waits is little, and soon done."""
        waiting = [queue for queue in self._queues.values() if queue.jobs]
        few = sum(len(queue.jobs) for queue in waiting) <= FEW
        return few and sum(queue.seconds(queue.depth) for queue in waiting) <= WORTH_A_WAKE

    def _work_on_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run one queue's jobs here and now, if they are still few and nobody else is at work."""
        try:
            with self._wake:
                self._loop_will_work = False
                taken = None if self._running or not self._is_light() else self._take()
            if taken is not None:
                queue, parts = taken
                _finish(list(zip(parts, self._run(queue, parts), strict=True)))
            with self._wake:
                waiting = any(queue.jobs for queue in self._queues.values())
                if waiting and self._see_to():
                    loop.call_soon(self._work_on_loop, loop)
        except BaseException as failure:
            self._fail(failure)

    def _enter(self, queue: Queue) -> None:
        """Let a queue that was empty claim nothing for the time it had no use for the device."""
        if not queue.jobs:
            others = [q.used for q in self._queues.values() if q.jobs]
            queue.used = max(queue.used, min(others, default=queue.used))

    def _worth_another(self) -> bool:
        """Whether a thread without work should see to the queues beside those that run."""
        shortest = min((seconds for seconds, _ in self._running.values()), default=math.inf)
        if shortest <= WORTH_A_THREAD:
            return False
        if len(self._running) < self._runners(shortest):
            return True
        return any(queue.depth >= queue.batch_rows for queue in self._queues.values())

    def _work(self) -> None:
        try:
            while taken := self._next():
                queue, parts = taken
                _deliver(parts, self._run(queue, parts))
        except BaseException as failure:
            self._fail(failure)

    def _take(self) -> tuple[Queue, list[Part]] | None:
        """The next batch, which this thread will run; None where all who waited have left."""
        while waiting := [queue for queue in self._queues.values() if queue.jobs]:
            queue = min(waiting, key=lambda queue: queue.used)
            if parts := queue.take(self._limit(queue), time.monotonic()):
                rows = sum(part.stop - part.start for part in parts)
                self._running[threading.get_ident()] = (queue.seconds(rows), parts)
                return queue, parts
        return None

    def _run(self, queue: Queue, parts: list[Part]) -> list[Outcome]:
        started = time.perf_counter()
        outcomes = outcomes_of(queue, parts)
        seconds = time.perf_counter() - started
        with self._wake:
            queue.measured(sum(part.stop - part.start for part in parts), seconds)
            del self._running[threading.get_ident()]
        return outcomes

    def _next(self) -> tuple[Queue, list[Part]] | None:
        """Wait for work and take it; None at the end."""
        with self._wake:
            while self._failure is None:
                waiting = any(queue.jobs for queue in self._queues.values())
                if waiting and self._worth_another():
                    if taken := self._take():
                        break
                    continue  # all of them had left
                if self._closed and not waiting:
                    self._wake.notify_all()  # others may wait for what this thread has taken
                    return None
                self._wake.wait()
            else:
                return None
            more = any(queue.jobs for queue in self._queues.values())
            if more and self._worth_another():
                self._wake.notify()
            return taken

    def _limit(self, queue: Queue) -> int:
        """Rows to take: a share of what waits, where that is worth the other threads' while."""
        seconds = queue.seconds(min(queue.depth, queue.batch_rows))
        if seconds <= WORTH_A_THREAD:
            return queue.batch_rows
        # a thread that hands over its last answers is back in no time, so it counts as free
        free = max(1, self._runners(seconds) - len(self._running))
        return min(queue.batch_rows, max(math.ceil(queue.depth / free), ROWS_WORTH_DIVIDING))

    def _fail(self, failure: BaseException) -> None:
        """Answer every request that waits or runs, and take no more."""
        log.critical("a batcher has failed", exc_info=failure)
        with self._wake:
            self._failure = failure
            left = [job for queue in self._queues.values() for job in queue.jobs]
            left += [part.job for _, parts in self._running.values() for part in parts]
            for queue in self._queues.values():
                queue.jobs.clear()
                queue.depth = 0
            self._wake.notify_all()
        for job in left:
            _on_loop(job, job.fail, BatcherFailedError(OUT_OF_ORDER))


def _deliver(parts: list[Part], outcomes: list[Outcome]) -> None:
    """Hand outcomes to the loop that waits for them, all at once."""
    _on_loop(parts[0].job, _finish, list(zip(parts, outcomes, strict=True)))


def _finish(answers: list[tuple[Part, Outcome]]) -> None:
    for part, outcome in answers:
        if isinstance(outcome, Exception):
            part.job.fail(outcome)
        else:
            part.job.collect(part.start, outcome)


def _on_loop(job: Job, call: Callable[[T], None], argument: T) -> None:
    # a loop that has been closed has nobody waiting
    with suppress(RuntimeError):
        job.future.get_loop().call_soon_threadsafe(call, argument)
