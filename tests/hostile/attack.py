"""Attackers in a process of their own.

    python -m tests.hostile.attack PORT GRPC_PORT STORE NAME=CONNECTIONS ...

They make what they will send, say `ready`, and begin when they get a line. They go on until their
standard input ends, and then print what they were answered as JSON, one after another.
"""

import asyncio
import json
import resource
import sys
from dataclasses import replace
from pathlib import Path

from tests.hostile.attacker import Attacker, Target, attack
from tests.hostile.attackers import ATTACKERS
from tests.hostile.attackers.good import GOOD


async def main(attacks: list[tuple[Attacker, Target]]) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), stopped.set)
    attacking = [asyncio.ensure_future(attack(*one)) for one in attacks]
    stopping = asyncio.ensure_future(stopped.wait())
    waiting = {*attacking, stopping}
    while stopping in waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # raises what went wrong
    for _, target in attacks:
        target.ends = 0
    for task in attacking:
        task.cancel()
    await asyncio.wait(attacking)


def _chosen(text: str) -> Attacker:
    name, _, connections = text.partition("=")
    return replace((ATTACKERS | {GOOD.name: GOOD})[name], connections=int(connections))


if __name__ == "__main__":
    port, grpc_port, store, *names = sys.argv[1:]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    attacks = []
    for chosen in map(_chosen, names):
        payloads = tuple(make(1.0) for make in chosen.make)
        target = Target(int(port), Path(store), payloads, grpc_port=int(grpc_port))
        attacks.append((chosen, target))
    print("ready", flush=True)
    sys.stdin.readline()
    asyncio.run(main(attacks))
    print(json.dumps([{"statuses": t.statuses, "wrong": t.wrong[:20]} for _, t in attacks]))
