"""A server under attack, measured: what good clients wait, what memory it takes, how it ends."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.hostile.attacker import ALWAYS, Attacker
from tests.hostile.attackers import ATTACKERS
from tests.hostile.prober import RATE, Seen
from tests.hostile.server import ROOT, ServerUnderTest, make_store

GRACE_SECONDS = 10
"""`--stop-seconds` of the server under test."""

MAX_P99_SECONDS = 0.25
MAX_MEMORY = 10**9
MAX_LOG_LINES = 100
MAX_LOG_LINES_SECOND = 1
"""Of the log, beside what it says when it starts: so many, and so many more a second."""
MAX_LOG_LINE_BYTES = 10_000
END_SECONDS = 2
"""What the end of the process may take beyond its grace: of Python, of onnxruntime."""


@dataclass(frozen=True)
class Company:
    """Attackers that share a process.

    Args:
        attackers: who.
        is_good: whether they go before the server is stopped, since they attack nothing.
    """

    attackers: tuple[Attacker, ...]
    is_good: bool = False


@dataclass
class Result:
    """What one attack did.

    Args:
        name: of the attack.
        line: of the table of faults.
        guards: what has to hold.
        seconds: how long it went on.
        p50, p99, worst: seconds that the prober's requests took.
        probes: how many of them were answered right.
        idle, peak, end: bytes of memory before, at most, and at the end of the attack.
        stop: seconds from SIGTERM to the end of the process.
        lines: of the log, beside those of the start.
        statuses: how often the attackers got each; 0 for connections that broke.
        resident: (seconds, bytes) of each second of the attack.
        failures: what should not be, in words.
    """

    name: str
    line: str
    guards: str
    seconds: float
    p50: float = 0.0
    p99: float = 0.0
    worst: float = 0.0
    probes: int = 0
    idle: int = 0
    peak: int = 0
    end: int = 0
    stop: float = 0.0
    lines: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    resident: list[tuple[float, int]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """What a file keeps of it."""
        return asdict(self)


class Helper:
    """A process that begins when told, goes on until its standard input ends, and then reports.

    Args:
        arguments: of Python.
    """

    def __init__(self, *arguments: str) -> None:
        self._name = arguments[1]
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Helper":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def wait_until_ready(self) -> None:
        """Until it says so."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line != "ready\n":
            raise RuntimeError(f"{self._name} did not start:\n{self._process.communicate()[1]}")

    def begin(self) -> None:
        """Let it begin."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def report(self, limit: float = 60) -> Any:
        """End it; what it says at its end."""
        out, errors = self._process.communicate(timeout=limit)
        if self._process.returncode:
            raise RuntimeError(f"{self._name} failed:\n{errors[-3000:]}")
        return json.loads(out)


def attack_of(attacker: Attacker, seconds: float, folder: Path, grace: int) -> Result:
    """What one attacker does to a server of its own.

    Args:
        attacker: who.
        seconds: how long.
        folder: for the store and the log.
        grace: `--stop-seconds` of the server.
    """
    result = Result(attacker.name, attacker.line, attacker.guards, seconds)
    measure(result, [Company((attacker,))], folder, grace)
    return result


def measure(
    result: Result,
    companies: Sequence[Company],
    folder: Path,
    grace: int,
    each_second: Callable[[Result], None] = lambda _: None,
) -> None:
    """Attack a server and fill in what was seen.

    The attackers go on while the server stops: SIGTERM comes in the midst of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    store = make_store(folder / "store")
    options = ["--stop-seconds", str(grace)]
    for attacker in (one for company in companies for one in company.attackers):
        options += attacker.options
        if attacker.prepare is not None:
            attacker.prepare(store)
    with ExitStack() as stack:
        server = stack.enter_context(ServerUnderTest(store, folder / "server.log", options))
        helpers = [stack.enter_context(_helper(company, server)) for company in companies]
        prober = stack.enter_context(Helper("-m", "tests.hostile.prober", str(server.port)))
        for helper in (*helpers, prober):
            helper.wait_until_ready()
        result.idle = server.idle
        for helper in (prober, *helpers):
            helper.begin()
        _wait(result, server, each_second)
        reports = {}
        for company, helper in zip(companies, helpers, strict=True):
            if company.is_good:
                reports[company] = helper.report()
        _probed(result, prober)
        if server.is_alive and (errors := _internal_errors(server)):
            result.failures.append(errors)
        result.peak, result.end = server.peak, server.resident
        result.stop = server.stop(grace + 2 * END_SECONDS + 5)
        result.peak = max(result.peak, server.peak)
        for company, helper in zip(companies, helpers, strict=True):
            if company not in reports:
                reports[company] = helper.report()
        said = server.lines[server.idle_lines :]
    result.lines = len(said)
    check_log(result, said)
    for company, answered in reports.items():
        for attacker, report in zip(company.attackers, answered, strict=True):
            check_statuses(result, attacker, report)
    check_bounds(result, grace)


def _helper(company: Company, server: ServerUnderTest) -> Helper:
    parts = [f"{one.name}={one.connections}" for one in company.attackers]
    ports = str(server.port), str(server.grpc_port)
    return Helper("-m", "tests.hostile.attack", *ports, str(server.store), *parts)


def _wait(result: Result, server: ServerUnderTest, each_second: Callable[[Result], None]) -> None:
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < result.seconds:
        if not server.is_alive:
            result.failures.append(f"the server ended after {passed:.1f} s")
            return
        result.resident.append((passed, server.resident))
        each_second(result)
        time.sleep(min(1.0, max(0.0, result.seconds - passed)))


def _probed(result: Result, prober: Helper) -> None:
    seen = Seen(**prober.report(120))
    result.probes = len(seen.delays)
    result.p50, result.p99 = seen.quantile(0.5), seen.quantile(0.99)
    result.worst = max(seen.delays, default=float("inf"))
    if seen.wrong:
        count = len(seen.wrong)
        result.failures.append(f"{count} good requests were not answered, first: {seen.wrong[0]}")
    if result.probes < 0.8 * RATE * result.seconds - RATE:
        result.failures.append(f"only {result.probes} good requests were sent and answered")


def _internal_errors(server: ServerUnderTest) -> str:
    try:
        count = server.internal_errors()
    except OSError as error:
        return f"/metrics was not answered: {error}"
    return f"{count:.0f} requests were answered 500" if count else ""


def check_log(result: Result, lines: Sequence[str]) -> None:
    """Note tracebacks, forged lines, and more or longer lines than there may be."""
    allowed = MAX_LOG_LINES + MAX_LOG_LINES_SECOND * result.seconds
    if len(lines) > allowed:
        common = Counter(line.partition(" ")[2][:80] for line in lines).most_common(1)
        result.failures.append(f"{len(lines)} lines in the log, most often {common}")
    tracebacks = [line for line in lines if line.startswith(("Traceback", "  File "))]
    if tracebacks:
        at = lines.index(tracebacks[0])
        shown = [line for line in lines[at : at + 80] if not line.startswith(" ")]
        result.failures.append(f"a traceback in the log: {shown[:3]}")
    longest = max(map(len, lines), default=0)
    if longest > MAX_LOG_LINE_BYTES:
        result.failures.append(f"a line of {longest} bytes in the log")
    if any(line.startswith("2026-01-01 00:00:00 ERROR forged") for line in lines):
        result.failures.append("a caller has written a line of the log")


def check_statuses(result: Result, attacker: Attacker, report: dict[str, Any]) -> None:
    """Note answers that an attacker may not get, and what it found wrong itself."""
    statuses = {int(status): count for status, count in report["statuses"].items()}
    for status, count in statuses.items():
        result.statuses[status] = result.statuses.get(status, 0) + count
    unexpected = {
        status: count
        for status, count in sorted(statuses.items())
        if status and status not in attacker.expected | ALWAYS
    }
    if unexpected:
        result.failures.append(f"{attacker.name} was answered {unexpected}")
    result.failures += [f"{attacker.name}: {wrong}" for wrong in report["wrong"][:3]]


def check_bounds(result: Result, grace: int) -> None:
    """Note what good clients waited too long, memory beyond the bound, and SIGTERM unheard."""
    if not result.p99 < MAX_P99_SECONDS:
        result.failures.append(f"p99 of the prober is {1000 * result.p99:.0f} ms")
    if not result.peak - result.idle < MAX_MEMORY:
        result.failures.append(f"{(result.peak - result.idle) / 1e6:.0f} MB beyond its idle size")
    if not result.stop < grace + END_SECONDS:
        result.failures.append(f"it had not ended {result.stop:.1f} s after SIGTERM")


def attackers_of(names: Sequence[str]) -> list[Attacker]:
    """Attackers by their names, or those whose names begin so; all where none is given.

    Raises:
        KeyError: there is none.
    """
    if not names:
        return list(ATTACKERS.values())
    found = [one for one in ATTACKERS.values() if one.name.startswith(tuple(names))]
    if not found:
        raise KeyError(f"no attacker is called {names}: there are {', '.join(ATTACKERS)}")
    return found
