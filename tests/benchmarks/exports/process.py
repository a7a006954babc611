"""What a process costs: time, CPU time and memory, with its own children."""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.common.machine import TICK

# Columns of the first line of /proc/stat that are work: user, nice, system, irq, softirq, steal.
WORK = (1, 2, 3, 6, 7, 8)

# Bytes that a process may have: one that wants more fails, and the machine stays usable.
MAX_DATA = 16 * 10**9


@dataclass(frozen=True)
class Cost:
    """What a process took.

    Args:
        wall: seconds from its start to its end.
        cpu: seconds of CPU time, user and system.
        peak: bytes of memory; the most that it or one of its children had.
        others: CPUs that were busy with something else meanwhile.
    """

    wall: float
    cpu: float
    peak: int
    others: float


def run(
    command: Sequence[str], cwd: Path, environment: Mapping[str, str], log: Path, limit: int
) -> tuple[int, Cost]:
    """Run a command to its end, or up to a limit: its exit code and its cost.

    The calling process is to be small: a process begins with the peak of the one that starts it.

    Args:
        command: what to run.
        cwd: where.
        environment: its variables.
        log: a file for all that it says.
        limit: seconds of CPU time after which it is killed, and its exit code is −9: on a machine
            that does other work it may take any time.
    """
    busy, began = _busy_seconds(), time.monotonic()
    with log.open("wb") as said:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    resource.prlimit(process.pid, resource.RLIMIT_DATA, (MAX_DATA, MAX_DATA))
    resource.prlimit(process.pid, resource.RLIMIT_CPU, (limit, limit))
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        with suppress(ProcessLookupError):  # it has just ended by itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - began
    cpu = usage.ru_utime + usage.ru_stime
    others = max(0.0, (_busy_seconds() - busy - cpu) / wall)
    return process.returncode, Cost(wall, cpu, 1024 * usage.ru_maxrss, others)


@contextmanager
def busy_process() -> Iterator[None]:
    """Another process that computes all the time, in one thread."""
    with subprocess.Popen(["sh", "-c", "while :; do :; done"]) as process:
        try:
            yield
        finally:
            process.kill()


def _busy_seconds() -> float:
    """Seconds that all CPUs together have worked since the machine started."""
    fields = Path("/proc/stat").read_text(encoding="utf-8").partition("\n")[0].split()
    return sum(int(fields[i]) for i in WORK) / TICK
