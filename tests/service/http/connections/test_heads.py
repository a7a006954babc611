"""Heads: their size, their fields, their time, and what they ask for that is not done."""

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest

from service.http.connections.limits import (
    CLOSED_AT_ONCE,
    MAX_HEAD_BYTES,
    MAX_HEAD_FIELDS,
    MAX_UNREAD_BYTES,
)
from tests.helpers.wire import LIMITS, Party, statuses

POST = b"POST / HTTP/1.1\r\n"
GET = b"GET /a?b=%20c HTTP/1.1\r\nHost: here\r\n\r\n"


def post(body: bytes, *lines: bytes) -> bytes:
    top = [b"POST /x HTTP/1.1", b"Host: here", b"Content-Length: %d" % len(body), *lines]
    return b"\r\n".join([*top, b"", body])


@pytest.mark.parametrize("at_once", [1, 2, 3, 5, 7, None])
def test_requests_are_the_same_however_they_are_cut(at_once: int | None) -> None:
    async def work() -> None:
        caller = Party().caller()
        await caller.says(GET, at_once=at_once)
        assert (await caller.hears()).endswith(b"\r\n\r\nGET /a?b=%20c 1 ")
        for body in (b"", b"x", b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n" * 3):
            await caller.says(post(body), at_once=at_once)
            assert (await caller.hears()).endswith(b"\r\n\r\nPOST /x? 2 " + body)
        assert not caller.wire.is_closed

    asyncio.run(work())


HUGE = {
    "target": b"GET /" + b"a" * MAX_HEAD_BYTES,
    "name": b"GET / HTTP/1.1\r\n" + b"a" * MAX_HEAD_BYTES,
    "value": b"GET / HTTP/1.1\r\na: " + b"b" * MAX_HEAD_BYTES,
    "fields": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (MAX_HEAD_FIELDS + 2),
    "line breaks": b"\r\n" * MAX_HEAD_BYTES,
}


@pytest.mark.parametrize("at_once", [1000, 2**18])
@pytest.mark.parametrize("kind", HUGE)
def test_a_head_beyond_its_limits_is_refused_as_it_comes(kind: str, at_once: int) -> None:
    async def work() -> None:
        caller = Party().caller()
        await caller.says(HUGE[kind] + b"\r\n\r\n", at_once=at_once)
        answer = await caller.hears()
        assert statuses(answer) == [431]
        assert b"connection: close" in answer
        assert b"application/problem+json" in answer
        assert caller.wire.has_ended
        assert caller.closed("head-too-large") == 1
        await caller.says(GET)  # is thrown away
        assert await caller.hears() == b""

    asyncio.run(work())


def test_a_head_within_its_limits_is_answered() -> None:
    async def work() -> None:
        caller = Party().caller()
        fields = b"".join(b"a%d: b\r\n" % i for i in range(MAX_HEAD_FIELDS))
        await caller.says(b"GET / HTTP/1.1\r\n" + fields + b"\r\n")
        assert statuses(await caller.hears()) == [200]
        value = b"b" * (MAX_HEAD_BYTES - 50)
        await caller.says(b"GET / HTTP/1.1\r\na: " + value + b"\r\n\r\n", at_once=1000)
        assert statuses(await caller.hears()) == [200]

    asyncio.run(work())


def test_heads_in_part_are_limited_over_all_connections() -> None:
    async def work() -> None:
        party = Party()
        party.registry.hold(MAX_UNREAD_BYTES - 1000)
        caller = party.caller()
        await caller.says(GET)  # whole
        assert statuses(await caller.hears()) == [200]
        await caller.says(b"GET / HTTP/1.1\r\na: " + b"b" * 1000)
        assert statuses(await caller.hears()) == [503]
        assert caller.closed("unavailable") == 1
        # and what is let go of is there for others
        party.registry.release(MAX_UNREAD_BYTES - 1000)
        assert party.registry.hold(MAX_UNREAD_BYTES)

    asyncio.run(work())


def test_no_bytes_stay_counted_when_all_is_over() -> None:
    async def work() -> None:
        party = Party()
        large = b"GET / HTTP/1.1\r\na: " + b"b" * 30_000
        for data in (large, large + b"\r\n\r\n", GET * 9, GET + large, GET[:9]):
            caller = party.caller()
            await caller.says(data, at_once=10_000)
            caller.connection.connection_lost(None)
            await caller.hears()
        assert party.registry.hold(MAX_UNREAD_BYTES)

    asyncio.run(work())


@pytest.mark.parametrize("at_once", [1, None])
@pytest.mark.parametrize(
    "lines",
    [
        (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAEAAEAAAAI"),
        (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: AAAA"),
        (b"Upgrade: h2c", b"Connection: keep-alive, upgrade"),
        (b"CONNECTION: UPGRADE", b"UPGRADE: TLS/1.0"),
    ],
    ids=["Java and curl", "websocket", "keep-alive", "capitals"],
)
def test_a_wish_for_another_protocol_is_passed_over(
    lines: tuple[bytes, ...], at_once: int | None
) -> None:
    async def work() -> None:
        caller = Party().caller()
        kept = 2 + len(lines) - 1  # all but Upgrade
        for _ in range(2):
            await caller.says(post(b'{"x": 1}', *lines), at_once=at_once)
            answer = await caller.hears()
            assert statuses(answer) == [200]
            assert answer.endswith(b'POST /x? %d {"x": 1}' % kept)
        chunked = b"\r\n".join(
            [b"POST /x HTTP/1.1", *lines, b"Transfer-Encoding: chunked", b"", b""]
        )
        await caller.says(chunked + b"2\r\nab\r\n0\r\n\r\n", at_once=at_once)
        assert (await caller.hears()).endswith(b" ab")
        await caller.says(b"\r\n".join([b"GET / HTTP/1.1", *lines, b"", b""]), at_once=at_once)
        assert statuses(await caller.hears()) == [200]
        assert not caller.wire.is_closed

    asyncio.run(work())


MALFORMED = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01",
    "line feeds alone": b"GET / HTTP/1.1\nHost: here\n\n",
    "length twice": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "length of 5,000 digits": POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "length and chunks": POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "other codings": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "CONNECT": b"CONNECT here:80 HTTP/1.1\r\nHost: here\r\n\r\n",
    "no path": b"GET http://here:99999999/ HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_what_is_no_request_is_refused_at_once(kind: str) -> None:
    async def work() -> None:
        caller = Party().caller()
        await caller.says(MALFORMED[kind])
        answer = await caller.hears()
        assert statuses(answer) == [400]
        assert b"connection: close" in answer
        assert caller.closed("malformed-body") == 1

    asyncio.run(work())


def test_a_head_has_a_time_limit() -> None:
    async def work() -> None:
        party = Party()
        slow, silent = party.caller(), party.caller()
        for letter in b"GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa":
            if not slow.wire.has_ended:
                await slow.says(bytes([letter]))
                await party.wait(1)
        assert party.seconds < 35
        assert statuses(await slow.hears()) == [408]
        await party.wait(3)
        assert slow.wire.is_aborted  # and does not dribble on
        assert slow.closed("head-timeout") == 1
        await silent.says(b"\r\n")  # begins no request
        await party.wait(64)
        assert not silent.wire.is_closed
        await party.wait(2)
        assert silent.wire.is_closed
        assert await silent.hears() == b""
        assert silent.closed("idle") == 1

    asyncio.run(work())


def test_others_have_their_turn_while_many_heads_are_given_up() -> None:
    async def work() -> None:
        party = Party(limits=replace(LIMITS, max_connections=1000))
        slow = [party.caller() for _ in range(5 * CLOSED_AT_ONCE)]
        for each in slow:
            each.connection.data_received(b"GET / HT")
        await party.wait(party.limits.head_seconds - 0.25)
        assert not slow[0].closed("head-timeout")
        party.seconds += 0.25
        look = asyncio.create_task(party.registry.look_over())
        counts = [0.0]
        while not look.done():
            await asyncio.sleep(0)
            counts.append(slow[0].closed("head-timeout"))
        assert counts[-1] == len(slow)
        assert max(after - before for before, after in pairwise(counts)) <= CLOSED_AT_ONCE

    asyncio.run(work())
