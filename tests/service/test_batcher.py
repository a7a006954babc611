"""The batcher with graphs of numpy: a test for each fault that such batchers have had."""

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.arrays import Arrays
from service.batcher import WORTH_A_WAKE, Batcher
from service.errors import (
    BatcherFailedError,
    DeadlineError,
    InferenceError,
    OverloadedError,
)
from service.queue import Graph, Queue


class Recorder:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.waits: list[float] = []

    def batch(self, rows: int, seconds: float) -> None:
        self.batches.append(rows)

    def waited(self, seconds: float) -> None:
        self.waits.append(seconds)


class Double:
    """A graph that doubles x; it can be held, be slow, and fail on a number.

    It takes too long to be run on the loop, which it would block while it is held.
    """

    def __init__(self, seconds: float = 2 * WORTH_A_WAKE) -> None:
        self.seconds = seconds
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.seen: list[list[float]] = []

    def __call__(self, feeds: Arrays, wanted: Sequence[str]) -> Arrays:
        x = feeds["x"]
        self.seen.append(x[:, 0].tolist())
        self.entered.set()
        assert self.open.wait(10)
        time.sleep(self.seconds)
        if (x == -1).any():
            raise RuntimeError("minus one")
        return {name: {"y": 2 * x, "first": x[:, 0]}[name] for name in wanted}


def rows(*values: float) -> Arrays:
    return {"x": np.array(values, np.float32)[:, None]}


Make = Callable[..., Batcher]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Batcher] = []

    def make_one(
        graph: Graph, batch_rows: int = 8, queue_rows: int = 64, threads: int = 1, **others: Graph
    ) -> Batcher:
        graphs = {"graph": graph, **others}
        queues = {k: Queue(g, Recorder(), batch_rows, queue_rows) for k, g in graphs.items()}
        made.append(Batcher("test", queues, threads))
        return made[-1]

    yield make_one
    for batcher in made:
        batcher.close()


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(20):
            return await work()

    return asyncio.run(limited())


async def held(batcher: Batcher, graph: Double) -> asyncio.Task[Arrays]:
    """A request that keeps the device until `graph.open` is set."""
    graph.open.clear()
    graph.entered.clear()
    task = asyncio.ensure_future(batcher.run("graph", rows(0), ("y",)))
    assert await asyncio.to_thread(graph.entered.wait, 10)
    return task


async def queued(batcher: Batcher, *feeds: Arrays, **options: Any) -> list[asyncio.Task[Arrays]]:
    tasks = [asyncio.ensure_future(batcher.run("graph", f, ("y",), **options)) for f in feeds]
    await asyncio.sleep(0)
    return tasks


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=20),
    st.integers(1, 9),
    st.integers(1, 3),
)
@settings(deadline=None, max_examples=50)
def test_every_request_gets_its_own_rows(sizes: list[int], batch_rows: int, threads: int) -> None:
    graph = Double()
    queue = Queue(graph, recorder := Recorder(), batch_rows, 10_000)
    batcher = Batcher("test", {"graph": queue}, threads)

    async def work() -> None:
        starts = np.cumsum([0, *sizes])
        feeds = [rows(*range(a, b)) for a, b in pairwise(starts)]
        answers = await asyncio.gather(*(batcher.run("graph", f, ("first", "y")) for f in feeds))
        for feed, answer in zip(feeds, answers, strict=True):
            np.testing.assert_array_equal(answer["y"], 2 * feed["x"])
            np.testing.assert_array_equal(answer["first"], feed["x"][:, 0])

    run(work)
    batcher.close()
    assert sum(recorder.batches) == sum(sizes)
    assert max(recorder.batches) <= batch_rows
    assert len(recorder.waits) == len(sizes)
    assert queue.depth == 0


def test_what_waits_goes_together_while_the_device_is_busy(make: Make) -> None:
    graph = Double()
    batcher = make(graph)

    async def work() -> None:
        first = await held(batcher, graph)
        tasks = await queued(batcher, rows(1), rows(2, 3), rows(4))
        graph.open.set()
        await asyncio.gather(first, *tasks)

    run(work)
    assert graph.seen == [[0], [1, 2, 3, 4]]


def test_a_large_request_takes_turns(make: Make) -> None:
    graph = Double()
    batcher = make(graph, batch_rows=4)

    async def work() -> None:
        first = await held(batcher, graph)
        large, *small = await queued(batcher, rows(*range(10, 20)), rows(1), rows(2))
        graph.open.set()
        await asyncio.gather(first, *small)
        answer = await large
        np.testing.assert_array_equal(answer["y"][:, 0], 2 * np.arange(10, 20))

    run(work)
    assert graph.seen == [[0], [10, 11, 12, 13], [1, 2, 14, 15], [16, 17, 18, 19]]


def test_a_request_that_fits_in_a_batch_is_not_cut(make: Make) -> None:
    graph = Double()
    batcher = make(graph, batch_rows=4)

    async def work() -> None:
        first = await held(batcher, graph)
        tasks = await queued(batcher, rows(1, 2, 3), rows(4, 5, 6), rows(7))
        graph.open.set()
        await asyncio.gather(first, *tasks)

    run(work)
    assert graph.seen == [[0], [1, 2, 3], [4, 5, 6, 7]]


def test_threads_without_work_share_what_waits(make: Make) -> None:
    graph = Double(seconds=0.02)
    batcher = make(graph, batch_rows=64, threads=2)

    async def work() -> float:
        await batcher.run("graph", rows(*range(64)), ("y",))  # nothing is known yet of its time
        started = time.perf_counter()
        await batcher.run("graph", rows(*range(64)), ("y",))
        return time.perf_counter() - started

    run(work)
    assert sorted(map(len, graph.seen)) == [32, 32, 32, 32]


def test_what_is_soon_done_is_done_on_the_loop_once_its_time_is_known(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.batcher.WORTH_A_WAKE", 10)
    seen: list[tuple[bool, int]] = []
    here = threading.get_ident()

    def echo(feeds: Arrays, wanted: Sequence[str]) -> Arrays:
        seen.append((threading.get_ident() == here, len(feeds["x"])))
        if (feeds["x"] == -1).any():
            raise RuntimeError("minus one")
        return {"y": feeds["x"]}

    batcher = make(echo)

    async def work() -> None:
        for i in range(3):  # nothing is known of its time before the first
            assert (await batcher.run("graph", rows(i), ("y",)))["y"] == i
            await asyncio.sleep(0.02)  # the thread has gone back to wait
        with pytest.raises(InferenceError, match="minus one"):
            await batcher.run("graph", rows(-1), ("y",))
        for _ in range(2):  # nothing is known of the time of two before the first
            await asyncio.gather(*(batcher.run("graph", rows(i), ("y",)) for i in range(2)))
            await asyncio.sleep(0.02)
        leaves = asyncio.ensure_future(batcher.run("graph", rows(8), ("y",)))
        await asyncio.sleep(0)
        leaves.cancel()
        await asyncio.wait([leaves])
        with pytest.raises(DeadlineError):
            await batcher.run("graph", rows(9), ("y",), time.monotonic())

    run(work)
    assert seen == [(False, 1), (True, 1), (True, 1), (True, 1), (False, 2), (True, 2)]


def test_the_loop_leaves_no_queue_behind(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.batcher.WORTH_A_WAKE", 10)
    here = threading.get_ident()
    seen: list[bool] = []

    def echo(feeds: Arrays, wanted: Sequence[str]) -> Arrays:
        seen.append(threading.get_ident() == here)
        return {"y": feeds["x"]}

    batcher = make(echo, other=echo)

    async def both() -> None:
        asked = [batcher.run(queue, rows(1), ("y",)) for queue in ("graph", "other")]
        await asyncio.gather(*asked)

    async def work() -> None:
        await both()
        await asyncio.sleep(0.02)  # the thread has gone back to wait
        await both()

    run(work)
    assert seen == [False, False, True, True]


def test_a_poisoned_request_fails_alone(make: Make) -> None:
    graph = Double()
    batcher = make(graph, batch_rows=64)

    async def work() -> list[Arrays | BaseException]:
        first = await held(batcher, graph)
        tasks = await queued(batcher, *(rows(i) for i in range(16)), rows(-1), rows(99))
        graph.open.set()
        await first
        return await asyncio.gather(*tasks, return_exceptions=True)

    *good, bad, last = run(work)
    assert [answer["y"][0, 0] for answer in good] == [2 * i for i in range(16)]
    assert last["y"][0, 0] == 198
    assert isinstance(bad, InferenceError)
    assert "minus one" in bad.detail


def test_a_graph_that_loses_rows_answers_nobody_with_anothers(make: Make) -> None:
    def loses(feeds: Arrays, wanted: Sequence[str]) -> Arrays:
        return {"y": feeds["x"][: max(1, len(feeds["x"]) - 1)]}

    batcher = make(loses)

    async def work() -> list[Arrays | BaseException]:
        return await asyncio.gather(
            *(batcher.run("graph", rows(i, i), ("y",)) for i in range(5)), return_exceptions=True
        )

    for answer in run(work):
        assert isinstance(answer, InferenceError)
        assert "1 rows came of 2" in answer.detail


def test_callers_that_leave_are_not_run_and_harm_nobody(make: Make) -> None:
    graph = Double()
    batcher = make(graph)

    async def work() -> None:
        first = await held(batcher, graph)
        leaves, stays = await queued(batcher, rows(1), rows(2))
        leaves.cancel()
        await asyncio.sleep(0)
        graph.open.set()
        assert (await stays)["y"][0, 0] == 4
        await first
        # and one that leaves during its run
        running = await held(batcher, graph)
        running.cancel()
        await asyncio.sleep(0)
        graph.open.set()
        assert (await batcher.run("graph", rows(5), ("y",)))["y"][0, 0] == 10

    run(work)
    assert graph.seen == [[0], [2], [0], [5]]
    assert batcher.healthy


def test_a_deadline_is_kept_while_the_device_is_busy(make: Make) -> None:
    graph = Double()
    batcher = make(graph)

    async def work() -> None:
        first = await held(batcher, graph)
        (late,) = await queued(batcher, rows(1), deadline=time.monotonic() + 0.05)
        with pytest.raises(DeadlineError):
            await late
        assert not first.done()  # the answer did not wait for the device
        graph.open.set()
        await first
        assert (await batcher.run("graph", rows(2), ("y",), time.monotonic() + 10))["y"] == 4
        with pytest.raises(DeadlineError):
            await batcher.run("graph", rows(3), ("y",), time.monotonic() - 1)

    run(work)
    assert graph.seen == [[0], [2]]


def test_the_queue_is_bounded_in_rows(make: Make) -> None:
    graph = Double()
    batcher = make(graph, batch_rows=4, queue_rows=8)

    async def work() -> None:
        first = await held(batcher, graph)
        # a large one counts as its next batch, and one that finds nothing waiting is let in
        tasks = await queued(batcher, rows(*range(100)), rows(1, 2, 3, 4))
        with pytest.raises(OverloadedError, match="8 rows are waiting, and at most 8 may") as full:
            await batcher.run("graph", rows(5), ("y",))
        assert int(full.value.headers["Retry-After"]) >= 1
        tasks[1].cancel()
        await asyncio.sleep(0)
        tasks += await queued(batcher, rows(6))  # there is room again
        graph.open.set()
        await asyncio.gather(first, tasks[0], tasks[2])

    run(work)


def test_retry_after_is_what_waits_by_the_measured_rate(make: Make) -> None:
    graph = Double(seconds=0.5)
    batcher = make(graph, batch_rows=1, queue_rows=4)

    async def work() -> None:
        await batcher.run("graph", rows(0), ("y",))
        graph.seconds = 0
        first = await held(batcher, graph)
        tasks = await queued(batcher, *(rows(i) for i in range(4)))
        with pytest.raises(OverloadedError) as full:
            await batcher.run("graph", rows(5), ("y",))
        assert full.value.headers["Retry-After"] in ("2", "3")
        graph.open.set()
        await asyncio.gather(first, *tasks)

    run(work)


def test_a_crash_answers_everyone_and_is_known(make: Make) -> None:
    class Crash(BaseException):
        pass

    graph = Double()
    batcher = make(graph)

    def crash(feeds: Arrays, wanted: Sequence[str]) -> Arrays:
        graph.entered.set()
        assert graph.open.wait(10)
        raise Crash

    crashing = make(crash)

    async def work() -> None:
        first = await held(crashing, graph)
        tasks = await queued(crashing, rows(1), rows(2))
        graph.open.set()
        for task in (first, *tasks):
            with pytest.raises(BatcherFailedError):
                await task
        with pytest.raises(BatcherFailedError):
            await crashing.run("graph", rows(3), ("y",))

    run(work)
    assert not crashing.healthy
    assert batcher.healthy


def test_a_crash_on_the_loop_is_known_too(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.batcher.WORTH_A_WAKE", 10)
    seen: list[int] = []

    def crash(feeds: Arrays, wanted: Sequence[str]) -> Arrays:
        seen.append(threading.get_ident())
        if len(seen) > 1:
            raise GeneratorExit
        return {"y": feeds["x"]}

    batcher = make(crash)

    async def work() -> None:
        await batcher.run("graph", rows(1), ("y",))
        await asyncio.sleep(0.02)  # the thread has gone back to wait
        for _ in range(2):
            with pytest.raises(BatcherFailedError):
                await batcher.run("graph", rows(1), ("y",))

    run(work)
    assert seen[1:] == [threading.get_ident()]
    assert not batcher.healthy


def test_two_graphs_share_the_device_by_time(make: Make) -> None:
    fast, slow = Double(0.002), Double(0.02)
    batcher = make(fast, batch_rows=1, slow=slow)

    async def work() -> None:
        async def ask(queue: str) -> None:
            while True:
                await batcher.run(queue, rows(1), ("y",))

        tasks = [asyncio.ensure_future(ask(q)) for q in ["graph"] * 3 + ["slow"] * 3]
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel()

    run(work)
    seconds = len(fast.seen) * 0.0022, len(slow.seen) * 0.0202
    assert 0.5 < seconds[0] / seconds[1] < 2
    assert not math.isinf(sum(seconds))


def test_closing_finishes_what_waits(make: Make) -> None:
    graph = Double()
    batcher = make(graph, batch_rows=1)

    async def work() -> None:
        first = await held(batcher, graph)
        tasks = await queued(batcher, rows(1), rows(2))
        closing = asyncio.ensure_future(asyncio.to_thread(batcher.close))
        await asyncio.sleep(0.05)
        with pytest.raises(BatcherFailedError, match="unloaded"):
            await batcher.run("graph", rows(3), ("y",))
        graph.open.set()
        await asyncio.gather(first, *tasks, closing)

    run(work)


def test_closing_lets_every_thread_go(make: Make) -> None:
    graph = Double()
    batcher = make(graph, threads=2)
    mine = [thread for thread in threading.enumerate() if thread.name.startswith("test-")]

    async def work() -> None:
        await batcher.run("graph", rows(1), ("y",))  # it is known to take a moment
        first = await held(batcher, graph)
        tasks = await queued(batcher, rows(2))  # which the thread that runs will see to
        batcher.close()
        await asyncio.sleep(0.05)
        graph.open.set()
        await asyncio.gather(first, *tasks)

    run(work)
    for thread in mine:
        thread.join(5)
        assert not thread.is_alive()
