"""Our server for an hour at 70 % of what it can do, with its model loaded anew each minute.

    make soak
    make soak SOAK_MINUTES=2

One minute's load after the other (`load_generator`, an open loop), answers checked against
onnxruntime. What the server can do is measured anew before each minute, as machines change: within
an hour, with nothing else at work, one answered 6,149 requests a second and then 4,310.

Fails where a request is not answered, where descriptors grow, and where the slope of memory is
above 0 beyond its 95 % limits: over the last three quarters of the time, by Student's t over the
means of blocks. Writes soak.json and soak.md into `--results`. Less than ten minutes say nothing of
memory, and are not judged by it: what is made once is still being made.
"""

import argparse
import resource
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request

from tqdm import tqdm

from tests.benchmarks.common.bar import Bar, add_results_option, figure, publish
from tests.benchmarks.common.machine import cpu_name, memory
from tests.benchmarks.common.markdown import table
from tests.benchmarks.serving.load import CLOSED_CONNECTIONS, FOLDER, Bench
from tests.benchmarks.serving.load_requests import OPENER, Oracle, Requests
from tests.benchmarks.serving.load_result import Figures
from tests.benchmarks.serving.server import Served, Server
from tests.hostile.mixed import MIN_SLOPE_MINUTES, slope

DIMENSIONS = 43
SHARE = 0.7
LEG_SECONDS = 60.0
CONNECTIONS = 1500
CLOSED_SECONDS = 4.0
# Times that capacity was measured, of which the least counts: it may fall again.
RECENT = 5
SAMPLE_SECONDS = 1.0
# Of the last quarter beyond the first: sockets of callers who have just left, and files of a load.
MORE_DESCRIPTORS = 16


class Sample(NamedTuple):
    """The server at one time.

    Args:
        seconds: since the beginning.
        resident: bytes of memory.
        descriptors: that are open.
    """

    seconds: float
    resident: int
    descriptors: int


@dataclass
class Soak:
    """What was seen.

    Args:
        samples: one a second.
        legs: of the load.
        capacities: requests a second that the server could answer before each leg.
        reloads: how often the model was loaded anew.
        failed_reloads: how often it was not.
    """

    samples: list[Sample] = field(default_factory=list)
    legs: list[Figures] = field(default_factory=list)
    capacities: list[float] = field(default_factory=list)
    reloads: int = 0
    failed_reloads: int = 0


class Watch:
    """Samples a process, and loads a model anew in the midst of each leg, in a thread.

    Args:
        server: the process, and its port.
        soak: gets what is seen.
    """

    def __init__(self, server: Server, soak: Soak) -> None:
        self._server = server
        self._soak = soak
        self._began = time.monotonic()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _work(self) -> None:
        reload_at = LEG_SECONDS / 2
        while not self._is_over.wait(SAMPLE_SECONDS):
            seconds = time.monotonic() - self._began
            process = self._server.process
            descriptors = len(list(Path(f"/proc/{process}/fd").iterdir()))
            self._soak.samples.append(Sample(seconds, memory(process), descriptors))
            if seconds >= reload_at:
                reload_at += LEG_SECONDS
                self._soak.reloads += 1
                self._soak.failed_reloads += not self._reload()

    def _reload(self) -> bool:
        url = f"http://127.0.0.1:{self._server.port}/v2/repository/models/maf/load"
        try:
            OPENER.open(Request(url, b"", method="POST"), timeout=30).close()
        except OSError:
            return False
        return True


def soak_of(served: Served, minutes: float, options: Sequence[str] = ()) -> Soak:
    """Load a server for so many minutes.

    Args:
        served: what it serves.
        minutes: how long.
        options: of `bijecta serve`, besides.
    """
    soak, legs = Soak(), max(1, round(60 * minutes / (CLOSED_SECONDS + LEG_SECONDS)))
    with Server(served, FOLDER / "soak.log", options=["--model-control", *options]) as server:
        requests = Requests(server.port, served.dimensions, 1)
        bench = Bench(server, requests, Oracle(requests, served.graph), FOLDER, ())
        with Watch(server, soak):
            for _ in tqdm(range(legs), unit="leg"):
                closed = bench.load(0, 0, CLOSED_CONNECTIONS, CLOSED_SECONDS)
                soak.capacities.append(closed.goodput)
                rate = SHARE * min(soak.capacities[-RECENT:])
                leg = bench.load(SHARE, rate, CONNECTIONS, LEG_SECONDS)
                tqdm.write(
                    f"{leg.goodput:.0f} of {closed.goodput:.0f} requests/s, {leg.refused} refused"
                )
                soak.legs.append(leg)
    return soak


def bars(soak: Soak) -> list[Bar]:
    """What has to hold."""
    quarter = max(1, len(soak.samples) // 4)
    first, last = (
        max(sample.descriptors for sample in part)
        for part in (soak.samples[:quarter], soak.samples[-quarter:])
    )
    count: Callable[[str], int] = lambda name: sum(getattr(leg, name) for leg in soak.legs)  # noqa: E731
    growth = slope([(sample.seconds, sample.resident) for sample in soak.samples])
    of_memory = Bar("lower 95 % limit of the growth of memory, MB a minute", growth.low / 1e6, 0)
    is_long = soak.samples[-1].seconds >= 60 * MIN_SLOPE_MINUTES
    return [
        Bar("requests that were answered wrong, or failed", count("failed"), 0),
        Bar("requests refused", count("refused"), 0),
        Bar("requests never answered", count("unanswered"), 0),
        Bar("loads of the model that failed", soak.failed_reloads, 0),
        Bar("descriptors in the last quarter beyond the first", last - first, MORE_DESCRIPTORS),
        *([of_memory] if is_long else []),
    ]


def page(soak: Soak, reached: Sequence[Bar], made: str) -> str:
    """The page in Markdown."""
    samples = [(s.seconds, s.resident) for s in soak.samples]
    minutes = soak.samples[-1].seconds / 60
    answered = sum(leg.answered for leg in soak.legs)
    every = max(1, len(soak.legs) // 12)
    rows = []
    for number in range(0, len(soak.legs), every):
        leg = soak.legs[number]
        end = soak.samples[-1].seconds * (number + 1) / len(soak.legs)
        at = min(soak.samples, key=lambda s: abs(s.seconds - end))
        rows.append(
            [
                str(number + 1),
                figure(soak.capacities[number]),
                figure(leg.goodput),
                *(figure(1e3 * leg.latency.get(p, float("nan"))) for p in ("p50", "p99", "p99.9")),
                f"{at.resident / 2**20:.0f}",
                str(at.descriptors),
            ]
        )
    heads = (
        "minute",
        "capacity",
        "answers/s",
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "MiB",
        "descriptors",
    )
    return "\n".join(
        [
            "# Our server for a long time",
            "",
            f"Made by `make soak` on {made}. {minutes:.0f} minutes at {SHARE:.0%} of capacity,",
            f"the least of the last {RECENT} times that it was measured: {answered:,} requests of",
            f"one 43-D row in npy; the model was loaded anew {soak.reloads} times.",
            f"Memory grew by {slope(samples)}.",
            "",
            *table(heads, rows),
            "Bars:",
            "",
            *(f"- {'' if bar.held else '**missed** '}{bar}" for bar in reached),
            "",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Load our server for a long time.")
    parser.add_argument("--minutes", type=float, default=60, help="(60)")
    parser.add_argument("--models", type=Path, default=FOLDER, help=f"({FOLDER})")
    add_results_option(parser)
    options = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    FOLDER.mkdir(parents=True, exist_ok=True)
    soak = soak_of(Served(options.models, DIMENSIONS), options.minutes)
    reached, made = bars(soak), cpu_name()
    content = {
        "made": made,
        "samples": soak.samples,
        "legs": [asdict(leg) for leg in soak.legs],
        "capacities": soak.capacities,
        "reloads": soak.reloads,
    }
    return publish(options.results, "soak", content, page(soak, reached, made), reached)


if __name__ == "__main__":
    sys.exit(main())
