"""Large answers wait for each other where their callers do not take them."""

import asyncio
from dataclasses import replace

import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from service.errors import DeadlineError
from service.http.answer_room import room_for_answer
from service.http.connections.limits import PIECE_BYTES
from service.http.connections.unsent import UnsentAnswers
from service.http.disconnect import unless_departed
from tests.helpers.wire import LIMITS, Caller, Party, settle, statuses

GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
SIZE = 4 * PIECE_BYTES
# Two answers may be held, and the third may not.
TWO = replace(LIMITS, max_unsent=2 * SIZE + 1)


def test_room_is_given_in_turn_and_one_that_is_too_large_gets_it_alone() -> None:
    async def work() -> None:
        unsent, order = UnsentAnswers(100, lambda: 7.0), []

        async def hold(name: str, size: int) -> None:
            await unsent.reserve(size)
            order.append(name)

        tasks = [
            asyncio.ensure_future(hold(name, size))
            for name, size in (("a", 60), ("b", 50), ("c", 10), ("large", 500), ("d", 1))
        ]
        await settle()
        assert (order, unsent.held, unsent.waiting_since) == (["a"], 60, 7.0)
        tasks[1].cancel()  # it has left
        await settle()
        assert (order, unsent.held) == (["a", "c"], 70)
        unsent.release(60)
        await settle()
        assert order == ["a", "c"]
        unsent.release(10)
        await settle()
        assert (order, unsent.held) == (["a", "c", "large"], 500)
        unsent.release(500)
        await settle()
        assert (order, unsent.held, unsent.waiting_since) == (["a", "c", "large", "d"], 1, None)

    asyncio.run(work())


def test_room_that_is_given_to_who_has_just_left_is_given_back() -> None:
    async def work() -> None:
        unsent = UnsentAnswers(100, lambda: 0.0)
        assert unsent.reserved_now(100)
        waiting = asyncio.ensure_future(unsent.reserve(50))
        await settle()
        unsent.release(100)
        waiting.cancel()
        await settle()
        assert unsent.held == 0

    asyncio.run(work())


class Maker:
    """An application that makes large answers, and counts those that it has made."""

    def __init__(self, due: float = float("inf")) -> None:
        self.made = 0
        self.late = 0
        self.due = due

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if room := room_for_answer(receive, SIZE, self.due):
                await unless_departed(receive, room)
        except DeadlineError:
            self.late += 1
            return
        except ClientDisconnect:
            return
        self.made += 1
        body = b"a" * SIZE
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def stalled(party: Party) -> Caller:
    """A caller who asks, and takes nothing."""
    caller = party.caller()
    caller.wire.is_stalled = True
    await caller.says(GET)
    return caller


def test_answers_are_made_as_others_are_taken() -> None:
    async def work() -> None:
        app = Maker()
        party = Party(app, TWO)
        callers = [await stalled(party) for _ in range(6)]
        assert app.made == 2
        assert party.metrics.registry.get_sample_value("bijecta_unsent_bytes") == 2 * SIZE
        while callers[0].wire.unsent:
            callers[0].wire.take(PIECE_BYTES)
            await settle()
        assert app.made == 3
        callers[3].connection.depart()  # before its turn
        callers[1].connection.depart()
        await settle()
        assert app.made == 4
        assert callers[4].wire.unsent > 0
        for caller in callers:
            caller.connection.depart()
        await settle()
        assert party.registry.unsent.held == 0

    asyncio.run(work())


def test_who_takes_an_answer_slowly_is_broken_off_when_others_wait_for_its_room() -> None:
    async def work() -> None:
        app = Maker()
        party = Party(app, TWO)
        slow = [await stalled(party) for _ in range(2)]

        async def dribble(seconds: float) -> None:
            for _ in range(round(seconds)):
                await party.wait(1)
                for each in slow:
                    each.wire.take(400)

        await dribble(90)
        assert not any(each.wire.is_closed for each in slow)
        waiting = party.caller()
        await waiting.says(GET)
        await dribble(55)
        assert not any(each.wire.is_closed for each in slow)
        await dribble(6)
        assert all(each.wire.is_aborted for each in slow)
        assert statuses(await waiting.hears()) == [200]

    asyncio.run(work())


@pytest.mark.parametrize("due", [0.0, float("inf")])
def test_the_wait_for_room_has_the_deadline_of_its_request(due: float) -> None:
    async def work() -> None:
        app = Maker(due)
        party = Party(app, replace(TWO, max_unsent=1))
        for _ in range(2):
            await stalled(party)
        await asyncio.sleep(0.01)
        assert (app.made, app.late) == (1, 1 if due == 0 else 0)

    asyncio.run(work())
