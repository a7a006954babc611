"""CPUs are those that the machine and the quotas of control groups grant."""

import logging
import os
from pathlib import Path

import pytest

from service.runtime import cpu_grant
from service.server import Server
from service.settings import Settings

V1 = "33 31 0:30 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
V2 = "40 31 0:38 {root} /sys/fs/cgroup rw - cgroup2 cgroup2 rw"
QUOTA, PERIOD = "cpu.cfs_quota_us", "cpu.cfs_period_us"

# mounts, own groups, files below /sys/fs/cgroup, CPUs of eight
MACHINES: dict[str, tuple[list[str], list[str], dict[str, str], int]] = {
    "no control groups": ([], [], {}, 8),
    "v2 in a container": ([V2.format(root="/")], ["0::/"], {"cpu.max": "250000 100000"}, 2),
    "v2 without a limit": ([V2.format(root="/")], ["0::/"], {"cpu.max": "max 100000"}, 8),
    "v2, less than one": ([V2.format(root="/")], ["0::/"], {"cpu.max": "50000 100000"}, 1),
    "v2, of the group above": (
        [V2.format(root="/")],
        ["0::/a.slice/b.service"],
        {"a.slice/cpu.max": "300000 100000", "a.slice/b.service/cpu.max": "max 100000"},
        3,
    ),
    "v2, more than there are": ([V2.format(root="/")], ["0::/"], {"cpu.max": "9900000 100000"}, 8),
    "v1 in a container": (
        [V1.format(root="/docker/abc")],
        ["3:memory:/docker/abc", "4:cpu,cpuacct:/docker/abc"],
        {f"cpu,cpuacct/{QUOTA}": "400000\n", f"cpu,cpuacct/{PERIOD}": "100000\n"},
        4,
    ),
    "v1 in a container that does not see its path": (
        [V1.format(root="/")],
        ["4:cpu,cpuacct:/kubepods/pod1/abc"],
        {f"cpu,cpuacct/{QUOTA}": "150000\n", f"cpu,cpuacct/{PERIOD}": "50000\n"},
        3,
    ),
    "v1 without a limit": (
        [V1.format(root="/")],
        ["4:cpu,cpuacct:/"],
        {f"cpu,cpuacct/{QUOTA}": "-1\n", f"cpu,cpuacct/{PERIOD}": "100000\n"},
        8,
    ),
    "v1 beside v2": (
        [V1.format(root="/"), V2.format(root="/").replace("cgroup rw", "cgroup/unified rw")],
        ["4:cpu,cpuacct:/", "0::/"],
        {f"cpu,cpuacct/{QUOTA}": "200000\n", f"cpu,cpuacct/{PERIOD}": "100000\n"},
        2,
    ),
    "v1 of a group above": (
        [V1.format(root="/")],
        ["4:cpu,cpuacct:/a/b"],
        {
            f"cpu,cpuacct/a/{QUOTA}": "500000\n",
            f"cpu,cpuacct/a/{PERIOD}": "100000\n",
            f"cpu,cpuacct/a/b/{QUOTA}": "600000\n",
            f"cpu,cpuacct/a/b/{PERIOD}": "100000\n",
        },
        5,
    ),
    "nonsense": ([V2.format(root="/")], ["0::/"], {"cpu.max": "many"}, 8),
}


@pytest.mark.parametrize("machine", MACHINES)
def test_quotas_of_both_versions_and_of_groups_above_are_followed(
    machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    mounts, groups, files, cpus = MACHINES[machine]
    proc = tmp_path / "proc" / "self"
    proc.mkdir(parents=True)
    (proc / "mountinfo").write_text("\n".join(mounts) + "\n")
    (proc / "cgroup").write_text("\n".join(groups) + "\n")
    for name, content in files.items():
        path = tmp_path / "sys" / "fs" / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    grant = cpu_grant(tmp_path)
    assert grant.cpus == cpus
    assert ("quota of cgroup v" in grant.reason) == (cpus < 8)


def test_the_number_of_threads_is_in_the_log_and_in_the_metrics(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        server = Server(Settings(store=tmp_path, device="cpu:3"))
    assert "threads a model: 3" in caplog.text
    sample = server.metrics.registry.get_sample_value
    assert sample("bijecta_threads") == 3
    assert sample("bijecta_granted_cpus") == cpu_grant().cpus
