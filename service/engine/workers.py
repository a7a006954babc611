"""The lock, the threads and the runs on the event loop that carry out what a scheduler decides."""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeVar

from service.engine.batch import AwaitedJob, BatchFunction, Outcome, outcomes_of
from service.engine.queue import Chunk
from service.engine.scheduler import OUT_OF_ORDER, Batch, Runner, Scheduler
from service.errors import DeadlineError, OutOfOrderError
from service.telemetry import QUEUE, RUN, RequestRecord, current
from service.types import Arrays

log = logging.getLogger(__name__)

T = TypeVar("T")

Answers = list[tuple[Chunk[AwaitedJob], Outcome]]


class Workers:
    """The threads of one model.

    Args:
        name: of the model, for its threads.
        scheduler: decides; nobody else uses it.
        functions: what computes a batch, by the name of its queue.
        threads: how many.
        on_end: called once, in the last thread, when it ends.
    """

    def __init__(
        self,
        name: str,
        scheduler: Scheduler[AwaitedJob],
        functions: Mapping[str, BatchFunction],
        threads: int,
        on_end: Callable[[], None],
    ) -> None:
        self._scheduler = scheduler
        self._functions = functions
        self._on_end = on_end
        self._alive = threads
        # guards the scheduler; to enter the condition in its place takes twice as long
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        for i in range(threads):
            threading.Thread(target=self._work, name=f"{name}-{i}", daemon=True).start()

    @property
    def healthy(self) -> bool:
        """Whether requests are still answered."""
        return not self._scheduler.has_failed

    async def run(
        self, queue: str, feeds: Arrays, output_names: tuple[str, ...], deadline: float = math.inf
    ) -> Arrays:
        """Outputs of some rows, at least one, by name.

        Args:
            queue: name of the graph.
            feeds: rows by input name.
            output_names: of the outputs.
            deadline: in seconds, on `time.monotonic`'s clock.

        Raises:
            OverloadedError: too much is waiting.
            DeadlineError: the deadline passed first.
            InferenceError: the graph failed on these rows.
            OutOfOrderError: the model has been unloaded, or its threads have failed.
        """
        loop, now = asyncio.get_running_loop(), time.monotonic()
        rows = len(next(iter(feeds.values())))
        job = AwaitedJob(queue, rows, now, deadline, feeds, output_names, loop.create_future())
        with self._lock:
            runner = self._scheduler.submit(job, now)
            if runner is Runner.THREAD:
                self._changed.notify()
        try:
            if runner is Runner.LOOP:
                try:
                    await asyncio.sleep(0)  # what else has come by now is queued in the meantime
                except asyncio.CancelledError:
                    job.future.cancel()
                    raise
                finally:
                    self._run_on_loop(loop)
            if math.isinf(deadline):
                return await job.future
            async with asyncio.timeout(deadline - now):
                return await job.future
        except TimeoutError:
            pass
        finally:
            if job.answered < rows:
                with self._lock:
                    self._scheduler.discard(job)
            if (record := current()) is not None:
                _note(record, job)
            del job  # an error would hold this frame, the frame the job, and the job the error
        raise DeadlineError("the deadline passed before there was an answer")

    def close(self) -> None:
        """Take nothing more, and let the threads end once they have finished what waits."""
        with self._lock:
            self._scheduler.close()
            self._changed.notify_all()

    def _run_on_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run one batch here and now, if the scheduler still wants that."""
        try:
            with self._lock:
                batch = self._scheduler.next_batch_on_loop(time.monotonic())
            if batch is not None:
                _give(self._run(batch))
            with self._lock:
                runner = self._scheduler.runner(time.monotonic())
                if runner is Runner.THREAD:
                    self._changed.notify()
            if runner is Runner.LOOP:
                loop.call_soon(self._run_on_loop, loop)
        except BaseException as failure:
            self._fail(failure)

    def _work(self) -> None:
        try:
            while batch := self._next():
                job = batch.chunks[0].job
                # all at once to the loop that waits for them
                _call_on_loop(job, _give, self._run(batch))
                del job, batch
        except BaseException as failure:
            self._fail(failure)
        with self._lock:
            self._alive -= 1
            is_last = self._alive == 0
        if is_last:
            self._on_end()

    def _next(self) -> Batch[AwaitedJob] | None:
        """Wait for a batch and take it; None at the end."""
        with self._lock:
            while not self._scheduler.has_failed:
                now = time.monotonic()
                if batch := self._scheduler.next_batch(now):
                    if self._scheduler.wants_worker(now):
                        self._changed.notify()
                    return batch
                if self._scheduler.is_finished:
                    self._changed.notify_all()  # to the threads that waited for this to be so
                    return None
                self._changed.wait()
            return None

    def _run(self, batch: Batch[AwaitedJob]) -> Answers:
        started = time.perf_counter()
        outcomes = outcomes_of(self._functions[batch.queue], batch.chunks)
        seconds = time.perf_counter() - started
        with self._lock:
            self._scheduler.finished(batch, seconds)
            if self._scheduler.is_finished:
                self._changed.notify_all()
        return list(zip(batch.chunks, outcomes, strict=True))

    def _fail(self, failure: BaseException) -> None:
        """Answer every request that waits or runs, and take no more."""
        log.critical("the threads of a model have failed", exc_info=failure)
        with self._lock:
            jobs = self._scheduler.fail_all()
            self._changed.notify_all()
        for job in jobs:
            _call_on_loop(job, job.fail, OutOfOrderError(OUT_OF_ORDER))


def _note(record: RequestRecord, job: AwaitedJob) -> None:
    """Tell a request how long its rows waited, and how long they were on the device."""
    now = time.monotonic()
    started = job.started or now
    record.spent(QUEUE, job.queued, started)
    record.spent(RUN, started, now)


def _give(answers: Answers) -> None:
    """End jobs with their outcomes; to be called on their loop."""
    for chunk, outcome in answers:
        if isinstance(outcome, Exception):
            chunk.job.fail(outcome)
        else:
            chunk.job.collect(chunk.start, outcome)


def _call_on_loop(job: AwaitedJob, call: Callable[[T], None], argument: T) -> None:
    # a loop that has been closed has nobody waiting
    with suppress(RuntimeError):
        job.future.get_loop().call_soon_threadsafe(call, argument)
