"""One attacker in a process of its own.

    python -m tests.hostile.attack NAME PORT STORE [CONNECTIONS]

It makes what it will send, says `ready`, and begins when it gets a line. It goes on until its
standard input ends, and then prints what it was answered as JSON.
"""

import asyncio
import json
import resource
import sys
from dataclasses import replace
from pathlib import Path

from tests.hostile.attacker import Attacker, Target, attack
from tests.hostile.attackers import ATTACKERS


async def main(attacker: Attacker, target: Target) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), stopped.set)
    attacking = asyncio.ensure_future(attack(attacker, target))
    stopping = asyncio.ensure_future(stopped.wait())
    await asyncio.wait([attacking, stopping], return_when=asyncio.FIRST_COMPLETED)
    if attacking.done():
        attacking.result()  # raises what went wrong
        await stopping
    target.ends = 0
    attacking.cancel()
    await asyncio.wait([attacking])


if __name__ == "__main__":
    name, port, store, *more = sys.argv[1:]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    chosen = ATTACKERS[name]
    if more:
        chosen = replace(chosen, connections=int(more[0]))
    payloads = tuple(make(1.0) for make in chosen.make)
    aimed = Target(int(port), Path(store), payloads)
    print("ready", flush=True)
    sys.stdin.readline()
    asyncio.run(main(chosen, aimed))
    print(json.dumps({"statuses": aimed.statuses, "wrong": aimed.wrong[:20]}))
