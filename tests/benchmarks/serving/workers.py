"""One worker beside several, in rounds that follow each other (`bijecta serve --workers`).

    python -m tests.benchmarks.serving.models runs/bench-serving 43 784
    python -m tests.benchmarks.serving.workers

A round loads each server in turn with a closed loop of requests in npy (`load_generator`), all on
the same CPUs: the generator takes a part of them. All servers run meanwhile. The figures are
medians over the rounds: requests a second, and CPU time of all of a server's processes. Memory is
what the processes have by themselves and their parts of what they share (PSS), at the end.

Writes serving_workers.json and the page serving_workers.md into the results; exits with 1 where a
request takes more CPU time with several workers than the bar allows, or fewer are answered.
"""

import argparse
import os
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import onnxruntime

from tests.benchmarks.common.bar import Bar, add_results_option, figure, publish
from tests.benchmarks.common.machine import cpu_name, family_of, shared_memory
from tests.benchmarks.common.markdown import table
from tests.benchmarks.serving.load_requests import Requests
from tests.benchmarks.serving.pairs import FOLDER, Run, measure
from tests.benchmarks.serving.server import Served, Server

# CPU time of a request, beside that with one worker. Batches are smaller, as each worker has its
# own queue, and each turn of an event loop finds fewer requests.
MAX_CPU_RATIO = 1.25
# Requests a second, beside one worker: several answer no more where that one fills the CPUs, and
# fewer where some have nothing to do.
MIN_RATE_RATIO = 0.9


@dataclass(frozen=True)
class Load:
    """What is asked.

    Args:
        dimensions: of the model.
        rows: of a request.
        connections: at once.
    """

    dimensions: int
    rows: int
    connections: int

    def __str__(self) -> str:
        rows = "1 row" if self.rows == 1 else f"{self.rows} rows"
        return f"{self.dimensions}-D, {rows}, {self.connections} connections"


LOADS = (Load(43, 1, 64), Load(43, 64, 16), Load(784, 1, 64))


@dataclass(frozen=True)
class Found:
    """What was measured of one server under one load.

    Args:
        runs: one a round.
        mib: of memory, at the end.
    """

    runs: Sequence[Run]
    mib: float

    @property
    def requests_s(self) -> float:
        """The median."""
        return statistics.median(run.requests_s for run in self.runs)

    @property
    def cpu_us(self) -> float:
        """The median, in microseconds a request."""
        return statistics.median(run.cpu_us for run in self.runs)


def measure_load(
    load: Load, models: Path, counts: Sequence[int], rounds: int, seconds: float
) -> dict[int, Found]:
    """One load of a server for each number of workers."""
    served, runs = Served(models, load.dimensions), dict[int, list[Run]]()
    with ExitStack() as stack:
        servers = {}
        for count in counts:
            log, options = FOLDER / f"workers-{count}.log", ("--workers", str(count))
            servers[count] = stack.enter_context(Server(served, log, options=options))
            Requests(servers[count].port, load.dimensions, load.rows).ask_all()
        for number in range(rounds):
            for count in counts if number % 2 == 0 else reversed(counts):
                args = load.dimensions, load.connections, seconds, load.rows
                runs.setdefault(count, []).append(measure(servers[count], *args))
        return {
            count: Found(
                runs[count],
                sum(map(shared_memory, family_of(servers[count].process))) / 2**20,
            )
            for count in counts
        }


def page(found: dict[Load, dict[int, Found]], how: str) -> str:
    """The page in Markdown."""
    rows = [
        (
            str(load),
            str(count),
            figure(one.requests_s),
            figure(one.cpu_us),
            figure(1e6 * (os.cpu_count() or 1) / one.cpu_us),
            figure(one.mib),
        )
        for load, by_count in found.items()
        for count, one in by_count.items()
    ]
    names = ("load", "workers", "requests/s", "CPU, µs a request", "full CPUs, requests/s", "MiB")
    lines = [
        "# One worker and several",
        "",
        f"Made by `python -m tests.benchmarks.serving.workers` on {how}.",
        "",
        "Medians of rounds in turn. CPU time is that of all processes of a server; the generator",
        f"has the same {os.cpu_count()} CPUs. The last but one column is what these CPUs would",
        "answer if the server alone used them up. Memory is the proportional set size.",
        "",
        *table(names, rows),
    ]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare one worker with several.")
    parser.add_argument("--models", type=Path, default=FOLDER, help=f"({FOLDER})")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="(1 2)")
    parser.add_argument("--rounds", type=int, default=5, help="of each load (5)")
    parser.add_argument("--seconds", type=float, default=4, help="of a round (4)")
    add_results_option(parser)
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    found = {
        load: measure_load(load, options.models, options.workers, options.rounds, options.seconds)
        for load in LOADS
    }
    how = (
        f"{cpu_name()}, {os.cpu_count()} CPUs, onnxruntime {onnxruntime.__version__}, MAFs, npy, "
        f"{options.rounds} rounds of {options.seconds:g} seconds"
    )
    content = {
        "made": how,
        "loads": [
            asdict(load) | {"workers": {str(n): asdict(one) for n, one in by_count.items()}}
            for load, by_count in found.items()
        ],
    }
    first, *more = options.workers
    bars = [
        Bar(
            f"{load}: CPU time of a request with {count} workers to that with {first}",
            by_count[count].cpu_us / by_count[first].cpu_us,
            MAX_CPU_RATIO,
        )
        for load, by_count in found.items()
        for count in more
    ]
    bars += [
        Bar(
            f"{load}: requests a second with {count} workers to those with {first}",
            by_count[count].requests_s / by_count[first].requests_s,
            MIN_RATE_RATIO,
            floor=True,
        )
        for load, by_count in found.items()
        for count in more
    ]
    return publish(options.results, "serving_workers", content, page(found, how), bars)


if __name__ == "__main__":
    sys.exit(main())
