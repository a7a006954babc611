"""Pages of other sites in somebody's browser, and names that are not this server's."""

from tests.hostile.attacker import REFUSED, Target, attacker
from tests.hostile.wire import head, request

CHANGE = "/v2/repository/models/nice/unload"
REFUSES = REFUSED | {403, 405, 421}


@attacker(
    "B13",
    "a page of another site unloads nothing",
    connections=8,
    expected=REFUSES,
    options=("--model-control",),
)
async def foreign_origin(target: Target) -> None:
    for origin in (
        "https://evil.example",
        "null",
        "http://127.0.0.1.evil.example",
        f"http://127.0.0.1:{target.port + 1}",
        "file://",
    ):
        reply = await target.ask(CHANGE, b"{}", "text/plain", Origin=origin)
        if reply.status < 300:
            target.wrong.append(f"a page of {origin} unloaded a model")


@attacker(
    "B13",
    "another Host than those allowed is refused",
    connections=8,
    expected=REFUSES,
    options=("--allowed-hosts", "127.0.0.1"),
)
async def foreign_host(target: Target) -> None:
    for host in (b"evil.example", b"evil.example:80", b"127.0.0.1.evil.example", b"a" * 3000, b""):
        data = request("/models", method="GET").replace(b"Host: 127.0.0.1", b"Host: " + host)
        async with target.connection() as connection:
            await connection.send(data)
            reply = await target.reply(connection)
        if reply.status < 300:
            target.wrong.append(f"Host: {host[:40]!r} was answered {reply.status}")


@attacker("B16", "nobody is sent where Host says", connections=8, expected=REFUSES | {200})
async def redirects(target: Target) -> None:
    for path in ("/models/", "/log_prob/", "//evil.example/models", "/health/live/", "/docs/"):
        for method in ("GET", "POST"):
            data = head(path, 0, method=method).replace(b"127.0.0.1", b"evil.example")
            async with target.connection() as connection:
                await connection.send(data)
                reply = await target.reply(connection)
            if "location" in reply.headers:
                target.wrong.append(f"{method} {path} is sent to {reply.headers['location']}")
