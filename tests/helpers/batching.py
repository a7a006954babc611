"""Batchers with graphs of numpy, and how the tests drive them."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from service.engine.scheduler import Graph, Queue
from service.engine.workers import WORTH_A_WAKE, Batcher
from service.types import Arrays


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
