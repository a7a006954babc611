"""This checkout's server beside that of another commit, in pairs that follow each other.

    git worktree add ../base bde3c8a
    python -m tests.benchmarks.serving.models runs/bench-serving 43
    python -m tests.benchmarks.serving.pairs --base ../base

A pair is one load of each server, in turns in one order and in the other: a closed loop of requests
in npy of one row (`load_generator`). Both servers run meanwhile, and are started anew for every
fifth pair: how a process lies in memory counts too. The figure is the
ratio of this checkout to the base: of requests a second, and of requests per second of the server's
CPU time. It is the geometric mean over the pairs with its 95 % interval, by Student's t of the
logarithms: what else the machine does slows both runs of a pair, and leaves their ratio.

Without `--base` both sides are this checkout, for comparing settings: `--base-options "--gc-policy
python"`. Writes STEM.json and the page STEM.md, serving_pairs by default, into the results; exits
with 1 where a ratio is below 0.95. Ten pairs take two minutes; a machine that does other work needs
more and shorter ones.
"""

import argparse
import json
import math
import shlex
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from scipy import stats
from tqdm import tqdm

from tests.benchmarks.common.bar import Bar, add_results_option, figure, publish
from tests.benchmarks.common.checkout import ROOT, commit
from tests.benchmarks.common.machine import cpu_name
from tests.benchmarks.common.markdown import table
from tests.benchmarks.serving.load_plan import Plan, Summary
from tests.benchmarks.serving.load_requests import Requests
from tests.benchmarks.serving.server import Served, Server

FOLDER = Path("runs/bench-serving")
MIN_RATIO = 0.95
RUN_IN_SECONDS = 0.5
PAIRS_PER_PROCESS = 5


@dataclass(frozen=True)
class Side:
    """One of the two servers.

    Args:
        name: in the page.
        checkout: whose code it runs.
        options: of `bijecta serve`.
    """

    name: str
    checkout: Path
    options: tuple[str, ...]

    @property
    def title(self) -> str:
        """Its commit and its options."""
        return " ".join([commit(self.checkout), *self.options])


@dataclass(frozen=True)
class Run:
    """What one run measured.

    Args:
        requests_s: answers with 200 a second.
        cpu_us: microseconds of the server's CPU time for each of them.
    """

    requests_s: float
    cpu_us: float


@dataclass(frozen=True)
class Ratio:
    """A mean ratio of pairs, and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, ratios: Sequence[float]) -> "Ratio":
        """The geometric mean of ratios, at least two."""
        logs = [math.log(ratio) for ratio in ratios]
        mean = statistics.mean(logs)
        error = statistics.stdev(logs) / math.sqrt(len(logs))
        width = float(stats.t.ppf(0.975, len(logs) - 1)) * error
        return cls(*map(math.exp, (mean, mean - width, mean + width)))

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


def measure(
    server: Server, dimensions: int, connections: int, seconds: float, rows: int = 1
) -> Run:
    """One load of a server.

    Raises:
        RuntimeError: it gave no answer, or another than 200.
    """
    plan = Plan(
        port=server.port,
        dimensions=dimensions,
        rows=rows,
        server=server.process,
        rate=0,
        connections=connections,
        seconds=seconds,
        run_in=RUN_IN_SECONDS,
    )
    plan_file, records_file = FOLDER / "pairs-plan.json", FOLDER / "pairs-records.npz"
    plan_file.write_text(json.dumps(asdict(plan)))
    generator = [sys.executable, "-m", "tests.benchmarks.serving.load_generator"]
    said = subprocess.run(
        [*generator, str(plan_file), str(records_file)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    summary = Summary(**json.loads(said))
    with np.load(records_file) as records:
        ended, status = records["ended"], records["status"]
    came = (ended >= summary.start) & (ended < summary.end)
    answered = int((came & (status == 200)).sum())
    if answered == 0 or answered < came.sum():
        raise RuntimeError(f"port {server.port}: {answered} of {came.sum()} requests were answered")
    period = summary.end - summary.start
    return Run(answered / period, 1e6 * summary.server_cores * period / answered)


def measure_pairs(
    base: Side, new: Side, served: Served, count: int, connections: int, seconds: float
) -> list[tuple[Run, Run]]:
    """Pairs (base, new) of loads of the same two processes."""
    pairs = []
    with ExitStack() as stack:
        servers = {
            side.name: stack.enter_context(
                Server(served, FOLDER / f"pairs-{side.name}.log", side.checkout, side.options)
            )
            for side in (base, new)
        }
        for server in servers.values():
            Requests(server.port, served.dimensions, 1).ask_all()
        for number in range(count):
            names = (base.name, new.name) if number % 2 == 0 else (new.name, base.name)
            runs = {
                name: measure(servers[name], served.dimensions, connections, seconds)
                for name in names
            }
            pairs.append((runs[base.name], runs[new.name]))
    return pairs


def ratios_of(pairs: Sequence[tuple[Run, Run]]) -> dict[str, Ratio]:
    """The ratios of pairs (base, this checkout), by what they are of; larger is better."""
    return {
        "requests/s": Ratio.of([new.requests_s / base.requests_s for base, new in pairs]),
        "requests per CPU second": Ratio.of([base.cpu_us / new.cpu_us for base, new in pairs]),
    }


def page(pairs: Sequence[tuple[Run, Run]], titles: tuple[str, str], how: str, command: str) -> str:
    """The page in Markdown."""
    base, new = titles
    medians = [
        [statistics.median(getattr(pair[i], name) for pair in pairs) for i in (0, 1)]
        for name in ("requests_s", "cpu_us")
    ]
    rates, costs = ([figure(value) for value in values] for values in medians)
    (rate, per_cpu) = map(str, ratios_of(pairs).values())
    summary = [
        ("requests/s", *rates, rate),
        ("CPU time of the server, µs a request", *costs, per_cpu),
    ]
    each = [
        (str(i), *map(figure, (a.requests_s, b.requests_s, a.cpu_us, b.cpu_us)))
        for i, (a, b) in enumerate(pairs, 1)
    ]
    names = ("pair", "base, requests/s", "new, requests/s", "base, µs", "new, µs")
    lines = [
        "# Two servers in pairs",
        "",
        f"Made by `{command}` on {how}.",
        "",
        f"Base: {base}. New: {new}. Medians, and the ratio new to base of what a second, or a CPU",
        "second, answers: geometric mean over the pairs with its 95 % interval; more is better.",
        "",
        *table(("", "base", "new", "ratio"), summary),
        *table(names, each),
    ]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare this server with another commit's.")
    parser.add_argument("--base", type=Path, default=ROOT, help="a worktree (this one)")
    parser.add_argument("--base-options", type=shlex.split, default=[], help="of its server")
    parser.add_argument("--options", type=shlex.split, default=[], help="of this one's server")
    parser.add_argument("--models", type=Path, default=FOLDER, help=f"({FOLDER})")
    parser.add_argument("--dimensions", type=int, default=43, help="of the model (43)")
    parser.add_argument("--pairs", type=int, default=10, help="at least 2 (10)")
    parser.add_argument("--seconds", type=float, default=4, help="of a load (4)")
    parser.add_argument("--connections", type=int, default=64, help="(64)")
    parser.add_argument("--stem", default="serving_pairs", help="of the page (serving_pairs)")
    add_results_option(parser)
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    served = Served(options.models, options.dimensions)
    if not served.graph.exists():
        parser.error(f"{served.graph} is missing: tests.benchmarks.serving.models writes it")
    base = Side("base", options.base.resolve(), tuple(options.base_options))
    new = Side("new", ROOT, tuple(options.options))
    titles = base.title, new.title
    pairs: list[tuple[Run, Run]] = []
    with tqdm(total=options.pairs, unit="pair") as progress:
        while len(pairs) < options.pairs:
            block = min(PAIRS_PER_PROCESS, options.pairs - len(pairs))
            pairs += measure_pairs(base, new, served, block, options.connections, options.seconds)
            progress.update(block)
    ratios = ratios_of(pairs)
    how = (
        f"{cpu_name()}, onnxruntime {onnxruntime.__version__}, a {options.dimensions}-D MAF, one "
        f"row in npy, {options.connections} connections, {options.seconds:g} seconds a run"
    )
    text = page(pairs, titles, how, "python -m tests.benchmarks.serving.pairs")
    content = {
        "made": how,
        "base": titles[0],
        "new": titles[1],
        "pairs": [{"base": asdict(a), "new": asdict(b)} for a, b in pairs],
        "ratios": {name: asdict(ratio) for name, ratio in ratios.items()},
    }
    bars = [Bar(name, ratio.mean, MIN_RATIO, floor=True) for name, ratio in ratios.items()]
    return publish(options.results, options.stem, content, text, bars)


if __name__ == "__main__":
    sys.exit(main())
