"""Heads of requests: without an end, a byte at a time, larger than any browser's, and none."""

import os

from tests.hostile.attacker import REFUSED, Target, attacker, exchange
from tests.hostile.wire import Connection, head, request

MEGABYTES = 100
REQUEST = request("/log_prob", b'{"model":"tiny","x":[[0.5,-2.0]]}')
CLOSED = REFUSED | {200, 405, 501, 505}


async def endless(target: Target, start: bytes, piece: bytes) -> None:
    """Send a start, then one piece again and again: 100 MB, or what the server takes of it."""
    pieces = [piece] * target.count(MEGABYTES * 2**20 // len(piece))
    async with target.connection() as connection:
        await exchange(target, connection, start, *pieces, b"\r\n\r\n")


@attacker("B4", "a URL without an end is refused at 64 KiB", connections=4, quick=0.01)
async def huge_url(target: Target) -> None:
    await endless(target, b"POST /log_prob?x=", b"a" * 2**16)


@attacker("B4", "a field without an end is refused at 64 KiB", connections=4, quick=0.01)
async def huge_field(target: Target) -> None:
    await endless(target, b"POST /log_prob HTTP/1.1\r\nHost: a\r\nX-Long: ", b"a" * 2**16)


@attacker("B4", "fields without an end are refused after 200", connections=4, quick=0.01)
async def many_fields(target: Target) -> None:
    await endless(target, b"POST /log_prob HTTP/1.1\r\nHost: a\r\n", b"a: b\r\n" * 2**13)


@attacker(
    "B4", "methods, names and empty lines without an end are refused", connections=6, quick=0.01
)
async def endless_starts(target: Target) -> None:
    await endless(target, b"GET / HTTP/1.1\r\nHost: a\r\n", b"A" * 2**16)
    await endless(target, b"", b"POST" * 2**14)
    async with target.connection() as connection:
        for _ in range(target.count(MEGABYTES)):  # which are none, and get no answer
            await connection.send(b"\r\n" * 2**19)


@attacker("B4", "heads just below the limits cost what they are", connections=16, expected=CLOSED)
async def largest_heads(target: Target) -> None:
    fields = "".join(f"X-Field-{i}: {'v' * 280}\r\n" for i in range(180))
    start, _, rest = REQUEST.partition(b"\r\n")
    data = start + b"\r\n" + fields.encode() + rest
    async with target.connection() as connection:
        while target.goes_on:
            await connection.send(data)
            reply = await target.reply(connection)
            if target.once or reply.status != 200:
                return


@attacker(
    "B8",
    "a head that comes a byte at a time has half a minute",
    connections=1000,
    expected=REFUSED | {200},
)
async def slow_heads(target: Target) -> None:
    async with target.connection() as connection:
        for place in range(len(REQUEST)):
            await connection.send(REQUEST[place : place + 1])
            await target.pause(0.5)
        reply = await target.reply(connection)
    if reply.status == 200 and not target.once:
        target.wrong.append("a head that took 50 seconds was answered")


@attacker("B8", "a head that comes a field at a time has half a minute", connections=1000)
async def slow_fields(target: Target) -> None:
    async with target.connection() as connection:
        await connection.send(b"GET /health/live HTTP/1.1\r\n")
        for number in range(target.count(180)):
            await connection.send(b"X-Field-%d: value\r\n" % number)
            await target.pause(1)


@attacker("B8", "half a head is waited for half a minute", connections=1000)
async def half_heads(target: Target) -> None:
    async with target.connection() as connection:
        await connection.send(REQUEST[:40])
        await target.pause(120)


@attacker("B12", "trailers are no headers", connections=8, expected={200, 400, 431})
async def trailers_as_headers(target: Target) -> None:
    body = b'{"model":"tiny","x":[[0.5,-2.0]]}'
    trailer = b"X-Request-Timeout: nonsense\r\nContent-Encoding: br\r\nContent-Type: text/plain"
    data = head("/log_prob", None) + b"%x\r\n%s\r\n0\r\n%s\r\n\r\n" % (len(body), body, trailer)
    async with target.connection() as connection:
        await connection.send(data)
        reply = await target.reply(connection)
    if reply.status == 400 and b"X-Request-Timeout" in reply.body:
        target.wrong.append("a trailer was taken for a header")


@attacker(
    "B4", "trailers and extensions of chunks without an end are refused", connections=4, quick=0.01
)
async def endless_trailers(target: Target) -> None:
    await endless(target, head("/log_prob", None) + b"2;", b"a" * 2**16)
    await endless(target, head("/log_prob", None) + b"2\r\n{}\r\n0\r\n", b"a: b\r\n" * 2**13)


async def _lengths_of_digits(target: Target) -> None:
    for digits in (20, 400, 5000):
        async with target.connection() as connection:
            field = b"Content-Length: " + b"9" * digits
            await connection.send(b"POST /log_prob HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n{}" % field)
            await target.reply(connection)


@attacker("B11", "bytes that are no HTTP, and lengths of thousands of digits", connections=32)
async def no_http(target: Target) -> None:
    await _lengths_of_digits(target)
    starts = (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", os.urandom(300), b"\0" * 5000)
    for start in (*starts, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n"):
        async with target.connection() as connection:
            await connection.send(start + b"\r\n\r\n")
            if await connection.read(12) == b"HTTP/1.1 500":
                target.wrong.append(f"{start[:20]!r} was answered 500")


@attacker(
    "xi",
    "two lengths, or a length and chunks, are one request or none",
    connections=8,
    expected=CLOSED,
)
async def smuggling(target: Target) -> None:
    hidden = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
    both = b"POST /log_prob HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%s\r\n\r\n0\r\n\r\n%s"
    for field in (
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: x, chunked",
        b"Content-Length: 5",
        b"Transfer-Encoding : chunked",
    ):
        async with target.connection() as connection:
            await connection.send(both % (5 + len(hidden), field, hidden))
            connection.half_close()
            await _statuses(target, connection)


async def _statuses(target: Target, connection: Connection) -> None:
    """Read all answers of a connection; the hidden request is to have none."""
    answers = b""
    while piece := await connection.read(2**16):
        answers += piece
    if b"/hidden" in answers:
        target.wrong.append("a request hidden in a body was answered")


@attacker("vi", "a body that is announced and not sent holds nothing", connections=500)
async def announced_bodies(target: Target) -> None:
    async with target.connection() as connection:
        await connection.send(head("/log_prob", 60 * 2**20, Expect="100-continue"))
        await target.pause(60)
