"""Bodies by length and in chunks, their trailers and time, and what is sent ahead of its turn."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from service.http.connections.limits import (
    FREE_CHUNKS,
    MAX_AHEAD_ANSWERED,
    MAX_HEAD_BYTES,
    MAX_HEAD_FIELDS,
    MAX_UNREAD_BYTES,
    MAX_WAITING_BODY_BYTES,
    MIN_CHUNK_BYTES,
)
from tests.helpers.wire import LIMITS, Party, echo, settle, stalls, statuses

GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunks(parts: list[bytes], trailers: bytes = b"") -> bytes:
    framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return CHUNKED + framed + b"0\r\n" + trailers + b"\r\n"


@settings(max_examples=30)
@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    st.sampled_from([b"", b"A: b\r\n", b"Content-Length: 5\r\nTransfer-Encoding: gzip\r\n"]),
    st.integers(1, 50),
)
def test_a_chunked_body_is_its_chunks_and_its_trailers_are_dropped(
    parts: list[bytes], trailers: bytes, at_once: int
) -> None:
    async def work() -> None:
        caller = Party().caller()
        for _ in range(2):
            await caller.says(chunks(parts, trailers), at_once=at_once)
            answer = await caller.hears()
            # two headers, whatever came behind the body
            assert answer.endswith(b"\r\n\r\nPOST /? 2 " + b"".join(parts))
        assert not caller.wire.is_closed

    asyncio.run(work())


REFUSED = {
    "no size": (b"x\r\n", 400),
    "signed size": (b"+5\r\nhello\r\n", 400),
    "size in Python's spelling": (b"0x5\r\nhello\r\n", 400),
    "line feed alone": (b"5\nhello\r\n", 400),
    "longer than its size": (b"5\r\nhello!\r\n", 400),
    "size of a hundred digits": (b"0" * 100 + b"5\r\nhello\r\n", 400),
    "long extension": (b"5;" + b"a" * 300, 400),
    "carriage return within": (b"5;a\rb\r\nhello\r\n", 400),
    "large trailers": (b"0\r\na: " + b"b" * MAX_HEAD_BYTES, 431),
    "many trailers": (b"0\r\n" + b"a: b\r\n" * (MAX_HEAD_FIELDS + 1), 431),
}


@pytest.mark.parametrize("at_once", [1000, None])
@pytest.mark.parametrize("kind", REFUSED)
def test_chunks_that_are_none_are_refused(kind: str, at_once: int | None) -> None:
    data, status = REFUSED[kind]

    async def work() -> None:
        caller = Party().caller()
        await caller.says(CHUNKED + data, at_once=at_once)
        answer = await caller.hears()
        assert statuses(answer) == [status]
        assert b"connection: close" in answer
        assert caller.wire.has_ended

    asyncio.run(work())


def test_small_chunks_are_limited_and_larger_ones_are_not() -> None:
    async def work() -> None:
        caller = Party().caller()
        await caller.says(chunks([b"x"] * FREE_CHUNKS))
        assert statuses(await caller.hears()) == [200]
        await caller.says(chunks([b"x" * MIN_CHUNK_BYTES] * (3 * FREE_CHUNKS)))
        assert statuses(await caller.hears()) == [200]
        await caller.says(chunks([b"x"] * 2 * FREE_CHUNKS))
        answer = await caller.hears()
        assert statuses(answer) == [400]
        assert b"send larger ones" in answer
        assert caller.wire.has_ended

    asyncio.run(work())


def test_a_body_that_stops_coming_is_given_up() -> None:
    async def work() -> None:
        party = Party()
        caller, other = party.caller(), party.caller()
        await caller.says(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
        await other.says(CHUNKED)
        for _ in range(8):
            await party.wait(40)
            assert not caller.wire.has_ended
            await caller.says(b"a")
            await other.says(b"1\r\na\r\n")
        await party.wait(66)
        for each in (caller, other):
            assert statuses(await each.hears()) == [408]
            assert each.wire.has_ended
        await party.wait(3)
        assert caller.wire.is_aborted
        assert caller.closed("body-timeout") == 2

    asyncio.run(work())


def test_a_body_that_the_application_does_not_read_is_not_taken() -> None:
    async def work() -> None:
        party = Party(stalls)
        caller = party.caller()
        await caller.says(b"POST / HTTP/1.1\r\nContent-Length: 9000000\r\n\r\n")
        sent = 0
        while not caller.wire.is_paused and sent < 2**20:
            # no time for the application in between
            caller.connection.data_received(b"a" * 1000)
            sent += 1000
        assert sent <= MAX_WAITING_BODY_BYTES + 1000
        await settle()
        assert not caller.wire.is_paused
        # and it is not the caller who was silent meanwhile
        for _ in range(80):
            caller.connection.data_received(b"a" * 1000)
        assert caller.wire.is_paused

    asyncio.run(work())


def test_requests_sent_ahead_wait_as_bytes_and_are_answered_in_turn() -> None:
    async def work() -> None:
        party = Party()
        caller = party.caller()
        bodies = [b"a" * i for i in range(200)]
        data = b"".join(chunks([body]) if body else GET for body in bodies)
        caller.connection.data_received(data)
        assert caller.wire.is_paused
        assert len(asyncio.all_tasks()) == 2  # of the first request, and of this test
        heard = b""
        while len(statuses(heard)) < len(bodies):
            heard += await caller.hears()
        each = heard.split(b"HTTP/1.1 200 OK")[1:]
        assert [answer.partition(b"\r\n\r\n")[2] for answer in each] == [
            b"POST /? 2 " + body if body else b"GET /? 1 " for body in bodies
        ]
        assert not caller.wire.is_paused
        assert not caller.wire.is_closed

    asyncio.run(work())


def test_what_is_sent_ahead_is_limited_over_all_connections() -> None:
    async def work() -> None:
        party = Party()
        party.registry.hold(MAX_UNREAD_BYTES - 1000)
        modest, greedy = party.caller(), party.caller()
        for caller, count in ((modest, 10), (greedy, 100)):
            caller.connection.data_received(GET * count)
        heard = await modest.hears()
        while len(statuses(heard)) < 10:
            heard += await modest.hears()
        # the first is answered, and the others are to be asked for again
        answer = await greedy.hears()
        assert statuses(answer) == [200]
        assert b"connection: close" in answer
        assert greedy.closed("read-ahead") == 1
        party.registry.release(MAX_UNREAD_BYTES - 1000)
        assert party.registry.hold(MAX_UNREAD_BYTES)

    asyncio.run(work())


def test_callers_who_send_ahead_take_a_few_places_with_all_of_them() -> None:
    async def work() -> None:
        most, now = 0, 0

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal most, now
            now += scope["path"] == "/ahead"
            most = max(most, now)
            await asyncio.sleep(0)
            await echo(scope, receive, send)
            now -= scope["path"] == "/ahead"

        party = Party(app, replace(LIMITS, max_connections=100))
        callers = [party.caller() for _ in range(3 * MAX_AHEAD_ANSWERED)]
        for caller in callers:
            caller.connection.data_received(GET + GET.replace(b"/", b"/ahead", 1) * 5)
        # one of them leaves while its turn has not come
        callers[-1].wire.abort()
        heard = {id(caller): b"" for caller in callers[:-1]}
        while min(len(statuses(each)) for each in heard.values()) < 6:
            await settle()
            for caller in callers[:-1]:
                heard[id(caller)] += caller.wire.heard()
        assert most == MAX_AHEAD_ANSWERED

    asyncio.run(work())


def test_nothing_is_answered_after_the_last_request() -> None:
    async def work() -> None:
        caller = Party().caller()
        last = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
        caller.connection.data_received(GET + last + GET)
        assert statuses(await caller.hears()) == [200, 200]
        assert caller.wire.has_ended or caller.wire.is_closed

    asyncio.run(work())


def test_expect_continue_is_answered_when_the_body_is_wanted() -> None:
    async def work() -> None:
        caller = Party().caller()
        await caller.says(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await caller.hears() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await caller.says(b"ab")
        assert (await caller.hears()).endswith(b"POST /? 2 ab")

    asyncio.run(work())
