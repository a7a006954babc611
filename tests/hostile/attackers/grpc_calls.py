"""Calls over gRPC: messages, streams and frames that are wrong, too large, too many or too slow."""

import gzip
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np

from service.grpc.protos import messages
from tests.hostile.attacker import REFUSED, Target, attacker
from tests.hostile.http2 import GrpcConnection

OPTIONS = ("--grpc-port=0",)
ANSWERED = REFUSED | {200}
SAMPLE_ROWS = 60_000
INFER, STREAM = "ModelInfer", "ModelStreamInfer"


def question(
    x: np.ndarray, model: str = "tiny", name: str = "x", shape: tuple[int, ...] = ()
) -> bytes:
    """A request of one input."""
    datatype = {"f4": "FP32", "i8": "INT64"}[x.dtype.str[1:]]
    asked = messages.ModelInferRequest(model_name=model)
    asked.inputs.add(name=name, datatype=datatype, shape=shape or x.shape)
    asked.raw_input_contents.append(x.tobytes())
    content: bytes = asked.SerializeToString()
    return content


def sample(n: int) -> bytes:
    """A request of n rows."""
    return question(np.array([n]), "tiny.sample", "n")


ONE = question(np.array([[0.5, -2.0]], "f4"))
ODD = (
    question(np.array([[np.nan, 1]], "f4")),
    question(np.ones((1, 3), "f4")),
    question(np.ones((1, 2), "f4"), shape=(2, 2)),
    question(np.ones((1, 2), "f4"), shape=(-1, 2)),
    question(np.ones((1, 2), "f4"), shape=(2**62, 2**62)),
    question(np.ones((1, 2), "f4"), model="nobody"),
    question(np.ones((1, 2), "f4"), name="y"),
    sample(-1),
    sample(2**62),
    b"",
    b"\x2a\x00" * 20_000,
)


def bomb(scale: float) -> bytes:
    """A gigabyte of zeros, compressed."""
    return gzip.compress(bytes(max(1, round(2**30 * scale))), 1)


@asynccontextmanager
async def opened(target: Target) -> AsyncIterator[GrpcConnection]:
    """A connection, closed at the end."""
    connection = await GrpcConnection.open(target.grpc_port)
    try:
        yield connection
    finally:
        connection.close()


async def ended(target: Target, connection: GrpcConnection) -> int:
    """The status of the next call to end, counted."""
    status = await connection.end()
    target.statuses[status] += 1
    return status


@attacker(
    "xiv",
    "calls of many streams at once leave HTTP its turn",
    connections=16,
    expected=ANSWERED,
    options=OPTIONS,
)
async def grpc_storms(target: Target) -> None:
    async with opened(target) as connection:
        for _ in range(target.count(64)):
            await connection.send(await connection.begin(INFER), ONE)
        while target.goes_on:
            await ended(target, connection)
            if target.once:
                return
            await connection.send(await connection.begin(INFER), ONE)


@attacker(
    "xiv",
    "messages that are wrong are refused one by one",
    connections=8,
    expected=REFUSED,
    options=OPTIONS,
    quick=0.1,
)
async def grpc_odd_messages(target: Target) -> None:
    async with opened(target) as connection:
        for message in ODD:
            await connection.send(await connection.begin(INFER), message)
            if await ended(target, connection) == 200:
                target.wrong.append(f"answered {message!r:.80}")


@attacker(
    "xiv",
    "bytes that are changed at random are refused or answered",
    connections=8,
    expected=ANSWERED,
    options=OPTIONS,
)
async def grpc_changed_messages(target: Target) -> None:
    async with opened(target) as connection:
        for _ in range(target.count(500)):
            message = bytearray(random.choice((ONE, sample(3), *ODD)))
            for _ in range(random.randrange(4) if message else 0):
                message[random.randrange(len(message))] = random.randrange(256)
            await connection.send(await connection.begin(INFER), bytes(message))
            await ended(target, connection)


@attacker(
    "xiv",
    "messages beyond the limit are refused by what they announce",
    connections=8,
    options=OPTIONS,
)
async def grpc_oversized_messages(target: Target) -> None:
    async with opened(target) as connection:
        stream = await connection.begin(INFER)
        await connection.send(stream, bytes(target.count(2**24)), announced=2**31)
        await ended(target, connection)


@attacker(
    "xiv",
    "bombs are refused before they are whole",
    connections=4,
    make=(bomb,),
    options=OPTIONS,
)
async def grpc_bombs(target: Target) -> None:
    async with opened(target) as connection:
        stream = await connection.begin(INFER, grpc_encoding="gzip")
        await connection.send(stream, target.payloads[0], is_compressed=True)
        await ended(target, connection)


@attacker(
    "xiv",
    "messages that come slowly give way",
    connections=64,
    expected=ANSWERED,
    options=OPTIONS,
)
async def grpc_slow_messages(target: Target) -> None:
    async with opened(target) as connection:
        stream = await connection.begin(INFER)
        size = 30 * 2**20
        # a good part at once, which is held until the rest has come
        await connection.send(stream, bytes(target.count(2**22)), announced=size, is_last=False)
        await target.pause(20)
        if not target.once:
            await ended(target, connection)


@attacker(
    "xiv",
    "callers who leave at any time leave nothing behind",
    connections=16,
    expected=ANSWERED,
    options=OPTIONS,
)
async def grpc_leavers(target: Target) -> None:
    async with opened(target) as connection:
        for _ in range(target.count(100)):
            stream = await connection.begin(random.choice((INFER, STREAM)))
            await connection.send(stream, sample(SAMPLE_ROWS))
            await target.pause(random.uniform(0, 0.05))
            await connection.reset(stream)


@attacker(
    "xiv",
    "calls given up as soon as they begin cost little",
    connections=4,
    expected=ANSWERED,
    options=OPTIONS,
)
async def grpc_rapid_resets(target: Target) -> None:
    async with opened(target) as connection:
        for _ in range(target.count(10_000)):
            await connection.reset(await connection.begin(INFER))
            await target.pause(0)


@attacker(
    "xiv",
    "deadlines that pass in the queue cost no lines of the log",
    connections=32,
    expected=ANSWERED,
    options=OPTIONS,
)
async def grpc_deadlines(target: Target) -> None:
    async with opened(target) as connection:
        for _ in range(target.count(100)):
            microseconds = random.choice((1, 500, 5_000, 50_000))
            stream = await connection.begin(INFER, grpc_timeout=f"{microseconds}u")
            await connection.send(stream, sample(target.count(SAMPLE_ROWS)))
            await ended(target, connection)


@attacker(
    "xiv",
    "streams that say nothing give way to others",
    connections=32,
    expected=ANSWERED,
    options=OPTIONS,
)
async def grpc_silent_streams(target: Target) -> None:
    async with opened(target) as connection:
        for _ in range(target.count(100)):
            await connection.begin(STREAM)
        await target.pause(5)


@attacker(
    "xiv",
    "samples that nobody takes wait in bounded memory",
    connections=64,
    expected=ANSWERED,
    options=OPTIONS,
)
async def grpc_unread_samples(target: Target) -> None:
    async with opened(target) as connection:
        for method in (STREAM, INFER):
            stream = await connection.begin(method)
            await connection.send(stream, sample(10_000_000 if method == STREAM else SAMPLE_ROWS))
        await target.pause(120)


@attacker(
    "xiv",
    "connections that are half closed within a message end",
    connections=64,
    expected=ANSWERED,
    options=OPTIONS,
)
async def grpc_half_closed(target: Target) -> None:
    async with opened(target) as connection:
        stream = await connection.begin(random.choice((INFER, STREAM)))
        await connection.send(stream, ONE[:10], announced=len(ONE), is_last=False)
        connection.half_close()
        if not target.once:
            await ended(target, connection)


@attacker(
    "xiv",
    "who pings without end is sent away",
    connections=4,
    expected=ANSWERED,
    options=OPTIONS,
)
async def grpc_pings(target: Target) -> None:
    async with opened(target) as connection:
        for _ in range(target.count(10_000)):
            await connection.ping()
            if random.random() < 0.1:
                await connection.receive()
