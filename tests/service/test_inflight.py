"""The memory that requests in progress hold together, and their turns in threads."""

import asyncio
import gc
import threading
import weakref
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import MemoryFullError, TooLargeError
from service.inflight import InflightBudget, in_turn
from tests.helpers.examples import examples

LIMIT = 100


@examples(50)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 70), st.booleans()), max_size=30))
def test_the_budget_holds_what_its_shares_hold_and_never_more_than_its_limit(
    steps: list[tuple[int, int, bool]],
) -> None:
    budget = InflightBudget(LIMIT)
    shares = [budget.share() for _ in range(3)]
    for which, size, charges in steps:
        share, before = shares[which], budget.held
        if charges:
            if before + size <= LIMIT:
                share.charge(size)
            else:
                alone = share.held + size > LIMIT
                with pytest.raises(TooLargeError if alone else MemoryFullError):
                    share.charge(size)
        else:
            share.keep(size)
        assert budget.held == sum(s.held for s in shares) <= LIMIT
    for share in shares:
        share.__exit__(None, None, None)
    assert budget.held == 0


def test_what_a_request_holds_is_given_back_however_it_ends() -> None:
    budget = InflightBudget(LIMIT)
    share = budget.share()
    with suppress(KeyError), share:
        share.charge(LIMIT)
        raise KeyError
    assert budget.held == 0
    with pytest.raises(MemoryFullError):
        share.charge(1)  # a thread that has outlived its request
    assert budget.held == 0


def test_a_full_budget_says_when_to_come_again() -> None:
    budget = InflightBudget(LIMIT)
    with budget.share() as first, budget.share() as second:
        first.charge(LIMIT)
        with pytest.raises(MemoryFullError, match="hold 100 of the 100 bytes") as refused:
            second.charge(1)
    assert refused.value.headers == {"Retry-After": "1"}
    assert refused.value.status == 429


def test_a_body_that_is_refused_in_its_turn_is_freed_at_once() -> None:
    class Body:
        def refuse(self) -> None:
            raise TooLargeError("too large")

    async def run() -> weakref.ref[Body]:
        body = Body()
        freed = weakref.ref(body)
        with suppress(TooLargeError):
            await in_turn(asyncio.Semaphore(1), body.refuse)
        return freed

    gc.disable()  # the server's collector waits a second or more
    try:
        assert asyncio.run(run())() is None
    finally:
        gc.enable()


def test_turns_are_taken_one_by_one_and_outlast_a_request_that_is_cancelled() -> None:
    async def run() -> None:
        turns, go_on, begun = asyncio.Semaphore(1), threading.Event(), threading.Event()
        order: list[str] = []

        def first() -> None:
            begun.set()
            go_on.wait(30)
            order.append("first")

        one = asyncio.create_task(in_turn(turns, first))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        two = asyncio.create_task(in_turn(turns, order.append, "second"))
        one.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one
        await asyncio.sleep(0.01)
        assert turns.locked()  # its thread is still at work
        go_on.set()
        await two
        assert order == ["first", "second"]
        with pytest.raises(ZeroDivisionError):
            await in_turn(turns, lambda: 1 // 0)
        assert not turns.locked()

    asyncio.run(run())
