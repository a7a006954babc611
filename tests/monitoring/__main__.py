"""Provoke the fault of every alert, and ask Prometheus whether the alert fires.

    python -m tests.monitoring

It also asks every query of the dashboard under load, and runs the commands of the runbook.
Prometheus, 2.42 or newer, has to be in PATH. Writes tests/benchmarks/results/alerts.md.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from deploy.dashboard import DASHBOARD, dashboard
from tests.helpers.pages import ALL_BLOCKS, ROOT
from tests.helpers.waiting import wait_until
from tests.monitoring.fault import Fault
from tests.monitoring.guarded import GUARDED_FAULTS, GuardedWorld
from tests.monitoring.prometheus import EVERY, WAIT, Prometheus, alert_names
from tests.monitoring.world import (
    CONNECTIONS,
    INFLIGHT_MIB,
    OpenWorld,
    World,
    far_arrays,
    normal_rows,
)

RESULTS = ROOT / "tests" / "benchmarks" / "results" / "alerts.md"


def refused_bundle(world: World) -> Iterator[None]:
    world.add_version(edited=True)
    yield
    shutil.rmtree(world.store / "tiny" / "2")


def lost_store(world: World) -> Iterator[None]:
    away = world.store.with_name("away")
    world.store.rename(away)
    yield
    away.rename(world.store)


def failing_graph(world: World) -> Iterator[None]:
    with world.callers(1, "log_prob", "failing", [[7.0, 7.0]]):
        yield


def long_requests(world: World) -> Iterator[None]:
    with world.callers(1, "encode", "heavy", normal_rows(2000)):
        yield


def overload(world: World) -> Iterator[None]:
    with (
        world.callers(1, "log_prob", "heavy", normal_rows(2000)),
        world.callers(24, "log_prob", "heavy", normal_rows(4), pause=0.01),
    ):
        yield


def large_bodies(world: World) -> Iterator[None]:
    size = INFLIGHT_MIB * 2**20 * 9 // 10
    head = f"POST /log_prob HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode()
    with world.connections(1, head + b" " * (size - 1)):
        yield


def many_connections(world: World) -> Iterator[None]:
    with world.connections(CONNECTIONS - 4):
        yield


def shifted_rows(world: World) -> Iterator[None]:
    with world.callers(2, "log_prob", "tiny", normal_rows(500, shift=-4)):
        yield


def planted_drift(world: World) -> Iterator[None]:
    with world.callers(2, "score", "detector", far_arrays(500)):
        yield


def empty_store(world: World) -> Iterator[None]:
    world.kill()
    full = world.store.with_name("full")
    world.store.rename(full)
    world.store.mkdir()
    world.start(is_ready=False)
    yield
    world.kill()
    world.store.rmdir()
    full.rename(world.store)
    world.start()


def restarts(world: World) -> Iterator[None]:
    for _ in range(3):
        world.kill()
        world.start()
        time.sleep(10)  # a scrape of each
    yield


def kill(world: OpenWorld) -> Iterator[None]:
    world.neighbour.kill()
    world.kill()
    yield


FAULTS = (
    Fault(
        "a version whose file is not the one of its manifest comes to the store",
        ("BijectaBundleRefused", "BijectaLogErrors"),
        refused_bundle,
    ),
    Fault("the store's folder is moved away", ("BijectaNotReadable",), lost_store),
    Fault("a graph fails on the rows that it is asked about", ("BijectaErrors",), failing_graph),
    Fault(
        "a caller asks a model of 1 ms a row for 2,000 rows, again and again",
        ("BijectaSlow",),
        long_requests,
    ),
    Fault(
        "beside it 24 callers ask for 4 rows each, and 64 rows may wait",
        ("BijectaQueueNearlyFull", "BijectaRejections"),
        overload,
    ),
    Fault(
        "a body of 9/10 of --max-inflight-mib does not end",
        ("BijectaMemoryNearlyFull",),
        large_bodies,
    ),
    Fault("36 of 40 connections are open", ("BijectaConnectionsNearlyFull",), many_connections),
    Fault("rows of a flow are moved by 4 deviations", ("BijectaLogProbShift",), shifted_rows),
    Fault(
        "rows of a detector are moved by 50 deviations",
        ("BijectaDrift", "BijectaManyAnomalies"),
        planted_drift,
    ),
    Fault("the server is started on an empty store", ("BijectaNotReady",), empty_store),
    Fault("the server is killed and started three times", ("BijectaRestarts",), restarts),
    Fault("all servers are killed", ("BijectaDown", "BijectaNoServer"), kill),
)


@dataclass(frozen=True)
class Shown:
    """An alert that has fired.

    Args:
        alert: its name.
        words: of the fault.
        seconds: from the fault to the alert.
    """

    alert: str
    words: str
    seconds: float


def comes_to_hold(condition: Callable[[], bool], else_said: str) -> None:
    """Wait for what Prometheus sees after some scrapes."""
    wait_until(condition, 120, else_said, 0.2)


def show(prometheus: Prometheus, world: World, fault: Fault) -> list[Shown]:
    """Provoke a fault, and wait for its alerts.

    Raises:
        AssertionError: one fired before, or does not fire.
    """
    early = prometheus.firing() & set(fault.alerts)
    assert not early, f"{early} fired before: {fault.words}"
    began, shown = time.monotonic(), list[Shown]()
    with contextmanager(fault.provoke)(world):
        for alert in fault.alerts:
            fires = partial(prometheus.fires, alert)
            comes_to_hold(fires, f"{alert} does not fire")
            shown.append(Shown(alert, fault.words, time.monotonic() - began))
            print(f"{alert:30} {shown[-1].seconds:6.1f} s  {fault.words}", flush=True)
    return shown


def queries() -> Iterator[tuple[str, str]]:
    """The title of each panel with each of its queries, as Grafana asks it where all is chosen."""
    for each in dashboard()["panels"]:
        row: list[dict[str, Any]] = each.get("panels", [])
        for panel in [each, *row]:
            for target in panel.get("targets", ()):
                query = target["expr"].replace("$__rate_interval", "30s")
                for choice in ("$job", "$instance", "$model"):
                    query = query.replace(choice, ".*")
                yield panel["title"], query


def ask_dashboard(prometheus: Prometheus, world: World) -> tuple[int, list[str]]:
    """How many queries of the dashboard have data under load, and those that have none."""
    with ExitStack() as stack:
        for question, model, rows in (
            ("log_prob", "tiny", normal_rows(20)),
            ("score", "detector", far_arrays(20)),
            ("log_prob", "heavy", normal_rows(4)),
        ):
            stack.enter_context(world.callers(2, question, model, rows))
        time.sleep(20)
        asked = list(queries())
        empty = [f"{title}: {query}" for title, query in asked if not prometheus.values(query)]
    return len(asked), empty


def run_runbook(world: World) -> None:
    """Run the commands of the runbook on this server."""
    for block in ALL_BLOCKS:
        if block.check == "make alerts-check":
            text = block.text.replace("localhost:8000", f"127.0.0.1:{world.port}")
            done = subprocess.run(
                ["bash", "-ec", text], capture_output=True, text=True, check=False, timeout=60
            )
            assert done.returncode == 0, f"{block}: {done.stderr}"
            assert done.stdout, f"{block} says nothing"


def page(version: str, shown: list[Shown], asked: int, empty: list[str]) -> str:
    """The results, in Markdown."""
    lines = [
        "# Alerts, each fired by its fault",
        "",
        f"`make alerts-check`, {datetime.now(UTC):%Y-%m-%d}, Prometheus {version}. A server of "
        "four small bundles on this machine, and one with keys, TLS and signed bundles, scraped "
        f"every {EVERY}; the rules are those of "
        f"[deploy/alerts.yml](../../../deploy/alerts.yml) with `for: {WAIT}` in place of their "
        "own. No alert fired before its fault. The seconds are those from the fault to the alert.",
        "",
        "| alert | fault | s |",
        "|---|---|---|",
        *(f"| `{each.alert}` | {each.words} | {each.seconds:.0f} |" for each in shown),
        "",
        f"Under load {asked - len(empty)} of the {asked} queries of the "
        f"[dashboard](../../../{DASHBOARD.relative_to(ROOT)}) have data; the {len(empty)} of the "
        "GPU have none without one.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run everything; returns the exit code."""
    if shutil.which("prometheus") is None:
        print("needs prometheus in PATH: Debian's package has it, or its releases", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        guarded = GuardedWorld(Path(folder) / "guarded")
        world = OpenWorld(Path(folder) / "open", guarded)
        for each in (guarded, world):
            stack.callback(each.kill)
            each.start()
        jobs = {"bijecta": world.scraped, "guarded": guarded.scraped}
        prometheus = Prometheus(Path(folder) / "prometheus", jobs)
        stack.callback(prometheus.close)
        comes_to_hold(
            lambda: prometheus.values("bijecta_ready") == [1, 1], "the server is not scraped"
        )
        comes_to_hold(lambda: not prometheus.firing(), "alerts fire without a fault")
        run_runbook(world)
        shown = [each for fault in FAULTS[:-3] for each in show(prometheus, world, fault)]
        shown += [each for fault in GUARDED_FAULTS for each in show(prometheus, guarded, fault)]
        asked, empty = ask_dashboard(prometheus, world)
        assert all("gpu" in query for query in empty), empty
        shown += [each for fault in FAULTS[-3:] for each in show(prometheus, world, fault)]
        version = prometheus.version()
    missing = set(alert_names()) - {each.alert for each in shown}
    assert not missing, f"no fault for {missing}"
    RESULTS.write_text(page(version, shown, asked, empty))
    print(f"wrote {RESULTS.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
