"""The process that loads a server.

    python -m tests.benchmarks.serving.load_generator PLAN.json RECORDS.npz

sends at times drawn before it starts, whatever the server does (an open loop), or keeps some
connections busy (a closed loop). Every latency counts from the time at which a request was to be
sent: a server that stalls does not stop the clock of those that should have come meanwhile
(G. Tene, "How NOT to Measure Latency", 2013). The records are taken apart by `load_result`.

It has to keep to its schedule on one core, hence raw protocols, and nothing per request but one
write, one read and some stores into arrays. An open loop has its connections before it begins: a
request that finds none free is counted, as it is the server then that sets the pace. (Where the
server took 2048 connections of 6000, none was refused: the others waited here, for up to 48 s.)
"""

import asyncio
import gc
import json
import os
import resource
import sys
from array import array
from collections import deque
from dataclasses import asdict
from pathlib import Path
from time import monotonic, process_time
from typing import Any, cast

import numpy as np
import uvloop

from tests.benchmarks.common.machine import cpu_seconds, family_of
from tests.benchmarks.serving.load_plan import BROKEN, UNANSWERED, WRONG_LENGTH, Plan, Summary
from tests.benchmarks.serving.load_requests import Requests

TICK = 0.001
# Connections that wait to be accepted: more than a listening socket holds are tried anew a second
# later.
CONNECTING = 256
# For the connections of an open loop to be there.
CONNECT_SECONDS = 60.0
LENGTH = b"\r\ncontent-length:"
# The largest number of answers between two whose bodies are kept.
KEEP_EVERY = 509
# Seconds after the end for what was due before it: left out, the slowest would be missing.
GRACE = 10.0


class Load:
    """The requests of a load, whoever sends them.

    Args:
        plan: what to do.
        intended: when to send each, on `time.monotonic`'s clock.
    """

    def __init__(self, plan: Plan, intended: "array[float]") -> None:
        requests = Requests(plan.port, plan.dimensions, plan.rows)
        self.plan = plan
        self.requests = requests.encoded
        self.answer_bytes = requests.answer_bytes
        self.intended = intended
        self.sent = array("d", bytes(8 * len(intended)))
        self.ended = array("d", bytes(8 * len(intended)))
        self.status = array("H", bytes(2 * len(intended)))
        self.free: list[Connection] = []
        self.waiting: deque[int] = deque()
        self.connections = 0
        self.connecting = 0
        self.over = False
        self.starved = 0
        self.kept: dict[int, bytes] = {}

    def ready(self, connection: "Connection") -> None:
        """Use a connection that has nothing to wait for."""
        raise NotImplementedError

    async def prepare(self) -> float:
        """Do what comes before the beginning; returns when that is."""
        return monotonic() + 0.2

    def connect(self) -> None:
        """Open a connection."""
        self.connecting += 1
        asyncio.ensure_future(self._connect())  # noqa: RUF006 - the loop holds it while it connects

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: Connection(self), "127.0.0.1", self.plan.port)
        except OSError:
            pass  # refused: the next arrival tries again
        finally:
            self.connecting -= 1


class Closed(Load):
    """As many requests at a time as there are connections."""

    def ready(self, connection: "Connection") -> None:
        """Send the next request."""
        if self.over:
            self.free.append(connection)
            return
        for values in (self.intended, self.sent, self.ended):
            values.append(0.0)
        self.status.append(UNANSWERED)
        connection.send(len(self.sent) - 1)
        self.intended[-1] = self.sent[-1]

    def run(self) -> None:
        """Open the connections."""
        for _ in range(self.plan.connections):
            self.connect()


class Open(Load):
    """Requests at the times intended."""

    def __init__(self, plan: Plan, intended: "array[float]") -> None:
        super().__init__(plan, intended)
        self._next = 0
        self._loop = asyncio.get_running_loop()

    async def prepare(self) -> float:
        """Open the connections; the times intended count from what this returns."""
        async with asyncio.timeout(CONNECT_SECONDS):
            while self.connections < self.plan.connections:
                missing = self.plan.connections - self.connections - self.connecting
                for _ in range(min(missing, CONNECTING - self.connecting)):
                    self.connect()
                await asyncio.sleep(0.01)
        begin = await super().prepare()
        np.frombuffer(self.intended)[:] += begin
        return begin

    def ready(self, connection: "Connection") -> None:
        """Send what waits longest, or keep the connection for what is due next."""
        if self.waiting:
            connection.send(self.waiting.popleft())
        else:
            self.free.append(connection)

    def run(self) -> None:
        """Send what is due, and come back for the next."""
        due, now, intended, free = self._next, monotonic(), self.intended, self.free
        end = len(intended)
        while due < end and intended[due] <= now:
            if free:
                free.pop().send(due)
            else:
                self.starved += 1
                self.waiting.append(due)
                room = self.plan.connections - self.connections - self.connecting
                if room > 0 and self.connecting < CONNECTING:
                    self.connect()
            due += 1
        self._next = due
        if due < end:
            self._loop.call_later(max(TICK, intended[due] - now), self.run)


class Connection(asyncio.Protocol):
    """One connection, with one request at a time.

    Args:
        load: whose requests.
    """

    __slots__ = ("_index", "_load", "_part", "_write")

    def __init__(self, load: Load) -> None:
        self._load = load
        self._index = -1
        self._part = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast(asyncio.WriteTransport, transport).write
        self._load.connections += 1
        self._load.ready(self)

    def send(self, index: int) -> None:
        """Send a request; it is the only one on its way."""
        load = self._load
        self._index = index
        load.sent[index] = monotonic()
        self._write(load.requests[index % len(load.requests)])

    def data_received(self, data: bytes) -> None:
        if self._part:
            data = self._part + data
        start = data.find(b"\r\n\r\n")
        if start < 0:
            self._part = data
            return
        load = self._load
        status, length = status_and_length(data[:start])
        if len(data) < start + 4 + length:
            self._part = data
            return
        self._part = b""
        index = self._index
        load.ended[index] = monotonic()
        if status == 200:
            if length != load.answer_bytes:
                status = WRONG_LENGTH
            elif index % KEEP_EVERY == 0:
                load.kept[index] = data[start + 4 :]
        load.status[index] = status
        self._index = -1
        load.ready(self)

    def connection_lost(self, _: Exception | None) -> None:
        load = self._load
        load.connections -= 1
        if self._index >= 0:
            load.ended[self._index] = monotonic()
            load.status[self._index] = BROKEN
            self._index = -1
        elif self in load.free:
            load.free.remove(self)


def status_and_length(head: bytes) -> tuple[int, int]:
    """The status of an answer, and the bytes of its body."""
    at = head.lower().find(LENGTH)
    end = head.find(b"\r", at + len(LENGTH))
    length = head[at + len(LENGTH) : end if end >= 0 else None]
    return int(head[9:12]), int(length) if at >= 0 else 0


def server_seconds(process: int) -> float:
    """CPU time of a server, of all its processes."""
    return sum(map(cpu_seconds, family_of(process)))


async def carry_out(plan: Plan) -> tuple[Load, Summary]:
    """Load the server as planned."""
    load: Closed | Open = Closed(plan, array("d"))
    if plan.rate:
        lasts = plan.run_in + plan.seconds
        count = int(1.1 * plan.rate * lasts + 100)
        gaps = np.random.default_rng(plan.seed).exponential(1 / plan.rate, count)
        times = np.cumsum(gaps)
        load = Open(plan, array("d", times[times < lasts]))
    gc.collect()
    gc.disable()  # a collection is a pause, and nothing here goes in circles
    begin = await load.prepare()
    start, end = begin + plan.run_in, begin + plan.run_in + plan.seconds
    await asyncio.sleep(begin - monotonic())
    first, used = monotonic(), process_time()
    load.run()
    await asyncio.sleep(start - monotonic())
    before = monotonic(), process_time(), server_seconds(plan.server)
    await asyncio.sleep(end - monotonic())
    after = monotonic(), process_time(), server_seconds(plan.server)
    load.over = True
    await asyncio.sleep(2 * TICK)  # by then what was due last is sent
    while monotonic() < end + GRACE and (load.waiting or len(load.free) < load.connections):
        await asyncio.sleep(0.05)
    seconds, own, server = (b - a for a, b in zip(before, after, strict=True))
    return load, Summary(
        start=before[0],
        end=after[0],
        cores=own / seconds,
        server_cores=server / seconds,
        all_cores=(after[1] - used) / (after[0] - first),
        connections=load.connections,
        starved=load.starved,
        kept=list(load.kept),
    )


def main() -> int:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    plan = Plan(**json.loads(Path(sys.argv[1]).read_text()))
    if plan.cpus:
        os.sched_setaffinity(0, plan.cpus)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_exception_handler(_give_up)
        load, summary = runner.run(carry_out(plan))
    kept = np.frombuffer(b"".join(load.kept.values()), np.uint8)
    np.savez(
        sys.argv[2],
        intended=load.intended,
        sent=load.sent,
        ended=load.ended,
        status=load.status,
        kept=kept,
    )
    print(json.dumps(asdict(summary)))
    return 0


def _give_up(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # a fault in a callback would come again with every request
    print(context["message"], repr(context.get("exception")), file=sys.stderr, flush=True)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
