"""Connections: silent, many, pipelined, broken off, and bodies a byte at a time."""

import asyncio

from tests.hostile.attacker import REFUSED, Target, attacker, exchange
from tests.hostile.wire import head, request

ROW = b'{"model":"tiny","x":[[0.5,-2.0]]}'
ASK = request("/log_prob", ROW)
ANSWERED = {200, 408, 503}


@attacker("B8", "connections that say nothing are closed and leave room", connections=1000)
async def silence(target: Target) -> None:
    async with target.connection():
        await target.pause(120)


@attacker(
    "B8", "a thousand open connections that ask now and then", connections=1000, expected=ANSWERED
)
async def thousand_connections(target: Target) -> None:
    async with target.connection() as connection:
        while target.goes_on:
            await connection.send(ASK)
            await target.reply(connection)
            if target.once:
                return
            await target.pause(2)


@attacker("B8", "connections are taken and let go without a leak", connections=64)
async def come_and_go(target: Target) -> None:
    async with target.connection():
        pass
    await asyncio.sleep(0.001)


@attacker("x", "connections that break off at once are forgotten", connections=64)
async def reset_at_once(target: Target) -> None:
    async with target.connection() as connection:
        await connection.send(ASK[:60])
        connection.reset()
    await asyncio.sleep(0.001)


@attacker(
    "xi",
    "who says that nothing more is sent is answered, or has left",
    connections=16,
    expected=ANSWERED,
)
async def half_closed(target: Target) -> None:
    async with target.connection() as connection:
        await connection.send(ASK)
        connection.half_close()
        await target.reply(connection)


@attacker(
    "B8", "a thousand connections that pipeline and never read", connections=1000, expected=ANSWERED
)
async def pipelines_unread(target: Target) -> None:
    async with target.connection(receive_bytes=4096) as connection:
        for _ in range(target.count(10)):
            await connection.send(ASK * 50)
            await target.pause(1)
        await target.pause(60)


@attacker("viii", "pipelined requests are answered in turn", connections=32, expected=ANSWERED)
async def pipelines_read(target: Target) -> None:
    async with target.connection() as connection:
        await connection.send(ASK * 100)
        for _ in range(100):
            await target.reply(connection)


@attacker("B8", "a body that comes a byte at a time has its time and no more", connections=500)
async def slow_bodies(target: Target) -> None:
    async with target.connection() as connection:
        await connection.send(head("/log_prob", 2**20))
        for _ in range(target.count(300)):
            await connection.send(b" ")
            await target.pause(0.5)


@attacker("B8", "who is refused and goes on sending is closed", connections=64)
async def sends_after_refusal(target: Target) -> None:
    async with target.connection() as connection:
        await connection.send(head("/log_prob", 2**40))
        await target.reply(connection)
        for _ in range(target.count(100)):
            await connection.send(b"x" * 1000)
            await target.pause(0.5)


@attacker("vii", "chunks of one byte cost what their bytes do", connections=4, expected=REFUSED)
async def one_byte_chunks(target: Target) -> None:
    pieces = [b"1\r\n \r\n" * 2**16] * target.count(100)
    async with target.connection() as connection:
        await exchange(target, connection, head("/log_prob", None), *pieces, b"0\r\n\r\n")


@attacker("vii", "a small body in many packets", connections=32, expected=ANSWERED)
async def byte_packets(target: Target) -> None:
    async with target.connection() as connection:
        for place in range(len(ASK)):
            await connection.send(ASK[place : place + 1])
            await asyncio.sleep(0)
        await target.reply(connection)


@attacker(
    "ix", "what nobody asks for is not found, quickly", connections=16, expected=REFUSED | {405}
)
async def unknown_paths(target: Target) -> None:
    async with target.connection() as connection:
        for method, path in (
            ("GET", "/" + "a/" * 2000),
            ("DELETE", "/models/tiny"),
            ("POST", "/v2/models/" + "%25" * 500 + "/infer"),
            ("GET", "/models/..%2f..%2fetc%2fpasswd"),
            ("PATCH", "/log_prob"),
        ):
            await connection.send(request(path, method=method))
            reply = await target.reply(connection)
            if b"root:" in reply.body:
                target.wrong.append("a file was shown")
            if reply.headers.get("connection") == "close":
                return


@attacker("vii", "large pages asked for without pause", connections=8, expected={200, 503})
async def pages(target: Target) -> None:
    async with target.connection() as connection:
        for path in ("/metrics", "/models", "/openapi.json", "/docs", "/v2/models/stats"):
            await connection.send(request(path, method="GET"))
            await target.reply(connection)


@attacker("B21", "HTTP/1.0 gets no chunks", connections=8, expected=ANSWERED | REFUSED)
async def http_1_0(target: Target) -> None:
    table = "application/vnd.apache.arrow.stream"
    for path in ("/sample?model=tiny&n=3", f"/sample?model=tiny&n={target.count(100_000)}"):
        data = request(path, Accept=table).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
        async with target.connection() as connection:
            await connection.send(data)
            answer = await connection.read(1000)
        if b"transfer-encoding" in answer.partition(b"\r\n\r\n")[0].lower():
            target.wrong.append("HTTP/1.0 was answered in chunks")
