"""Requests whose `receive` is none of a server's: whatever may be awaited will do."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from service.http.connections import Exchange
from service.http.disconnect import DepartureWatch, unless_departed
from tests.helpers.asgi import Held, call, running_app

BODY = json.dumps({"x": [[0.5, 0.5], [1.0, -0.5]]}).encode()
MESSAGES: list[Message] = [
    {"type": "http.request", "body": BODY[:9], "more_body": True},
    {"type": "http.request", "body": b"", "more_body": True},
    {"type": "http.request", "body": BODY[9:]},
]
GONE: Message = {"type": "http.disconnect"}


async def forever() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


def at_once(messages: list[Message]) -> Receive:
    left = iter(messages)

    async def receive() -> Message:
        message = next(left, None)
        return await forever() if message is None else message

    return receive


def sleeping(seconds: float) -> Callable[[list[Message]], Receive]:
    def make(messages: list[Message]) -> Receive:
        receive_at_once = at_once(messages)

        async def receive() -> Message:
            await asyncio.sleep(seconds)
            return await receive_at_once()

        return receive

    return make


def generated(messages: list[Message]) -> Receive:
    async def generate() -> AsyncGenerator[Message, None]:
        for message in messages:
            await asyncio.sleep(0.01)
            yield message
        yield await forever()

    generator = generate()
    return lambda: anext(generator)


class Bare:
    """An awaitable that is no coroutine, and whose steps can only be asked for the next one."""

    def __init__(self, message: Message | None) -> None:
        self.message = message

    def __await__(self) -> Generator[Any, None, Message]:
        return iter(self._steps())

    def _steps(self) -> Generator[Any, None, Message]:
        yield None
        if self.message is None:
            yield from forever().__await__()
        assert self.message is not None
        return self.message


def bare(messages: list[Message]) -> Receive:
    left = iter(messages)
    return lambda: Bare(next(left, None))


def in_a_scope(messages: list[Message]) -> Receive:
    receive_at_once = at_once(messages)

    async def receive() -> Message:
        # both want to end in the task in which they began
        with anyio.fail_after(20):
            async with asyncio.timeout(20):
                await asyncio.sleep(0.01)
                return await receive_at_once()

    return receive


def queued(messages: list[Message]) -> Receive:
    queue: asyncio.Queue[Message] = asyncio.Queue()
    for i, message in enumerate(messages):
        asyncio.get_running_loop().call_later(0.01 * i, queue.put_nowait, message)
    return queue.get


RECEIVES: dict[str, Callable[[list[Message]], Receive]] = {
    "at once": at_once,
    "after a yield": sleeping(0),
    "after a while": sleeping(0.01),
    "async generator": generated,
    "bare awaitable": bare,
    "cancel scope": in_a_scope,
    "queue": queued,
}


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(30):
            result = await work()
            await asyncio.sleep(0)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not [task for task in left if "watch" in repr(task.get_coro())]
            return result

    return asyncio.run(limited())


@pytest.mark.parametrize("kind", RECEIVES)
def test_a_body_is_read_and_answered(moons_store: Path, kind: str) -> None:
    async def work() -> None:
        async with running_app(moons_store) as (app, _):
            whole: list[Message] = [{"type": "http.request", "body": BODY}]
            expected = await call(app, "/log_prob", at_once(whole))
            assert expected.status == 200
            for messages in (MESSAGES, whole):
                answer = await call(app, "/log_prob", RECEIVES[kind](messages))
                assert (answer.status, answer.body) == (200, expected.body)

    run(work)


@pytest.mark.parametrize("kind", RECEIVES)
def test_a_departure_cancels_the_question(moons_store: Path, held: Held, kind: str) -> None:
    async def work() -> None:
        async with running_app(moons_store) as (app, _):
            asking = asyncio.ensure_future(
                call(app, "/log_prob", RECEIVES[kind]([*MESSAGES, GONE]))
            )
            assert (await asking).status == 499
            assert held.cancelled.is_set() == held.begun.is_set()

    run(work)


@pytest.mark.parametrize("kind", RECEIVES)
def test_a_departure_before_the_body_ends(moons_store: Path, held: Held, kind: str) -> None:
    async def work() -> None:
        async with running_app(moons_store) as (app, _):
            answer = await call(app, "/log_prob", RECEIVES[kind]([*MESSAGES[:2], GONE]))
            assert answer.status == 499
            assert not held.begun.is_set()

    run(work)


def test_the_same_message_again_and_again_says_nothing(moons_store: Path) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def work() -> None:
        async with running_app(moons_store) as (app, _):
            assert (await call(app, "/log_prob", receive)).status == 200

    run(work)


def test_a_receive_that_fails_while_work_goes_on_is_no_departure() -> None:
    async def receive() -> Message:
        raise OSError

    async def work() -> int:
        await asyncio.sleep(0.02)
        return 3

    assert run(lambda: unless_departed(receive, work())) == 3


def test_a_task_that_is_cancelled_is_cancelled_though_its_caller_leaves_as_well() -> None:
    async def work() -> None:
        left = asyncio.Event()

        async def receive() -> Message:
            await left.wait()
            return GONE

        task = asyncio.ensure_future(unless_departed(receive, forever()))
        await asyncio.sleep(0.01)
        left.set()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    run(work)


class Nothing:
    """A connection of which nothing is asked."""


def exchange() -> Exchange:
    connection: Any = Nothing()
    return Exchange(connection, {}, expects_continue=False, keep_alive=True)


def test_our_own_connections_tell_of_a_departure_without_a_task() -> None:
    async def work() -> None:
        before, ours = len(asyncio.all_tasks()), exchange()
        watch = DepartureWatch(ours.receive)
        assert len(asyncio.all_tasks()) == before
        finishing = asyncio.ensure_future(watch.finish(forever()))
        await asyncio.sleep(0.01)
        ours.depart()
        with pytest.raises(ClientDisconnect):
            await finishing
        watch.close()

    run(work)


@pytest.mark.parametrize("when", ["before the watch", "between two pieces of work"])
def test_a_departure_that_nobody_waits_for_is_remembered(when: str) -> None:
    async def work() -> None:
        ours = exchange()
        if when == "before the watch":
            ours.depart()
        watch = DepartureWatch(ours.receive)
        if when == "between two pieces of work":
            await watch.finish(asyncio.sleep(0))
            ours.depart()
        with pytest.raises(ClientDisconnect):
            await watch.finish(asyncio.sleep(0))
        watch.close()

    run(work)


def test_a_watch_that_is_closed_sees_nothing() -> None:
    async def work() -> None:
        ours = exchange()
        watch = DepartureWatch(ours.receive)
        watch.close()
        ours.depart()
        await watch.finish(asyncio.sleep(0))

    run(work)


def test_what_has_not_begun_when_the_caller_has_left_never_does() -> None:
    async def work() -> None:
        begun = SimpleNamespace(value=False)

        async def question() -> None:
            begun.value = True

        ours = exchange()
        ours.depart()
        with pytest.raises(ClientDisconnect):
            await unless_departed(ours.receive, question())
        assert not begun.value

    run(work)
