"""Threads of work: who waits for them, who does not, and what a refusal leaves behind."""

import asyncio
import gc
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest

from service.errors import DeadlineError, TooLargeError
from service.work_threads import MIN_NUMBERS, SWITCH_SECONDS, WorkThreads
from tests.helpers.waiting import wait_until


@pytest.fixture
def one() -> Iterator[WorkThreads]:
    """One thread."""
    threads = WorkThreads(1)
    yield threads
    threads.close()


def test_few_numbers_are_worked_on_at_once_and_many_in_a_thread(one: WorkThreads) -> None:
    async def run() -> None:
        assert await one.run(MIN_NUMBERS, threading.current_thread) is threading.main_thread()
        assert (await one.run(MIN_NUMBERS + 1, threading.current_thread)).name == "work_0"

    asyncio.run(run())


@pytest.mark.parametrize("leaves", [True, False])
def test_nobody_waits_for_a_thread_after_a_departure_or_a_deadline(
    one: WorkThreads, leaves: bool
) -> None:
    go_on = threading.Event()

    async def work() -> None:
        deadline = np.inf if leaves else time.monotonic() + 0.05
        waiting = asyncio.ensure_future(one.in_thread(go_on.wait, 60, deadline=deadline))
        await asyncio.sleep(0.01)
        if leaves:
            waiting.cancel()
        with pytest.raises(asyncio.CancelledError if leaves else DeadlineError):
            async with asyncio.timeout(30):
                await waiting
        assert not go_on.is_set()

    try:
        asyncio.run(work())
    finally:
        go_on.set()


def test_work_is_done_one_by_one_and_outlasts_a_request_that_is_cancelled(
    one: WorkThreads,
) -> None:
    async def run() -> None:
        go_on, begun = threading.Event(), threading.Event()
        order: list[str] = []

        def first() -> None:
            begun.set()
            go_on.wait(30)
            order.append("first")

        tasks = [asyncio.create_task(one.in_thread(first))]
        while not begun.is_set():
            await asyncio.sleep(0.001)
        tasks += [asyncio.create_task(one.in_thread(order.append, name)) for name in "abc"]
        await asyncio.sleep(0.01)
        tasks[0].cancel()
        tasks[2].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert order == []  # the thread is still at work
        go_on.set()
        await asyncio.gather(tasks[1], tasks[3])
        assert order == ["first", "a", "c"]
        with pytest.raises(ZeroDivisionError):
            await one.in_thread(lambda: 1 // 0)
        assert await one.in_thread(lambda: "the next") == "the next"

    asyncio.run(run())


def test_the_event_loop_has_a_turn_between_two_works_in_turn(one: WorkThreads) -> None:
    async def run() -> None:
        seen: list[str] = []

        async def ask(name: str) -> None:
            await one.in_turn(seen.append, name)
            seen.append(f"the loop has {name}")

        await asyncio.gather(*map(ask, "abc"))
        assert seen == [said for name in "abc" for said in (name, f"the loop has {name}")]

    asyncio.run(run())


def test_what_is_refused_in_a_thread_is_freed_at_once(one: WorkThreads) -> None:
    class Body:
        def refuse(self) -> None:
            raise TooLargeError("too large")

    async def run() -> weakref.ref[Body]:
        body = Body()
        freed = weakref.ref(body)
        with suppress(TooLargeError):
            await one.in_thread(body.refuse)
        return freed

    gc.disable()  # the server's collector waits a second or more
    try:
        assert asyncio.run(run())() is None
    finally:
        gc.enable()


def test_threads_let_others_run_often_while_one_works_and_no_longer() -> None:
    usual = sys.getswitchinterval()
    several = WorkThreads(2), WorkThreads(1)
    inside: list[float] = []
    all_are_in, go_on = threading.Barrier(3), threading.Event()

    def work(fails: bool, waits: bool) -> None:
        all_are_in.wait(30)
        if waits:
            go_on.wait(30)
        inside.append(sys.getswitchinterval())
        if fails:
            raise ValueError

    async def ask() -> None:
        last = asyncio.create_task(several[0].in_thread(work, False, True))
        first = [several[0].in_thread(work, True, False), several[1].in_thread(work, False, False)]
        await asyncio.gather(*first, return_exceptions=True)
        go_on.set()
        await last

    try:
        asyncio.run(ask())
        assert inside == [pytest.approx(SWITCH_SECONDS)] * 3
        wait_until(lambda: sys.getswitchinterval() == usual)
    finally:
        for threads in several:
            threads.close()
