"""The machine and its processes, as Linux shows them in /proc."""

import os
import platform
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def cpu_name() -> str:
    """What the CPU calls itself."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def hardware(device: str) -> str:
    """A device as a run names it, which of CPUs knows no more than how many threads it had."""
    return f"{device} of {cpu_name()}" if device.startswith("CPU") else device


def cpu_seconds(process: int | str) -> float:
    """CPU time that a process has used, in user and system mode, over all its threads."""
    # the name, in brackets, may hold spaces
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(process: int | str, field: str = "VmRSS") -> int:
    """A field of a process's status, in bytes."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    (kib,) = (line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return 1024 * int(kib)


def family_of(process: int) -> list[int]:
    """A process and all that it, or those that it started, have started and that still run."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(one for child in children for one in family_of(int(child)))]


def shared_memory(process: int) -> int:
    """Bytes that a process has by itself, and its part of those that others have too."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    (kib,) = (line.split()[1] for line in lines if line.startswith("Pss:"))
    return 1024 * int(kib)
