"""A good client: 20 requests of one row a second, by the clock, and each answer checked.

    python -m tests.hostile.prober PORT

It says `ready`, and begins when it gets a line. Every other request has a connection of its own;
the rest share those that are kept and still open. Once a second there are 32 rows to encode. It
goes on until its standard input ends, and then prints what it saw as JSON. A request that is due is
sent whether or not earlier ones were answered, and its delay counts from the time at which it was
due.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field

from tests.hostile.wire import Connection, request

RATE = 20
GIVE_UP_SECONDS = 30
ONE = request("/log_prob", b'{"model":"tiny","x":[[0.5,-2.0]]}')
MANY_ROWS = 32
MANY = request("/encode", json.dumps({"model": "tiny", "x": [[0.5, -2.0]] * MANY_ROWS}).encode())


@dataclass
class Seen:
    """What the prober saw.

    Args:
        delays: seconds of each request that was answered right.
        wrong: in words, of those that were not.
    """

    delays: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """Seconds below which a share of the delays lies; infinite where there are none."""
        ordered = sorted(self.delays)
        if not ordered:
            return float("inf")
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Prober:
    """Sends requests by the clock.

    Args:
        port: of the server.
    """

    def __init__(self, port: int) -> None:
        self.seen = Seen()
        self._port = port
        self._idle: list[Connection] = []

    async def run(self, stopped: asyncio.Event) -> None:
        """Until it is stopped, and until what was sent has been answered."""
        tasks: set[asyncio.Task[None]] = set()
        begun, number = time.monotonic(), 0
        while not stopped.is_set():
            due = begun + number / RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.ensure_future(self.probe(number, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
        await asyncio.gather(*tasks)

    async def probe(self, number: int, due: float | None = None) -> None:
        """Send the request of this number; it was due now, or at a time on `time.monotonic`."""
        due = time.monotonic() if due is None else due
        many = number % RATE == RATE - 1
        try:
            async with asyncio.timeout(GIVE_UP_SECONDS):
                answer = await self._ask(MANY if many else ONE, is_new=number % 2 == 0)
            expected = [-1.5] * (MANY_ROWS if many else 1)
            if answer["log_prob"] != expected:
                raise ValueError(f"answered {answer!r:.200}")
            self.seen.delays.append(time.monotonic() - due)
        except Exception as error:
            self.seen.wrong.append(f"request {number}: {error!r:.300}")

    async def _ask(self, data: bytes, is_new: bool) -> dict[str, object]:
        # after a minute of silence the server has closed them
        self._idle = [one for one in self._idle if not one.has_ended]
        if is_new or not self._idle:
            connection = await Connection.open(self._port)
        else:
            connection = self._idle.pop()
        try:
            await connection.send(data)
            reply = await connection.reply()
        except BaseException:
            connection.close()
            raise
        if is_new or reply.headers.get("connection") == "close":
            connection.close()
        else:
            self._idle.append(connection)
        if reply.status != 200:
            raise ValueError(f"answered {reply.status} {reply.body!r:.200}")
        answer: dict[str, object] = json.loads(reply.body)
        return answer


async def main() -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    stopped = asyncio.Event()
    prober = Prober(int(sys.argv[1]))
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stopped.set)  # its end
    await prober.run(stopped)
    print(json.dumps(asdict(prober.seen)))


if __name__ == "__main__":
    asyncio.run(main())
