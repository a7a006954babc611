"""Workers with graphs of numpy, and how the tests drive them."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from service.engine.batch import AwaitedJob, BatchFunction
from service.engine.loop_share import main_thread_clock
from service.engine.policy import SchedulerPolicy
from service.engine.queue import JobQueue
from service.engine.scheduler import Scheduler
from service.engine.workers import Workers
from service.runtime import granted_cpus
from service.types import Arrays

POLICY = SchedulerPolicy()
# Anything that takes less than ten seconds runs on the loop.
PATIENT_LOOP = SchedulerPolicy(loop_seconds=10)


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

    def __init__(self, seconds: float = 2 * POLICY.loop_seconds) -> None:
        self.seconds = seconds
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.seen: list[list[float]] = []

    def __call__(self, feeds: Arrays, output_names: Sequence[str]) -> Arrays:
        x = feeds["x"]
        self.seen.append(x[:, 0].tolist())
        self.entered.set()
        assert self.open.wait(10)
        time.sleep(self.seconds)
        if (x == -1).any():
            raise RuntimeError("minus one")
        return {name: {"y": 2 * x, "first": x[:, 0]}[name] for name in output_names}


def rows(*values: float) -> Arrays:
    return {"x": np.array(values, np.float32)[:, None]}


def new_queue(
    batch_rows: int, queue_rows: int, observer: Recorder | None = None
) -> JobQueue[AwaitedJob]:
    return JobQueue(observer or Recorder(), batch_rows, queue_rows, POLICY.speed_smoothing)


def new_workers(
    functions: dict[str, BatchFunction],
    queues: dict[str, JobQueue[AwaitedJob]],
    threads: int = 1,
    policy: SchedulerPolicy = POLICY,
    on_end: Callable[[], None] = lambda: None,
) -> Workers:
    scheduler = Scheduler(queues, threads, granted_cpus(), main_thread_clock(), policy)
    return Workers("test", scheduler, functions, threads, on_end)


Make = Callable[..., Workers]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make workers of one graph or more; closed at the end of the test."""
    made: list[Workers] = []

    def make_one(
        graph: BatchFunction,
        batch_rows: int = 8,
        queue_rows: int = 64,
        threads: int = 1,
        policy: SchedulerPolicy = POLICY,
        on_end: Callable[[], None] = lambda: None,
        **others: BatchFunction,
    ) -> Workers:
        graphs = {"graph": graph, **others}
        queues = {name: new_queue(batch_rows, queue_rows) for name in graphs}
        made.append(new_workers(graphs, queues, threads, policy, on_end))
        return made[-1]

    yield make_one
    for workers in made:
        workers.close()


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(20):
            return await work()

    return asyncio.run(limited())


async def held(workers: Workers, graph: Double) -> asyncio.Task[Arrays]:
    """A request that keeps the device until `graph.open` is set."""
    graph.open.clear()
    graph.entered.clear()
    task = asyncio.ensure_future(workers.run("graph", rows(0), ("y",)))
    assert await asyncio.to_thread(graph.entered.wait, 10)
    return task


async def queued(workers: Workers, *feeds: Arrays, **options: Any) -> list[asyncio.Task[Arrays]]:
    tasks = [asyncio.ensure_future(workers.run("graph", f, ("y",), **options)) for f in feeds]
    await asyncio.sleep(0)
    return tasks
