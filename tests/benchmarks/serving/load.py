"""Our server at fixed rates of arrival, below and beyond what it can do; idle; and its memory.

    make bench-load

For each of two models one server process on one core, and the generator on the others: what the
server can do with 64 connections (a closed loop, ten seconds), then open loops at 50, 80, 120 and
200 % of that, a minute each (`load_generator`), and twenty seconds of nothing. Answers are checked
against onnxruntime before, during and after each. A load in which the generator did not keep to
its schedule is repeated, and in the end misses a bar.

Writes results/serving_load.json and the page results/serving_load.md; exits with 1 where a bar is
missed. `--models` is a folder that `serving_models` has written. Needs a machine that does nothing
else: two cores, eleven minutes.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnxruntime
from tqdm import tqdm

from tests.benchmarks.common.bar import add_results_option, publish
from tests.benchmarks.common.checkout import ROOT
from tests.benchmarks.common.machine import cpu_name, cpu_seconds
from tests.benchmarks.serving.load_page import page
from tests.benchmarks.serving.load_plan import Plan, Summary
from tests.benchmarks.serving.load_requests import Oracle, Requests
from tests.benchmarks.serving.load_result import OVERLOADS, Figures, Result, bars, figures
from tests.benchmarks.serving.server import Served, Server

FOLDER = Path("runs/bench-serving")

# dimensions → rows of a request, and connections: more than the requests that the server lets wait
# (4096 rows), as it is the server that has to refuse
CASES = {784: (32, 1000), 43: (1, 6000)}
SHARES = (0.5, 0.8, *OVERLOADS)
CLOSED_CONNECTIONS = 64
SERVER_OPTIONS = ("--max-connections", "8192")
SETTLE = 3.0
# Of a load in which the generator does not keep to its schedule.
TRIES = 2


class Bench:
    """The loads of one server.

    Args:
        server: running.
        requests: for it.
        oracle: knows the answers.
        folder: for plans and records.
        cpus: of the generator.
    """

    def __init__(
        self,
        server: Server,
        requests: Requests,
        oracle: Oracle,
        folder: Path,
        cpus: Sequence[int],
    ) -> None:
        self.server = server
        self.requests = requests
        self.oracle = oracle
        self._cpus = list(cpus)
        self._plan = folder / "plan.json"
        self._records = folder / "records.npz"

    def load(self, share: float, rate: float, connections: int, seconds: float) -> Figures:
        """Load the server, and check its answers before, meanwhile and afterwards.

        Args:
            share: of capacity that this is.
            rate: requests a second; 0 for a closed loop.
            connections: of a closed loop, or the most.
            seconds: to measure for.
        """
        checks = list(enumerate(self.requests.ask_all()))
        plan = Plan(
            port=self.requests.port,
            dimensions=self.requests.dimensions,
            rows=self.requests.rows,
            server=self.server.process,
            rate=rate,
            connections=connections,
            seconds=seconds,
            run_in=min(SETTLE, seconds),
            seed=int(100 * share),
            cpus=self._cpus,
        )
        self._plan.write_text(json.dumps(asdict(plan)))
        generator = [sys.executable, "-m", "tests.benchmarks.serving.load_generator"]
        said = subprocess.run(
            [*generator, str(self._plan), str(self._records)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        resident = self.server.resident
        summary = Summary(**json.loads(said))
        with np.load(self._records) as file:
            records = {name: file[name] for name in file.files}
        kept = records.pop("kept").tobytes()
        size = self.requests.answer_bytes
        bodies = [kept[i * size : (i + 1) * size] for i in range(len(summary.kept))]
        checks += zip(summary.kept, bodies, strict=True)
        checks += enumerate(self.requests.ask_all())
        check = self.oracle.worst(checks), len(checks)
        return figures(plan, share, records, summary, resident, check)

    def idle(self, seconds: float) -> float:
        """Cores that the server uses with nothing to do."""
        time.sleep(SETTLE)
        before, start = cpu_seconds(self.server.process), time.monotonic()
        time.sleep(seconds)
        return (cpu_seconds(self.server.process) - before) / (time.monotonic() - start)


def measure(served: Served, folder: Path, options: argparse.Namespace) -> Result:
    """Everything about one model."""
    rows, connections = CASES[served.dimensions]
    first, *others = sorted(os.sched_getaffinity(0))
    log = folder / f"server-{served.dimensions}.log"
    with Server(served, log, options=SERVER_OPTIONS, cpus=[first] if others else []) as server:
        requests = Requests(server.port, served.dimensions, rows)
        bench = Bench(server, requests, Oracle(requests, served.graph), folder, others)
        closed = bench.load(0, 0, CLOSED_CONNECTIONS, options.closed_seconds)
        result = Result(served.dimensions, requests.rows, served.bytes, closed)
        tqdm.write(f"{result.name}: capacity {result.capacity:.0f} requests/s")
        for share in SHARES:
            for _ in range(TRIES):
                time.sleep(SETTLE)
                load = bench.load(share, share * result.capacity, connections, options.seconds)
                if load.keeps_to_schedule:
                    break
                tqdm.write(
                    f"{result.name}, {share:.0%}: the generator was {1e3 * load.late:.1f} ms late "
                    f"at its 99th percentile, and {load.starved} requests found no connection"
                )
            result.loads.append(load)
            tqdm.write(
                f"{result.name}, {share:.0%}: {load.goodput / result.capacity:.0%} answered, "
                f"{load.refused} refused, {load.failed} failed, "
                f"{load.unanswered} never answered, generator {load.cores:.2f} cores"
            )
        cores = bench.idle(options.idle_seconds)
        return Result(**{**vars(result), "idle_cores": cores, "idle_resident": server.resident})


def main() -> int:
    parser = argparse.ArgumentParser(description="Load our server at fixed rates.")
    parser.add_argument("--models", type=Path, default=FOLDER, help=f"({FOLDER})")
    parser.add_argument("--seconds", type=float, default=60, help="of each open loop (60)")
    parser.add_argument("--closed-seconds", type=float, default=10, help="of the closed one (10)")
    parser.add_argument("--idle-seconds", type=float, default=20, help="of nothing (20)")
    add_results_option(parser)
    options = parser.parse_args()
    # a connection is a file, here in the server, which inherits this
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    FOLDER.mkdir(parents=True, exist_ok=True)
    results = [measure(Served(options.models, d), FOLDER, options) for d in CASES]
    reached = [bar for result in results for bar in bars(result)]
    made = f"{cpu_name()}, with onnxruntime {onnxruntime.__version__}, uvicorn {version('uvicorn')}"
    text = page(results, reached, made, options.seconds)
    content = {
        "made": made,
        "seconds": options.seconds,
        "models": [asdict(result) for result in results],
    }
    return publish(options.results, "serving_load", content, text, reached)


if __name__ == "__main__":
    sys.exit(main())
