"""What the scheduler decides: fairness, turns, who runs, and its end."""

import itertools
import math
import random
from contextlib import suppress

import pytest

from service.engine.policy import SchedulerPolicy
from service.engine.scheduler import Runner
from service.errors import OutOfOrderError, OverloadedError
from tests.helpers.scheduling import POLICY, FakeJob, LoopClock, end, job, learn, scheduler

LONG = 2 * POLICY.loop_turn_seconds


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_device_times_of_two_busy_queues_differ_by_a_batch_of_each_worker(
    workers: int, seed: int
) -> None:
    dice = random.Random(seed)
    costs = {"a": dice.uniform(0.001, 0.1), "b": dice.uniform(0.001, 0.1)}
    one = scheduler("a", "b", batch_rows=4, workers=workers)
    running: list[tuple[float, int]] = []
    batches = {}
    now, longest, number = 0.0, 0.0, itertools.count()
    for _ in range(500):
        for name in costs:
            for _ in range(4 * workers):
                if len(one.queues[name].jobs) < 4 * workers:
                    one.submit(job(4, name, now), now)
        while len(running) < workers and (batch := one.next_batch(now)):
            seconds = costs[batch.queue] * dice.uniform(0.5, 1.5)
            longest = max(longest, seconds)
            running.append((now + seconds, key := next(number)))
            batches[key] = batch, seconds
        running.sort()
        now, key = running.pop(0)
        end(one, *batches.pop(key))
        used = [queue.device_seconds for queue in one.queues.values()]
        assert abs(used[0] - used[1]) <= workers * longest + 1e-9
    assert min(used) > 10 * longest  # both have been served, again and again


@pytest.mark.parametrize("busy", ["waits", "runs", "pauses"])
def test_a_queue_that_was_idle_has_earned_no_credit(busy: str) -> None:
    """Whatever the other one is doing when it fills."""
    one = scheduler("a", "b", batch_rows=1)
    for _ in range(100):  # for a minute and more the device is a's alone
        one.submit(job(1, "a"), 0.0)
        batch = one.next_batch(0.0)
        assert batch is not None
        end(one, batch, 1.0)
    running = None
    if busy != "pauses":
        one.submit(job(1, "a"), 0.0)
    if busy == "runs":
        running = one.next_batch(0.0)
    for _ in range(20):
        one.submit(job(1, "b"), 0.0)
    for _ in range(20):
        one.submit(job(1, "a"), 0.0)
    if running is not None:
        end(one, running, 1.0)
    served = []
    for _ in range(20):
        batch = one.next_batch(0.0)
        assert batch is not None
        served.append(batch.queue)
        end(one, batch, 1.0)
    assert served.count("a") in (9, 10, 11)


def test_a_large_job_never_runs_twice_in_a_row_while_another_waits() -> None:
    one = scheduler(batch_rows=4)
    large = job(40)
    one.submit(large, 0.0)
    small = [job(1 + i % 4) for i in range(9)]
    for each in small:
        one.submit(each, 0.0)
    before: set[FakeJob] = set()
    while others := {*one.queues["a"].jobs} - {large}:
        batch = one.next_batch(0.0)
        assert batch is not None
        now = {chunk.job for chunk in batch.chunks}
        assert others & now or before != {large}
        end(one, batch, 0.01)
        before = now
    while batch := one.next_batch(0.0):
        end(one, batch, 0.01)
    assert large.is_served


def test_a_small_job_waits_for_one_batch_of_each_large_one() -> None:
    one = scheduler(batch_rows=4)
    for _ in range(3):
        one.submit(job(400), 0.0)
    one.submit(small := job(2), 0.0)
    for _ in range(3):
        batch = one.next_batch(0.0)
        assert batch is not None
        end(one, batch, 0.01)
    assert not small.served
    batch = one.next_batch(0.0)
    assert batch is not None
    assert batch.chunks[0].job is small


def test_a_full_queue_says_when_it_should_be_done() -> None:
    one = scheduler(batch_rows=4, queue_rows=40)
    learn(one, 2.0, 4)  # two rows a second
    for rows in [4] * 9 + [1] * 4:
        one.submit(job(rows), 0.0)
    with pytest.raises(OverloadedError, match="40 rows are waiting, and at most 40 may") as full:
        one.submit(job(1), 0.0)
    assert full.value.retry_after == 20


def test_a_large_job_counts_as_its_next_batch() -> None:
    one = scheduler(batch_rows=4, queue_rows=8)
    one.submit(job(1000), 0.0)
    one.submit(job(2), 0.0)
    assert one.queues["a"].depth == 6
    with pytest.raises(OverloadedError):
        one.submit(job(1000), 0.0)


@pytest.mark.parametrize("rows", [2, 16, 1000])
def test_large_jobs_leave_room_for_small_ones(rows: int) -> None:
    one = scheduler(batch_rows=16, queue_rows=64)
    with suppress(OverloadedError):
        for _ in range(100):
            one.submit(job(rows), 0.0)
    assert one.queues["a"].depth > 64 - 2 * 16
    one.submit(job(1), 0.0)


def test_what_is_over_or_too_late_never_reaches_the_device() -> None:
    one = scheduler()
    left, late, last = job(1), job(1, deadline=5.0), job(1)
    for each in (left, late, last):
        one.submit(each, 0.0)
    left.has_left = True
    batch = one.next_batch(5.0)
    assert batch is not None
    assert [chunk.job for chunk in batch.chunks] == [last]
    assert one.queues["a"].depth == 0


def test_few_and_short_jobs_run_on_the_loop_and_nowhere_else() -> None:
    one = scheduler(workers=2)
    assert one.submit(job(1), 0.0) is Runner.THREAD  # nothing is known of its time
    batch = one.next_batch(0.0)
    assert batch is not None
    assert one.submit(job(1), 0.0) is Runner.THREAD
    end(one, batch, POLICY.loop_seconds / 2)
    batch = one.next_batch(0.0)
    assert batch is not None
    end(one, batch, POLICY.loop_seconds / 2)
    assert one.submit(job(1), 0.0) is Runner.LOOP
    assert one.submit(job(2), 0.0) is Runner.NOBODY  # the loop is about to look
    assert one.next_batch_on_loop(0.0) is None  # nothing is known of three rows' time
    assert one.runner(0.0) is Runner.THREAD


def test_a_burst_does_not_run_on_the_loop() -> None:
    one = scheduler()
    learn(one, 1e-6, *range(1, 9))
    runners = [one.submit(job(1), 0.0) for _ in range(POLICY.loop_jobs + 1)]
    assert runners == [Runner.LOOP] + [Runner.NOBODY] * POLICY.loop_jobs
    assert one.next_batch_on_loop(0.0) is None
    assert one.runner(0.0) is Runner.THREAD


def test_no_second_worker_for_what_is_soon_done() -> None:
    one = scheduler(workers=2, batch_rows=4)
    learn(one, 0.9 * POLICY.divisible_seconds, 1, 2, 4)
    for _ in range(8):
        one.submit(job(1), 0.0)
    assert one.next_batch(0.0) is not None
    assert one.next_batch(0.0) is None


def test_free_workers_share_what_waits() -> None:
    one = scheduler(workers=2, batch_rows=64)
    one.submit(job(64), 0.0)
    assert [batch.rows for batch in iter(lambda: one.next_batch(0.0), None)] == [32, 32]
    small = scheduler(workers=2, batch_rows=64)
    small.submit(job(POLICY.divisible_rows), 0.0)
    assert [batch.rows for batch in iter(lambda: small.next_batch(0.0), None)] == [
        POLICY.divisible_rows
    ]


@pytest.mark.parametrize(
    ("cpus", "workers", "beside"), [(2, 2, 1), (1, 1, 1), (4, 4, 3), (8, 2, 2), (2, 4, 1)]
)
@pytest.mark.parametrize("share", [0.9, 1.1])
@pytest.mark.parametrize("seconds", [LONG, POLICY.loop_turn_seconds / 1.5])
def test_a_busy_loop_has_a_cpu_to_itself(
    cpus: int, workers: int, beside: int, share: float, seconds: float
) -> None:
    """Unless a full batch waits, or batches are as short as the loop's turn."""
    loop = LoopClock()
    one = scheduler(workers=workers, cpus=cpus, loop=loop, batch_rows=64)
    learn(one, seconds, 1, *[POLICY.divisible_rows] * 2)
    one.next_batch(100.0)
    now = 100.0 + 2 * POLICY.loop_share_window
    one.submit(job(1), 100.0)
    one.next_batch(100.0)
    loop.used += 2 * POLICY.loop_share_window * share * POLICY.busy_loop_share
    runs = 1
    for _ in range(workers):
        one.submit(job(1), now)
        runs += one.next_batch(now) is not None
    is_busy = share > 1 and seconds == LONG
    assert runs == (beside if is_busy else workers)
    for _ in range(64 - one.queues["a"].depth):
        one.submit(job(1), now)
    assert one.next_batch(now) is not None  # a full batch waits


def test_the_loops_share_is_taken_over_a_window() -> None:
    loop = LoopClock()
    one = scheduler(workers=2, cpus=2, loop=loop, policy=SchedulerPolicy())
    learn(one, LONG, 1)
    one.submit(job(1), 100.0)
    assert one.next_batch(100.0) is not None
    one.submit(job(1), 100.0)
    loop.used += 1.0
    assert one.wants_worker(100.0 + POLICY.loop_share_window / 2)
    assert not one.wants_worker(100.0 + POLICY.loop_share_window)


def test_closing_lets_what_waits_run_and_takes_no_more() -> None:
    one = scheduler(batch_rows=1)
    jobs = [job(1), job(1)]
    for each in jobs:
        one.submit(each, 0.0)
    one.close()
    with pytest.raises(OutOfOrderError, match="unloaded"):
        one.submit(job(1), 0.0)
    while batch := one.next_batch(0.0):
        assert not one.is_finished
        end(one, batch, 0.1)
    assert one.is_finished
    assert all(each.is_served for each in jobs)


def test_a_failure_names_every_job_that_waits_or_runs_once() -> None:
    one = scheduler("a", "b", batch_rows=2)
    jobs = [job(5), job(1), job(1, "b")]
    for each in jobs:
        one.submit(each, 0.0)
    batch = one.next_batch(0.0)
    assert batch is not None
    assert set(failed := one.fail_all()) == set(jobs)
    assert len(failed) == 3
    one.finished(batch, 0.1)  # a thread that knows nothing of the failure yet
    assert [queue.depth for queue in one.queues.values()] == [0, 0]
    assert one.next_batch(0.0) is None
    with pytest.raises(OutOfOrderError, match="the log says why"):
        one.submit(job(1), 0.0)


def test_nothing_is_known_before_the_first_batch() -> None:
    assert scheduler().queues["a"].expected_seconds(1) == math.inf
