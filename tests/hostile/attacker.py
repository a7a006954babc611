"""What an attacker is, and the list of all of them."""

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.hostile.wire import Connection, Reply, head, request

REFUSED = frozenset({400, 404, 406, 408, 411, 413, 414, 415, 422, 429, 431})
"""What a server answers to what it does not take."""

ALWAYS = frozenset({429, 503})
"""What any request may be answered while there is too much, or while the server stops."""


TRIED_SECONDS = 0.001
"""The longest pause of an attack that is only tried."""


@dataclass
class Target:
    """A server under attack, as one attacker sees it.

    Args:
        port: where it listens.
        store: its folder of bundles.
        payloads: what the attacker made before it began.
        ends: when the attack is over, on `time.monotonic`'s clock.
        scale: factor of every number of the attack: 1, or less where it is only tried.
        once: whether each connection's part is played once, not again and again.
        grpc_port: where it listens for gRPC; 0 for nowhere.
    """

    port: int
    store: Path
    payloads: tuple[bytes, ...] = ()
    ends: float = math.inf
    scale: float = 1.0
    once: bool = False
    grpc_port: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    """How often each status has come; 0 for connections that broke."""
    wrong: list[str] = field(default_factory=list)
    """Answers that are not what they should be, in words."""

    def count(self, number: int) -> int:
        """A number, scaled; at least one."""
        return max(1, round(number * self.scale))

    @property
    def goes_on(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self.ends

    async def pause(self, seconds: float) -> None:
        """Wait; hardly, where the attack is only tried."""
        if self.once:
            seconds = min(seconds, TRIED_SECONDS)
        await asyncio.sleep(max(0.0, min(seconds, self.ends - time.monotonic())))

    @asynccontextmanager
    async def connection(self, receive_bytes: int | None = None) -> AsyncIterator[Connection]:
        """A connection, closed at the end."""
        connection = await Connection.open(self.port, receive_bytes)
        try:
            yield connection
        finally:
            connection.close()

    async def reply(self, connection: Connection) -> Reply:
        """The next answer of a connection, counted."""
        reply = await connection.reply()
        self.statuses[reply.status] += 1
        return reply

    async def ask(
        self, path: str, body: bytes = b"", kind: str = "application/json", **headers: str
    ) -> Reply:
        """One request on a connection of its own."""
        async with self.connection() as connection:
            await connection.send(request(path, body, kind, **headers))
            return await self.reply(connection)


Play = Callable[[Target], Awaitable[None]]
Make = Callable[[float], bytes]


@dataclass(frozen=True)
class Attacker:
    """A client that does one thing as badly as it can.

    Args:
        name: of the attack.
        line: of the table of faults (B1 to B30), or a kind (vi to xiv).
        guards: what has to hold, in words.
        play: what one of its connections does, again and again.
        connections: how many there are at once.
        expected: statuses that it may be answered, beside those that anybody may.
        make: the bodies that it sends, made before it begins, each by the scale.
        options: of the server.
        prepare: changes the store before the server starts.
        quick: factor of its numbers in `make test`; 0 to leave it out there.
    """

    name: str
    line: str
    guards: str
    play: Play
    connections: int = 1
    expected: frozenset[int] = REFUSED
    make: tuple[Make, ...] = ()
    options: tuple[str, ...] = ()
    prepare: Callable[[Path], object] | None = None
    quick: float = 0.01


ATTACKERS: dict[str, Attacker] = {}
"""Every attacker, by name."""


def register(attacker: Attacker) -> Attacker:
    """Add an attacker to the list."""
    assert attacker.name not in ATTACKERS, attacker.name
    ATTACKERS[attacker.name] = attacker
    return attacker


def attacker(
    line: str,
    guards: str,
    *,
    connections: int = 1,
    expected: frozenset[int] | set[int] = REFUSED,
    make: tuple[Make, ...] = (),
    options: tuple[str, ...] = (),
    prepare: Callable[[Path], object] | None = None,
    quick: float = 0.01,
) -> Callable[[Play], Attacker]:
    """Make an attacker of what one of its connections does; its name is the function's."""

    def made(play: Play) -> Attacker:
        name = getattr(play, "__name__", "").replace("_", "-")
        answers = frozenset(expected)
        return register(
            Attacker(name, line, guards, play, connections, answers, make, options, prepare, quick)
        )

    return made


def body_attacker(
    name: str,
    line: str,
    guards: str,
    *make: Make,
    path: str = "/log_prob",
    kind: str = "application/json",
    connections: int = 4,
    expected: frozenset[int] | set[int] = REFUSED,
    options: tuple[str, ...] = (),
    quick: float = 0.01,
    **headers: str,
) -> Attacker:
    """An attacker that posts bodies in turn on a few connections, again and again."""

    async def play(target: Target) -> None:
        data = [(head(path, len(one), kind, **headers), one) for one in target.payloads]
        first = random.randrange(len(data))  # so that they do not march in step
        place = 0 if target.once else first
        while target.goes_on and place < (len(data) if target.once else math.inf):
            async with target.connection() as connection:
                while target.goes_on:
                    reply, is_sent = await exchange(target, connection, *data[place % len(data)])
                    place += 1
                    if target.once or not is_sent or reply.headers.get("connection") == "close":
                        break

    answers = frozenset(expected)
    return register(
        Attacker(name, line, guards, play, connections, answers, make, options, None, quick)
    )


async def exchange(target: Target, connection: Connection, *parts: bytes) -> tuple[Reply, bool]:
    """Send a request; its answer, which may come before all of it is taken, and whether all was."""

    async def send() -> None:
        for part in parts:
            await connection.send(part)

    sending = asyncio.ensure_future(send())
    try:
        return await target.reply(connection), sending.done()
    finally:
        sending.cancel()
        with suppress(asyncio.CancelledError, ConnectionError):
            await sending


async def attack(attacker: Attacker, target: Target) -> None:
    """Let all connections of an attacker play their part until the target's time is over."""

    async def again() -> None:
        while target.goes_on:
            try:
                await attacker.play(target)
            except ConnectionRefusedError:
                return  # there is no server any more
            except (OSError, asyncio.IncompleteReadError):
                target.statuses[0] += 1
                await asyncio.sleep(0.01)
            if target.once:
                return

    tasks = [asyncio.ensure_future(again()) for _ in range(target.count(attacker.connections))]
    try:
        left = None if target.ends == math.inf else target.ends - time.monotonic()
        await asyncio.wait(tasks, timeout=left)
    finally:
        for task in tasks:
            task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended
