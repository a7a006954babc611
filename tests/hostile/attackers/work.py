"""Work: as much as one caller may ask for, with deadlines, and with rows that poison others."""

import json
import time

from tests.helpers.heavy import write_heavy_bundle
from tests.hostile.attacker import REFUSED, Target, attacker, body_attacker
from tests.hostile.wire import request

ANSWERED = REFUSED | {200, 503}
POISON = [3e38, 3e38]  # of the bundle `tiny`, whose log_prob is the sum of a row
NPY = "application/x-npy"
STORM_SECONDS = 0.2


def body(**fields: object) -> bytes:
    return json.dumps(fields).encode()


async def again(target: Target, *requests: bytes) -> None:
    """Requests in turn on one connection, until the time is over or it is closed."""
    async with target.connection() as connection:
        while target.goes_on:
            for data in requests:
                await connection.send(data)
                reply = await target.reply(connection)
                if reply.headers.get("connection") == "close":
                    return
            if target.once:
                return


@attacker(
    "x",
    "one bad row is named, and no other request notices",
    connections=4,
    expected={200, 422, 429, 503},
)
async def poison(target: Target) -> None:
    good = request("/log_prob", body(model="tiny", x=[[0.5, -2.0]] * 31))
    bad = request("/log_prob", body(model="tiny", x=[[0.5, -2.0]] * 31 + [POISON]))
    await again(target, good, bad)


@attacker("B24", "65,536 rows without an answer are named in bounded memory", connections=4)
async def only_poison(target: Target) -> None:
    rows = target.count(65_536)
    await again(target, request("/log_prob", body(model="tiny", x=[POISON] * rows)))


@attacker(
    "B29",
    "deadlines in storms cost no lines of the log",
    connections=30,
    expected={200, 429, 503, 504},
)
async def deadlines(target: Target) -> None:
    data = request("/sample", body(model="maf", n=2000), X_Request_Timeout="0.02")
    async with target.connection() as connection:
        while target.goes_on:
            await target.pause(STORM_SECONDS - time.monotonic() % STORM_SECONDS)  # all at once
            await connection.send(data)
            await target.reply(connection)
            if target.once:
                return


@attacker(
    "B29",
    "deadlines inside a stream cost no traceback",
    connections=30,
    expected={200, 429, 503, 504},
)
async def deadlines_in_streams(target: Target) -> None:
    path = f"/sample?model=maf&n={target.count(10_000_000)}"
    async with target.connection() as connection:
        # a sample that is done in time leaves the connection open, unless it is told to close
        data = request(path, Accept=NPY, X_Request_Timeout="0.2", Connection="close")
        await connection.send(data)
        while await connection.read(2**18):
            pass


@attacker("vi", "deadlines that are no time", connections=8, expected={400, 200, 504, 503})
async def deadlines_of_nonsense(target: Target) -> None:
    for seconds in ("nan", "inf", "-1", "1e400", "0", "1e-300", "9" * 3000, "0x1", "1_0"):
        await target.ask("/log_prob", body(model="tiny", x=[[0, 0]]), X_Request_Timeout=seconds)


@attacker(
    "vii", "samples in JSON of the most rows, without pause", connections=16, expected=ANSWERED
)
async def huge_samples(target: Target) -> None:
    rows = target.count(65_536)
    await again(target, request("/sample", body(model="tiny", n=rows)))


@attacker("vii", "samples of a real flow of the most rows", connections=16, expected=ANSWERED)
async def huge_samples_of_a_flow(target: Target) -> None:
    rows = target.count(65_536)
    await again(target, request("/sample", body(model="maf", n=rows, temperature=3)))


@attacker("vii", "samples in tables of the most rows", connections=16, expected=ANSWERED)
async def huge_tables(target: Target) -> None:
    rows = target.count(65_536)
    path = f"/sample?model=maf-context&n={rows}&context=1.0,red"
    await again(target, request(path, Accept="application/vnd.apache.arrow.stream"))


@attacker("vii", "more rows than a sample may have", connections=16, expected=ANSWERED)
async def samples_beyond(target: Target) -> None:
    for rows in (65_537, 10_000_001, 2**31, 2**63, 10**400):
        await target.ask("/sample", b'{"model":"tiny","n":%d}' % rows)
        await target.ask(f"/sample?model=tiny&n={rows}", Accept=NPY)


@attacker("B27", "paths of the most points", connections=8, expected=ANSWERED)
async def interpolations(target: Target) -> None:
    fields = {"model": "tiny", "start": [0, 0], "end": [1, 1], "steps": target.count(65_536)}
    await again(
        target,
        *(
            request("/interpolate", body(**fields, path=path))
            for path in ("linear", "normalized", "geodesic")
        ),
    )


@attacker("vi", "noisy copies without an end", connections=8, expected=ANSWERED)
async def noisy_copies(target: Target) -> None:
    rows = target.count(64)
    x = [[8.0] * 16] * rows
    await again(
        target,
        request("/log_prob", body(model="nice", x=x, dequantize=1000)),
        request("/log_prob", body(model="nice", x=x[:1], dequantize=target.count(65_000))),
        request("/log_prob", body(model="nice", x=x, dequantize=2**40)),
    )


@attacker("B26", "more rows than the queue holds", connections=64, expected=ANSWERED)
async def full_queue(target: Target) -> None:
    x = [[0.1, 0.2, 0.3]] * target.count(4000)
    await again(target, request("/decode", body(model="maf", z=x)))


@attacker("B25", "rows far out, there and back", connections=4, expected=ANSWERED)
async def far_rows(target: Target) -> None:
    x = [[s * 10.0**k, 0, 0] for k in range(-38, 39) for s in (1, -1)]
    await again(
        target,
        request("/encode", body(model="maf", x=x)),
        request("/decode", body(model="maf", z=x)),
    )


@attacker("xi", "fields in the query string that cannot be", connections=16, expected=ANSWERED)
async def queries(target: Target) -> None:
    for query in (
        "n=" + "9" * 5000,
        "seed=-1",
        "context=" + "," * 5000,
        "output=" + "x" * 9000,
        "&".join(f"k{i}=1" for i in range(5000)),
        "model=%00%0a%0d",
        "n=1;n=2",
        "model=" + "%F0%9F%98%80" * 1000,
        "context=" + '"' * 3001,
    ):
        await target.ask(f"/sample?{query}", Accept=NPY)


@attacker("B23", "batches of nothing", connections=8, expected=ANSWERED)
async def empty_batches(target: Target) -> None:
    for x in (b"[]", b"[[]]", b"[[[]]]", b"{}", b"null", b'""', b"[[],[]]"):
        for path in ("/log_prob", "/encode"):
            await target.ask(path, b'{"model":"tiny","x":%s}' % x)


def digits_of_context(scale: float) -> bytes:
    """A context whose one text is 60 MB."""
    start = b'{"model":"maf-context","x":[[0,0]],"context":[[0,"'
    return start + b"a" * int(60e6 * scale) + b'"]]}'


body_attacker(
    "long-context", "vii", "a class of 60 MB is refused, and not shown", digits_of_context
)


@attacker("x", "models that do not exist, by the thousand", connections=32)
async def unknown_models(target: Target) -> None:
    for number in range(50):
        await target.ask("/log_prob", body(model=f"{target.ends}-{number}", x=[[0, 0]]))


@attacker(
    "B30",
    "rows of 1.6 MB each are worked on a few at a time",
    connections=8,
    expected=ANSWERED,
    prepare=write_heavy_bundle,
    quick=0,
)
async def heavy_rows(target: Target) -> None:
    rows = [[0.5, -2.0]] * 1024
    await again(target, request("/log_prob", body(model="heavy", x=rows)))
