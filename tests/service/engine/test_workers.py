"""How workers put requests together, with graphs of numpy."""

import asyncio
import math
import threading
import time
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import (
    DeadlineError,
    InferenceError,
)
from service.types import Arrays
from tests.helpers.batching import (
    PATIENT_LOOP,
    Double,
    Make,
    Recorder,
    held,
    make,
    new_queue,
    new_workers,
    queued,
    rows,
    run,
)
from tests.helpers.examples import examples

__all__ = ["make"]


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=20),
    st.integers(1, 9),
    st.integers(1, 3),
)
@examples(50)
def test_every_request_gets_its_own_rows(sizes: list[int], batch_rows: int, threads: int) -> None:
    graph = Double()
    queue = new_queue(batch_rows, 10_000, recorder := Recorder())
    workers = new_workers({"graph": graph}, {"graph": queue}, threads)

    async def work() -> None:
        starts = np.cumsum([0, *sizes])
        feeds = [rows(*range(a, b)) for a, b in pairwise(starts)]
        answers = await asyncio.gather(*(workers.run("graph", f, ("first", "y")) for f in feeds))
        for feed, answer in zip(feeds, answers, strict=True):
            np.testing.assert_array_equal(answer["y"], 2 * feed["x"])
            np.testing.assert_array_equal(answer["first"], feed["x"][:, 0])

    run(work)
    workers.close()
    assert sum(recorder.batches) == sum(sizes)
    assert max(recorder.batches) <= batch_rows
    assert len(recorder.waits) == len(sizes)
    assert queue.depth == 0


def test_what_waits_goes_together_while_the_device_is_busy(make: Make) -> None:
    graph = Double()
    workers = make(graph)

    async def work() -> None:
        first = await held(workers, graph)
        tasks = await queued(workers, rows(1), rows(2, 3), rows(4))
        graph.open.set()
        await asyncio.gather(first, *tasks)

    run(work)
    assert graph.seen == [[0], [1, 2, 3, 4]]


def test_a_large_request_takes_turns(make: Make) -> None:
    graph = Double()
    workers = make(graph, batch_rows=4)

    async def work() -> None:
        first = await held(workers, graph)
        large, *small = await queued(workers, rows(*range(10, 20)), rows(1), rows(2))
        graph.open.set()
        await asyncio.gather(first, *small)
        answer = await large
        np.testing.assert_array_equal(answer["y"][:, 0], 2 * np.arange(10, 20))

    run(work)
    assert graph.seen == [[0], [10, 11, 12, 13], [1, 2, 14, 15], [16, 17, 18, 19]]


def test_a_request_that_fits_in_a_batch_is_not_cut(make: Make) -> None:
    graph = Double()
    workers = make(graph, batch_rows=4)

    async def work() -> None:
        first = await held(workers, graph)
        tasks = await queued(workers, rows(1, 2, 3), rows(4, 5, 6), rows(7))
        graph.open.set()
        await asyncio.gather(first, *tasks)

    run(work)
    assert graph.seen == [[0], [1, 2, 3], [4, 5, 6, 7]]


def test_threads_without_work_share_what_waits(make: Make) -> None:
    graph = Double(seconds=0.02)
    workers = make(graph, batch_rows=64, threads=2)

    async def work() -> float:
        await workers.run("graph", rows(*range(64)), ("y",))  # nothing is known yet of its time
        started = time.perf_counter()
        await workers.run("graph", rows(*range(64)), ("y",))
        return time.perf_counter() - started

    run(work)
    assert sorted(map(len, graph.seen)) == [32, 32, 32, 32]


def test_a_second_run_beside_a_busy_loop_waits_for_a_full_batch(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.engine.scheduler.Scheduler._worker_limit", lambda *_: 1)
    graph = Double()
    workers = make(graph, batch_rows=4, threads=2)

    async def work() -> None:
        first = await held(workers, graph)
        others = await queued(workers, rows(1), rows(2, 3))
        await asyncio.sleep(0.05)
        assert graph.seen == [[0]]
        others += await queued(workers, rows(4))
        for _ in range(200):
            if len(graph.seen) == 2:
                break
            await asyncio.sleep(0.01)
        assert graph.seen == [[0], [1, 2, 3, 4]]
        graph.open.set()
        await asyncio.gather(first, *others)

    run(work)


def test_what_is_soon_done_is_done_on_the_loop_once_its_time_is_known(
    make: Make,
) -> None:
    seen: list[tuple[bool, int]] = []
    here = threading.get_ident()

    def echo(feeds: Arrays, output_names: Sequence[str]) -> Arrays:
        seen.append((threading.get_ident() == here, len(feeds["x"])))
        if (feeds["x"] == -1).any():
            raise RuntimeError("minus one")
        return {"y": feeds["x"]}

    workers = make(echo, policy=PATIENT_LOOP)

    async def work() -> None:
        for i in range(3):  # nothing is known of its time before the first
            assert (await workers.run("graph", rows(i), ("y",)))["y"] == i
            await asyncio.sleep(0.02)  # the thread has gone back to wait
        with pytest.raises(InferenceError, match="minus one"):
            await workers.run("graph", rows(-1), ("y",))
        for _ in range(2):  # nothing is known of the time of two before the first
            await asyncio.gather(*(workers.run("graph", rows(i), ("y",)) for i in range(2)))
            await asyncio.sleep(0.02)
        leaves = asyncio.ensure_future(workers.run("graph", rows(8), ("y",)))
        await asyncio.sleep(0)
        leaves.cancel()
        await asyncio.wait([leaves])
        with pytest.raises(DeadlineError):
            await workers.run("graph", rows(9), ("y",), time.monotonic())

    run(work)
    assert seen == [(False, 1), (True, 1), (True, 1), (True, 1), (False, 2), (True, 2)]


def test_the_loop_leaves_no_queue_behind(make: Make) -> None:
    here = threading.get_ident()
    seen: list[bool] = []

    def echo(feeds: Arrays, output_names: Sequence[str]) -> Arrays:
        seen.append(threading.get_ident() == here)
        return {"y": feeds["x"]}

    workers = make(echo, policy=PATIENT_LOOP, other=echo)

    async def both() -> None:
        asked = [workers.run(queue, rows(1), ("y",)) for queue in ("graph", "other")]
        await asyncio.gather(*asked)

    async def work() -> None:
        await both()
        await asyncio.sleep(0.02)  # the thread has gone back to wait
        await both()

    run(work)
    assert seen == [False, False, True, True]


def test_two_graphs_share_the_device_by_time(make: Make) -> None:
    fast, slow = Double(0.002), Double(0.02)
    workers = make(fast, batch_rows=1, slow=slow)

    async def work() -> None:
        async def ask(queue: str) -> None:
            while True:
                await workers.run(queue, rows(1), ("y",))

        tasks = [asyncio.ensure_future(ask(q)) for q in ["graph"] * 3 + ["slow"] * 3]
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel()

    run(work)
    seconds = len(fast.seen) * 0.0022, len(slow.seen) * 0.0202
    assert 0.5 < seconds[0] / seconds[1] < 2
    assert not math.isinf(sum(seconds))
