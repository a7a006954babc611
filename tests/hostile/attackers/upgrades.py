"""Upgrades to other protocols, which are ignored."""

from tests.hostile.attacker import REFUSED, Target, attacker
from tests.hostile.wire import head, request

ROW = b'{"model":"tiny","x":[[0.5,-2.0]]}'
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)


async def _upgrade(target: Target, **headers: str) -> None:
    async with target.connection() as connection:
        await connection.send(request("/log_prob", ROW, **headers))
        reply = await target.reply(connection)
    if reply.status not in (200, 503):
        target.wrong.append(
            f"{headers.get('Upgrade', '')[:20]}: answered {reply.status} {reply.body[:80]!r}"
        )


@attacker("B7", "a body beside Upgrade: h2c is read", connections=16, expected={200})
async def h2c(target: Target) -> None:
    await _upgrade(
        target, Connection="Upgrade, HTTP2-Settings", Upgrade="h2c", HTTP2_Settings="AAMAAABk"
    )


@attacker("B7", "a POST beside Upgrade: websocket is answered", connections=16, expected={200})
async def websocket_by_post(target: Target) -> None:
    await _upgrade(
        target,
        Connection="Upgrade",
        Upgrade="websocket",
        Sec_WebSocket_Version="13",
        Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
    )


@attacker(
    "B7",
    "a websocket that nobody offers is refused, and HTTP/2 too",
    connections=16,
    expected=REFUSED | {403, 405, 426, 501, 505},
)
async def other_protocols(target: Target) -> None:
    async with target.connection() as connection:
        await connection.send(PREFACE)
        await connection.read(100)
    fields = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13"}
    async with target.connection() as connection:
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        data = head("/log_prob", 0, method="GET", Sec_WebSocket_Key=key, **fields)
        await connection.send(data)
        await target.reply(connection)


@attacker("B7", "upgrades to words that mean nothing are ignored", connections=16, expected={200})
async def unknown_upgrades(target: Target) -> None:
    for word in ("TLS/1.0", "foo, bar", "a" * 1000, "h2c\t", "websocket, h2c"):
        await _upgrade(target, Connection="upgrade", Upgrade=word)
