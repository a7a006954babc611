"""How many CPUs this process may use."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple


class CpuGrant(NamedTuple):
    """How many CPUs this process may use, and what says so.

    Args:
        cpus: whole ones, at least 1.
        reason: for people.
    """

    cpus: int
    reason: str


def granted_cpus() -> int:
    """CPUs this process may use: its affinity, cut down by the quotas of its control groups."""
    return cpu_grant().cpus


def cpu_grant(root: Path = Path("/")) -> CpuGrant:
    """CPUs this process may use, and why so many.

    Quotas are those of cgroup v1 and v2, of the process's own group and of every group above it
    that can be seen from here.

    Args:
        root: of the file system that has /proc and /sys.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    reason = f"{cpus} by affinity"
    quotas = list(_quotas(root))
    if quotas and (least := min(quotas)).cpus < cpus:
        cpus, reason = least.cpus, f"{reason}, {least.reason}"
    return CpuGrant(max(cpus, 1), reason)


def _quotas(root: Path) -> Iterator[CpuGrant]:
    """Whole CPUs that each quota grants, 0 for less than one."""
    for version, folder in _groups(root):
        try:
            if version == 2:
                quota, period = (folder / "cpu.max").read_text().split()
            else:
                quota = (folder / "cpu.cfs_quota_us").read_text()
                period = (folder / "cpu.cfs_period_us").read_text()
            if quota != "max" and int(quota) > 0:
                share = int(quota) / int(period)
                yield CpuGrant(int(share), f"{share:g} by a quota of cgroup v{version}")
        except (OSError, ValueError, ZeroDivisionError):
            pass  # the top group has no quota


def _groups(root: Path) -> Iterator[tuple[int, Path]]:
    """The folder of each control group with this process in it, own and above, and its version."""
    mounts = _cpu_mounts(root)
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        version = 2 if not controllers else 1
        if version == 1 and "cpu" not in controllers.split(","):
            continue
        for mounted_version, mount_root, mount_point in mounts:
            if mounted_version != version:
                continue
            top = root / mount_point.lstrip("/")
            below = PurePosixPath(path)
            # a container sees its own group at the top of what is mounted, whatever its path says
            is_below = below.is_relative_to(mount_root)
            inner = below.relative_to(mount_root) if is_below else PurePosixPath()
            for group in (inner, *inner.parents):
                yield version, top / group


def _cpu_mounts(root: Path) -> list[tuple[int, str, str]]:
    """Where control groups are mounted that may hold CPU quotas: version, root, mount point."""
    mounts = []
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields = before.split()
        kind, _, options = (after.split() + [""] * 3)[:3]
        if len(fields) < 5:
            continue
        if kind == "cgroup2":
            mounts.append((2, fields[3], fields[4]))
        elif kind == "cgroup" and "cpu" in options.split(","):
            mounts.append((1, fields[3], fields[4]))
    return mounts


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
