"""A test for each fault that workers have had: see `service.engine.workers`."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Sequence

import numpy as np
import pytest

from service.errors import (
    DeadlineError,
    InferenceError,
    OutOfOrderError,
    OverloadedError,
)
from service.types import Arrays
from tests.helpers.batching import PATIENT_LOOP, Double, Make, held, make, queued, rows, run

__all__ = ["make"]


def test_a_poisoned_request_fails_alone(make: Make) -> None:
    graph = Double()
    workers = make(graph, batch_rows=64)

    async def work() -> list[Arrays | BaseException]:
        first = await held(workers, graph)
        tasks = await queued(workers, *(rows(i) for i in range(16)), rows(-1), rows(99))
        graph.open.set()
        await first
        return await asyncio.gather(*tasks, return_exceptions=True)

    *good, bad, last = run(work)
    assert [answer["y"][0, 0] for answer in good] == [2 * i for i in range(16)]
    assert last["y"][0, 0] == 198
    assert isinstance(bad, InferenceError)
    assert "minus one" in bad.detail


def test_what_has_failed_or_come_too_late_leaves_no_rows_behind(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "service.engine.batch.log.exception", lambda _: None
    )  # pytest keeps records
    workers = make(Double())
    left: list[weakref.ref[np.ndarray]] = []

    def passing(feeds: Arrays) -> Arrays:
        left.append(weakref.ref(feeds["x"]))
        return feeds

    async def work() -> None:
        with pytest.raises(InferenceError):
            await workers.run("graph", passing(rows(-1)), ("y",))
        with pytest.raises(DeadlineError):
            await workers.run("graph", passing(rows(1)), ("y",), time.monotonic())
        await workers.run("graph", rows(2), ("y",))  # a thread keeps what it ran last

    gc.disable()
    try:
        run(work)
        assert [there() for there in left] == [None, None]
    finally:
        gc.enable()


def test_a_graph_that_loses_rows_answers_nobody_with_anothers(make: Make) -> None:
    def loses(feeds: Arrays, output_names: Sequence[str]) -> Arrays:
        return {"y": feeds["x"][: max(1, len(feeds["x"]) - 1)]}

    workers = make(loses)

    async def work() -> list[Arrays | BaseException]:
        return await asyncio.gather(
            *(workers.run("graph", rows(i, i), ("y",)) for i in range(5)), return_exceptions=True
        )

    for answer in run(work):
        assert isinstance(answer, InferenceError)
        assert "1 rows came of 2" in answer.detail


def test_callers_that_leave_are_not_run_and_harm_nobody(make: Make) -> None:
    graph = Double()
    workers = make(graph)

    async def work() -> None:
        first = await held(workers, graph)
        leaves, stays = await queued(workers, rows(1), rows(2))
        leaves.cancel()
        await asyncio.sleep(0)
        graph.open.set()
        assert (await stays)["y"][0, 0] == 4
        await first
        # and one that leaves during its run
        running = await held(workers, graph)
        running.cancel()
        await asyncio.sleep(0)
        graph.open.set()
        assert (await workers.run("graph", rows(5), ("y",)))["y"][0, 0] == 10

    run(work)
    assert graph.seen == [[0], [2], [0], [5]]
    assert workers.healthy


def test_a_deadline_is_kept_while_the_device_is_busy(make: Make) -> None:
    graph = Double()
    workers = make(graph)

    async def work() -> None:
        first = await held(workers, graph)
        (late,) = await queued(workers, rows(1), deadline=time.monotonic() + 0.05)
        with pytest.raises(DeadlineError):
            await late
        assert not first.done()  # the answer did not wait for the device
        graph.open.set()
        await first
        assert (await workers.run("graph", rows(2), ("y",), time.monotonic() + 10))["y"] == 4
        with pytest.raises(DeadlineError):
            await workers.run("graph", rows(3), ("y",), time.monotonic() - 1)

    run(work)
    assert graph.seen == [[0], [2]]


def test_the_queue_is_bounded_in_rows(make: Make) -> None:
    graph = Double()
    workers = make(graph, batch_rows=4, queue_rows=8)

    async def work() -> None:
        first = await held(workers, graph)
        # a large one counts as its next batch, and one that finds nothing waiting is let in
        tasks = await queued(workers, rows(*range(100)), rows(1, 2), rows(3), rows(4))
        with pytest.raises(OverloadedError, match="8 rows are waiting, and at most 8 may") as full:
            await workers.run("graph", rows(5), ("y",))
        assert int(full.value.headers["Retry-After"]) >= 1
        tasks[1].cancel()
        await asyncio.sleep(0)
        tasks += await queued(workers, rows(6))  # there is room again
        graph.open.set()
        await asyncio.gather(first, tasks[0], *tasks[2:])

    run(work)


def test_retry_after_is_what_waits_by_the_measured_rate(make: Make) -> None:
    graph = Double(seconds=0.5)
    workers = make(graph, batch_rows=1, queue_rows=4)

    async def work() -> None:
        await workers.run("graph", rows(0), ("y",))
        graph.seconds = 0
        first = await held(workers, graph)
        tasks = await queued(workers, *(rows(i) for i in range(4)))
        with pytest.raises(OverloadedError) as full:
            await workers.run("graph", rows(5), ("y",))
        assert full.value.headers["Retry-After"] in ("2", "3")
        graph.open.set()
        await asyncio.gather(first, *tasks)

    run(work)


def test_a_crash_answers_everyone_and_is_known(make: Make) -> None:
    class Crash(BaseException):
        pass

    graph = Double()
    workers = make(graph)

    def crash(feeds: Arrays, output_names: Sequence[str]) -> Arrays:
        graph.entered.set()
        assert graph.open.wait(10)
        raise Crash

    crashing = make(crash)

    async def work() -> None:
        first = await held(crashing, graph)
        tasks = await queued(crashing, rows(1), rows(2))
        graph.open.set()
        for task in (first, *tasks):
            with pytest.raises(OutOfOrderError):
                await task
        with pytest.raises(OutOfOrderError):
            await crashing.run("graph", rows(3), ("y",))

    run(work)
    assert not crashing.healthy
    assert workers.healthy


def test_a_crash_on_the_loop_is_known_too(make: Make) -> None:
    seen: list[int] = []

    def crash(feeds: Arrays, output_names: Sequence[str]) -> Arrays:
        seen.append(threading.get_ident())
        if len(seen) > 1:
            raise GeneratorExit
        return {"y": feeds["x"]}

    workers = make(crash, policy=PATIENT_LOOP)

    async def work() -> None:
        await workers.run("graph", rows(1), ("y",))
        await asyncio.sleep(0.02)  # the thread has gone back to wait
        for _ in range(2):
            with pytest.raises(OutOfOrderError):
                await workers.run("graph", rows(1), ("y",))

    run(work)
    assert seen[1:] == [threading.get_ident()]
    assert not workers.healthy


def test_closing_finishes_what_waits(make: Make) -> None:
    graph = Double()
    workers = make(graph, batch_rows=1)

    async def work() -> None:
        first = await held(workers, graph)
        tasks = await queued(workers, rows(1), rows(2))
        closing = asyncio.ensure_future(asyncio.to_thread(workers.close))
        await asyncio.sleep(0.05)
        with pytest.raises(OutOfOrderError, match="unloaded"):
            await workers.run("graph", rows(3), ("y",))
        graph.open.set()
        await asyncio.gather(first, *tasks, closing)

    run(work)


def test_closing_lets_every_thread_go(make: Make) -> None:
    graph = Double()
    workers = make(graph, threads=2)
    mine = [thread for thread in threading.enumerate() if thread.name.startswith("test-")]

    async def work() -> None:
        await workers.run("graph", rows(1), ("y",))  # it is known to take a moment
        first = await held(workers, graph)
        tasks = await queued(workers, rows(2))  # which the thread that runs will see to
        workers.close()
        await asyncio.sleep(0.05)
        graph.open.set()
        await asyncio.gather(first, *tasks)

    run(work)
    for thread in mine:
        thread.join(5)
        assert not thread.is_alive()
