"""Callers who write the log."""

from tests.hostile.attacker import REFUSED, Target, attacker
from tests.hostile.wire import request


@attacker("B29", "requests that are none cost no line each", connections=16)
async def log_of_bad_requests(target: Target) -> None:
    for line in (b"\0\1\2\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n", b"GET \r\n\r\n"):
        async with target.connection() as connection:
            await connection.send(line)
            await connection.read(100)


@attacker(
    "B29",
    "line breaks in names write no lines of their own",
    connections=16,
    expected=REFUSED | {405},
)
async def log_of_line_breaks(target: Target) -> None:
    forged = "%0d%0a2026-01-01%2000:00:00%20ERROR%20forged%20line%0a"
    for path in (
        f"/models/{forged}",
        f"/v2/models/{forged}/infer",
        f"/{forged}",
        f"/sample?model={forged}",
        f"/sample?output={forged}",
    ):
        for method in ("GET", "POST"):
            async with target.connection() as connection:
                await connection.send(request(path, method=method))
                await target.reply(connection)


@attacker("xiii", "refusals are counted and not written", connections=16)
async def log_of_refusals(target: Target) -> None:
    for kind, body in (
        ("text/plain", b"x"),
        ("application/json", b"{"),
        ("application/x-npy", b"x"),
        ("application/vnd.apache.arrow.stream", b"x"),
        ("application/json", b"[]"),
    ):
        await target.ask("/log_prob", body, kind)
