"""Laws of the scheduler in every order of events: nothing lost, nothing twice, in its turn."""

import math
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from service.engine.scheduler import Batch, Runner
from service.errors import OverloadedError
from tests.helpers.examples import examples
from tests.helpers.scheduling import FakeJob, end, job, scheduler

SECONDS = st.sampled_from([0.0001, 0.001, 0.01, 0.1])


class Engine(RuleBasedStateMachine):
    """Threads and a loop that do what the scheduler says and nothing else."""

    @initialize(
        batch_rows=st.integers(1, 9), queue_rows=st.integers(10, 40), workers=st.integers(1, 3)
    )
    def start(self, batch_rows: int, queue_rows: int, workers: int) -> None:
        self.batch_rows, self.queue_rows, self.workers = batch_rows, queue_rows, workers
        self.scheduler = scheduler(
            "a", "b", batch_rows=batch_rows, queue_rows=queue_rows, workers=workers
        )
        self.now = 0.0
        self.jobs: list[FakeJob] = []
        self.running: list[Batch[FakeJob]] = []
        self.sleeping = workers
        self.woken = 0
        self.is_loop_due = False
        self.begun: dict[str, list[FakeJob]] = {"a": [], "b": []}

    @rule(queue=st.sampled_from("ab"), rows=st.integers(1, 30), patience=st.none() | SECONDS)
    def submit(self, queue: str, rows: int, patience: float | None) -> None:
        deadline = math.inf if patience is None else self.now + patience
        new = job(rows, queue, self.now, deadline)
        waits, depth = self.scheduler.queues[queue], self.scheduler.queues[queue].depth
        turn = min(rows, self.batch_rows)
        fits = not waits.jobs or depth + 2 * turn - 1 <= self.queue_rows
        if fits:
            self.jobs.append(new)
            self.obey(self.scheduler.submit(new, self.now))
        else:
            with pytest.raises(OverloadedError) as full:
                self.scheduler.submit(new, self.now)
            assert full.value.retry_after >= 1
            assert waits.depth == depth

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(data=st.data(), is_known=st.booleans())
    def leave(self, data: st.DataObject, is_known: bool) -> None:
        """A caller leaves; the scheduler may hear of it at once, or find out."""
        if self.jobs:
            leaving = data.draw(st.sampled_from(self.jobs))
            leaving.has_left = True
            if is_known:
                self.scheduler.discard(leaving)

    @precondition(lambda self: self.is_loop_due)
    @rule(seconds=SECONDS)
    def turn_of_the_loop(self, seconds: float) -> None:
        self.is_loop_due = False
        if batch := self.scheduler.next_batch_on_loop(self.now):
            assert not self.running
            self.check(batch)
            end(self.scheduler, batch, seconds)
        self.obey(self.scheduler.runner(self.now))

    @precondition(lambda self: self.woken)
    @rule()
    def a_thread_wakes(self) -> None:
        self.woken -= 1
        self.take()

    @precondition(lambda self: self.running)
    @rule(data=st.data(), seconds=SECONDS)
    def a_batch_ends(self, data: st.DataObject, seconds: float) -> None:
        batch = data.draw(st.sampled_from(self.running))
        self.running.remove(batch)
        end(self.scheduler, batch, seconds)
        self.take()

    def take(self) -> None:
        """What a thread does that is free."""
        if batch := self.scheduler.next_batch(self.now):
            self.check(batch)
            self.running.append(batch)
            if self.scheduler.wants_worker(self.now):
                self.wake()
        else:
            self.sleeping += 1

    def obey(self, runner: Runner) -> None:
        if runner is Runner.LOOP:
            assert not self.is_loop_due
            self.is_loop_due = True
        elif runner is Runner.THREAD:
            self.wake()

    def wake(self) -> None:
        if self.sleeping:
            self.sleeping -= 1
            self.woken += 1

    def check(self, batch: Batch[FakeJob]) -> None:
        """A batch is of one queue, within bounds, of callers that still want their answers."""
        assert 1 <= batch.rows <= self.batch_rows
        assert batch.rows == sum(chunk.stop - chunk.start for chunk in batch.chunks)
        for chunk in batch.chunks:
            one = chunk.job
            assert one.queue == batch.queue
            assert not one.has_left
            assert one.deadline > self.now
            running = [c for b in self.running for c in b.chunks if c.job is one]
            done = sum(stop - start for start, stop in one.served)
            assert chunk.start == done + sum(c.stop - c.start for c in running)  # once, in order
            if chunk.start == 0:
                self.begun[batch.queue].append(one)

    @invariant()
    def depth_is_the_sum_of_turns(self) -> None:
        for queue in self.scheduler.queues.values():
            turns = [min(one.rows - one.taken, self.batch_rows) for one in queue.jobs]
            assert queue.depth == sum(turns)
            assert len(turns) <= 1 or queue.depth <= self.queue_rows + self.batch_rows

    @invariant()
    def no_worker_is_wanted_for_nothing(self) -> None:
        waits = any(queue.jobs for queue in self.scheduler.queues.values())
        assert waits or not self.scheduler.wants_worker(self.now)

    @invariant()
    def jobs_begin_in_the_order_of_their_submission(self) -> None:
        for begun in self.begun.values():
            assert begun == sorted(begun, key=self.jobs.index)

    @invariant()
    def no_more_run_than_there_are_workers(self) -> None:
        assert len(self.running) + self.sleeping + self.woken == self.workers

    def teardown(self) -> None:
        """Left alone, threads and loop finish everything that is still wanted."""
        if not hasattr(self, "jobs"):
            return
        steps = 0
        while self.running or self.woken or self.is_loop_due:
            steps += 1
            assert steps < 10_000
            if self.is_loop_due:
                self.turn_of_the_loop(0.001)
            elif self.woken:
                self.a_thread_wakes()
            else:
                end(self.scheduler, self.running.pop(0), 0.001)
                self.take()
        assert not any(queue.jobs for queue in self.scheduler.queues.values())
        for one in self.jobs:
            assert one.is_served or one.has_left or one.deadline <= self.now


Engine.TestCase.settings = settings(examples(60), stateful_step_count=30)
test_laws_hold_in_every_order_of_events: Any = Engine.TestCase
