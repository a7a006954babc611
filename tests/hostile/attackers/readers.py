"""Callers who take their answers slowly or not at all, and callers who leave."""

import asyncio
import json

from tests.hostile.attacker import Target, attacker
from tests.hostile.wire import head, request

ANSWERED = {200, 408, 413, 429, 503}
NPY = "application/x-npy"
ARROW = "application/vnd.apache.arrow.stream"
LARGE = json.dumps({"model": "tiny", "n": 60_000}).encode()
TEN_MILLION = "/sample?model=tiny&n=10000000"


def large_rows(scale: float) -> bytes:
    """A request whose answer is some megabytes of JSON."""
    rows = max(1, round(60_000 * scale))
    return json.dumps({"model": "tiny", "x": [[0.123456, -2.0]] * rows}).encode()


@attacker(
    "B8",
    "answers that nobody reads do not pile up",
    connections=64,
    expected=ANSWERED,
    make=(large_rows,),
)
async def unread_answers(target: Target) -> None:
    data = request("/encode", target.payloads[0])
    async with target.connection(receive_bytes=4096) as connection:
        for _ in range(4):
            await connection.send(data)
        await target.pause(120)


@attacker(
    "B8", "samples that nobody reads wait in bounded memory", connections=64, expected=ANSWERED
)
async def unread_samples(target: Target) -> None:
    async with target.connection(receive_bytes=4096) as connection:
        await connection.send(request(TEN_MILLION, Accept=NPY))
        await target.pause(120)


@attacker(
    "B3", "ten million rows are drawn as slowly as they are read", connections=30, expected=ANSWERED
)
async def slow_readers(target: Target) -> None:
    async with target.connection(receive_bytes=16_384) as connection:
        await connection.send(request(TEN_MILLION, Accept=NPY))
        for _ in range(target.count(1000)):
            if not await connection.read(8192):
                return
            await target.pause(0.2)


@attacker("B3", "the same of tables, which come in chunks", connections=30, expected=ANSWERED)
async def slow_readers_of_tables(target: Target) -> None:
    async with target.connection(receive_bytes=16_384) as connection:
        await connection.send(request(TEN_MILLION, Accept=ARROW))
        for _ in range(target.count(1000)):
            if not await connection.read(8192):
                return
            await target.pause(0.2)


@attacker(
    "B8", "pages asked for again and again and never read", connections=200, expected=ANSWERED
)
async def unread_pages(target: Target) -> None:
    async with target.connection(receive_bytes=4096) as connection:
        for _ in range(target.count(50)):
            await connection.send(request("/openapi.json", method="GET") * 20)
            await target.pause(0.5)


@attacker(
    "B3", "samples of ten million rows as fast as they come", connections=4, expected=ANSWERED
)
async def fast_readers(target: Target) -> None:
    async with target.connection() as connection:
        rows = target.count(10_000_000)
        await connection.send(request(f"/sample?model=tiny&n={rows}", Accept=NPY))
        target.statuses[await connection.drained_status()] += 1


@attacker(
    "B3", "who leaves while the server waits in send is noticed", connections=30, expected=ANSWERED
)
async def leaves_a_full_pipe(target: Target) -> None:
    async with target.connection(receive_bytes=4096) as connection:
        await connection.send(request(TEN_MILLION, Accept=NPY))
        await target.pause(1)
        connection.reset()
    await target.pause(0.05)


@attacker("ix", "who leaves within a stream is noticed", connections=30, expected=ANSWERED)
async def leaves_during_stream(target: Target) -> None:
    async with target.connection() as connection:
        await connection.send(request(TEN_MILLION, Accept=ARROW))
        await connection.read(2**16)
    await target.pause(0.05)


@attacker(
    "ix", "who leaves before the body is whole is noticed", connections=100, expected=ANSWERED
)
async def leaves_before(target: Target) -> None:
    async with target.connection() as connection:
        await connection.send(head("/sample", len(LARGE)) + LARGE[:-5])
        await asyncio.sleep(0.01)


@attacker("ix", "who leaves during the work is noticed", connections=30, expected=ANSWERED)
async def leaves_during_work(target: Target) -> None:
    async with target.connection() as connection:
        await connection.send(request("/sample", LARGE.replace(b"tiny", b"maf")))
        await asyncio.sleep(0.01)
        connection.reset()


@attacker("ix", "who leaves after the answer is noticed", connections=100, expected={200, 503})
async def leaves_after(target: Target) -> None:
    row = b'{"model":"tiny","x":[[0.5,-2.0]]}'
    async with target.connection() as connection:
        await connection.send(request("/log_prob", row) * 2)
        await target.reply(connection)
        connection.reset()


@attacker("ix", "who half-closes and is gone is noticed", connections=30, expected=ANSWERED)
async def leaves_by_halves(target: Target) -> None:
    async with target.connection(receive_bytes=4096) as connection:
        await connection.send(request(TEN_MILLION, Accept=NPY))
        connection.half_close()
        await connection.read(4096)
        await target.pause(0.5)
