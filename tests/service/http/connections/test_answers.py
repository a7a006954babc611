"""Answers: how they are written, to readers who take them and to those who do not."""

import asyncio
from dataclasses import replace

import pytest
from starlette.types import Receive, Scope, Send

from service.http.connections.limits import LINGER_SECONDS, PIECE_BYTES
from tests.helpers.wire import LIMITS, App, Party, settle, stalls, statuses

GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
LARGE = bytes(range(256)) * (3 * PIECE_BYTES // 256) + b"end"


def answers(body: bytes, status: int = 200, *headers: tuple[bytes, bytes]) -> App:
    """An application that answers so, without a look at the body."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        length = (b"content-length", b"%d" % len(body))
        start = {"type": "http.response.start", "status": status, "headers": [length, *headers]}
        await send(start)
        await send({"type": "http.response.body", "body": body})

    return app


async def in_chunks(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for body in (b"abc", b"", LARGE):
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def test_a_large_answer_comes_whole_and_in_pieces_as_it_is_taken() -> None:
    async def work() -> None:
        caller = Party(answers(LARGE)).caller()
        caller.wire.is_stalled = True
        await caller.says(GET)
        assert caller.wire.unsent <= 2 * PIECE_BYTES + 1000
        heard = await caller.hears()
        while caller.wire.unsent:
            caller.wire.take(50_000)
            heard += await caller.hears()
            assert caller.wire.unsent <= 2 * PIECE_BYTES + 1000
        assert heard.partition(b"\r\n\r\n")[2] == LARGE

    asyncio.run(work())


def test_an_answer_without_a_length_comes_in_chunks_and_to_http_1_0_until_its_end() -> None:
    async def work() -> None:
        caller = Party(in_chunks).caller()
        await caller.says(GET)
        head, _, body = (await caller.hears()).partition(b"\r\n\r\n")
        assert b"transfer-encoding: chunked" in head
        framed = b"%x\r\n%b\r\n" % (len(LARGE), LARGE)
        assert body == b"3\r\nabc\r\n" + framed + b"0\r\n\r\n"
        assert not caller.wire.is_closed
        old = Party(in_chunks).caller()
        await old.says(b"GET / HTTP/1.0\r\n\r\n")
        head, _, body = (await old.hears()).partition(b"\r\n\r\n")
        assert b"chunked" not in head
        assert b"connection: close" in head
        assert body == b"abc" + LARGE
        assert old.wire.is_closed

    asyncio.run(work())


def test_head_is_answered_without_a_body() -> None:
    async def work() -> None:
        for app in (answers(b"abc"), in_chunks):
            caller = Party(app).caller()
            await caller.says(b"HEAD / HTTP/1.1\r\n\r\n")
            assert (await caller.hears()).endswith(b"\r\n\r\n")
            assert not caller.wire.is_closed

    asyncio.run(work())


@pytest.mark.parametrize("answer", [b"abc", LARGE], ids=["small", "large"])
def test_a_reader_who_takes_nothing_is_broken_off(answer: bytes) -> None:
    async def work() -> None:
        party = Party(answers(answer))
        caller = party.caller()
        caller.wire.is_stalled = True
        await caller.says(GET)
        await party.wait(59)
        assert not caller.wire.is_closed
        await party.wait(10)
        assert caller.wire.is_aborted
        # the application is told, and what it holds is let go of
        await settle()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(work())


def test_a_reader_who_takes_a_little_is_waited_for_and_one_who_dribbles_is_not() -> None:
    async def work() -> None:
        for size, is_closed in ((20_000, False), (1000, True)):
            party = Party(answers(LARGE))
            caller = party.caller()
            caller.wire.is_stalled = True
            await caller.says(GET)
            for _ in range(3):
                await party.wait(50)
                caller.wire.take(size)
            assert caller.wire.is_closed is is_closed
            assert caller.closed("write-timeout") == is_closed

    asyncio.run(work())


UPLOAD = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize(
    ("status", "length", "lines", "closes"),
    [
        (413, 100_000_000, b"", True),
        (413, 10, b"", True),
        (408, 10, b"", True),
        (415, 10, b"", False),
        (415, 100_000_000, b"", True),
        (415, 10, b"Expect: 100-continue\r\n", True),
    ],
)
def test_an_answer_before_the_end_of_its_body_closes_the_connection(
    status: int, length: int, lines: bytes, closes: bool
) -> None:
    async def work() -> None:
        party = Party(answers(b"no", status))
        caller = party.caller()
        await caller.says(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n%b\r\n" % (length, lines))
        answer = await caller.hears()
        assert statuses(answer) == [status]
        assert (b"connection: close" in answer) is closes
        assert caller.wire.has_ended is closes
        await caller.says(b"a" * 10)  # what is on its way is read, so that the answer arrives
        assert await caller.hears() == b""
        if closes:
            await party.wait(LINGER_SECONDS + 0.5)
            assert caller.wire.is_aborted
        else:
            await caller.says(UPLOAD % 0)
            assert statuses(await caller.hears()) == [status]

    asyncio.run(work())


def test_an_application_that_fails_is_answered_with_500() -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/late":
            await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/header":
            headers = [(b"a", b"b\r\nc: d")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        raise ValueError

    async def work() -> None:
        for path, status in ((b"/", 500), (b"/late", 200), (b"/header", 500)):
            caller = Party(fails).caller()
            await caller.says(b"GET %b HTTP/1.1\r\n\r\n" % path)
            answer = await caller.hears()
            assert statuses(answer) == [status]
            assert b"c: d" not in answer
            assert caller.wire.is_closed

    asyncio.run(work())


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("content", [b"", b"abc"])
def test_a_small_answer_is_one_write(method: bytes, content: bytes) -> None:
    async def work() -> None:
        caller = Party(answers(content)).caller()
        await caller.says(b"%b / HTTP/1.1\r\n\r\n" % method)
        assert statuses(await caller.hears()) == [200]
        assert caller.wire.writes == 1

    asyncio.run(work())


def test_the_head_of_an_answer_goes_ahead_of_a_wait_for_the_body_of_its_request() -> None:
    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()
        await send({"type": "http.response.body", "body": b"done"})

    async def work() -> None:
        caller = Party(echo).caller()
        await caller.says(UPLOAD.partition(b"\r\n\r\n")[0] % 3 + b"\r\n\r\n")
        assert statuses(await caller.hears()) == [200]
        await caller.says(b"abc")
        assert b"done" in await caller.hears()

    asyncio.run(work())


def test_too_many_connections() -> None:
    async def work() -> None:
        party = Party(stalls, replace(LIMITS, max_connections=3))
        busy = [party.caller() for _ in range(2)]
        for each in busy:
            await each.says(GET)
        silent = party.caller()
        late = party.caller()  # the silent one has only just come
        assert statuses(await late.hears()) == [503]
        assert late.wire.is_closed
        await party.wait(1.5)
        later = [party.caller(), party.caller()]
        assert silent.wire.is_closed
        assert [statuses(await each.hears()) for each in later] == [[], [503]]
        assert not any(each.wire.is_closed for each in busy)
        assert (late.closed("too-many"), late.closed("displaced")) == (2, 1)
        assert party.metrics.registry.get_sample_value("bijecta_connections") == 3

    asyncio.run(work())


def test_who_has_had_the_last_answer_makes_room_before_those_who_may_ask_again() -> None:
    async def work() -> None:
        party = Party()
        kept = [party.caller() for _ in range(party.limits.max_connections - 1)]
        await party.wait(5)
        refused = party.caller()
        await refused.says(b"no request\r\n\r\n")
        assert statuses(await refused.hears()) == [400]
        await party.wait(0.25)
        late = party.caller()
        await late.says(GET)
        assert statuses(await late.hears()) == [200]
        assert refused.wire.is_closed
        assert not any(each.wire.is_closed for each in kept)

    asyncio.run(work())


def test_silence_counts_only_while_this_process_runs() -> None:
    async def work() -> None:
        party = Party()
        caller = party.caller()
        await caller.says(GET[:9])
        party.seconds += 1000  # it was stopped, or starved
        await party.registry.look_over()
        assert not caller.wire.is_closed
        await caller.says(GET[9:])
        assert statuses(await caller.hears()) == [200]

    asyncio.run(work())
