"""Every attacker for a moment, with small numbers, against one server."""

import asyncio
import time
from pathlib import Path

from tests.hostile.attacker import ALWAYS, Attacker, Target, attack
from tests.hostile.attackers import ATTACKERS
from tests.hostile.prober import Prober
from tests.hostile.server import ServerUnderTest, make_store

SECONDS = 20
"""No attacker of a moment takes as long, on a machine that does other work too."""

STOP_SECONDS = 15
MAX_MEMORY = 300e6
MAX_LOG_LINES = 60


async def _attacked(attacker: Attacker, target: Target) -> list[str]:
    """What an attacker got that it may not; good requests are answered right after it."""
    try:
        await asyncio.wait_for(attack(attacker, target), SECONDS)
    except TimeoutError:
        return [f"not answered after {SECONDS} s"]
    answered = {status for status, count in target.statuses.items() if status and count}
    failures = [f"answered {status}" for status in answered - attacker.expected - ALWAYS]
    prober = Prober(target.port)
    await prober.probe(0)
    return failures + target.wrong + prober.seen.wrong


def test_no_attacker_of_a_moment_gets_more_than_it_may(tmp_path: Path) -> None:
    attackers = [one for one in ATTACKERS.values() if one.quick]
    options = dict.fromkeys(option for one in attackers for option in one.options)
    failures: dict[str, list[str]] = {}
    with ServerUnderTest(make_store(tmp_path / "store"), tmp_path / "log", list(options)) as server:
        for one in attackers:
            payloads = tuple(make(one.quick) for make in one.make)
            ends = time.monotonic() + SECONDS
            target = Target(
                server.port,
                server.store,
                payloads,
                ends,
                one.quick,
                once=True,
                grpc_port=server.grpc_port,
            )
            before = len(server.lines)
            found = asyncio.run(_attacked(one, target))
            found += [line for line in server.lines[before:] if "Traceback" in line]
            if found:
                failures[one.name] = found
        peak, internal = server.peak - server.idle, server.internal_errors()
        stopped = server.stop(STOP_SECONDS + 5)
        said = server.lines[server.idle_lines :]
    assert not failures
    assert internal == 0
    assert peak < MAX_MEMORY
    assert stopped < STOP_SECONDS
    assert not [line for line in said if "Traceback" in line]
    assert len(said) < MAX_LOG_LINES
