"""How many CPUs this process may use."""

import os
from pathlib import Path


def granted_cpus() -> int:
    """CPUs this process may use: its affinity, cut down by the container's quota."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            cpus = min(cpus, int(quota) // int(period))
    except (OSError, ValueError):
        pass  # no cgroup v2: nothing is cut
    return max(cpus, 1)
