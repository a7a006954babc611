"""The largest memory of a server of each bundle of a store, and its rates beside another commit's.

    git worktree add ../base bde3c8a
    python -m tests.benchmarks.memory --store runs/bench-memory/store --base ../base

Of each bundle, the newest version is served alone. A server of this checkout is asked each of its
endpoints about 1, 16, 256, 1,024, 17 and 256 rows in npy, one question after the other; its peak
(VmHWM) is to be at most the bundle's files and 500 MB more. Then both commits' servers are asked
about 256 rows in turns, and the answers to a question are to come at 0.95 times the rate at least.

Writes memory.json and memory.md into the results, after each bundle: `--only NAME` measures some
anew and keeps the others. Exits with 1 where a bar is missed.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnxruntime
from tqdm import tqdm

from service.bundle import read, versions
from tests.benchmarks.common.bar import Bar, add_results_option, publish
from tests.benchmarks.common.checkout import ROOT
from tests.benchmarks.common.machine import cpu_name, memory
from tests.benchmarks.common.markdown import table
from tests.benchmarks.memory.questions import Questions, RefusedError
from tests.benchmarks.serving.pairs import MIN_RATIO, Ratio, Side
from tests.benchmarks.serving.server import Server

COUNTS = (1, 16, 256, 1024, 17, 256)
TIMED_ROWS = 256
MB = 10**6
MAX_MB = 500
# Pairs of answers of each endpoint: as many as fit the time, of these numbers.
MIN_PAIRS, MAX_PAIRS, PAIR_SECONDS = 2, 40, 5.0
STEM = "memory"


@dataclass(frozen=True)
class Served:
    """A bundle that is served alone, by its folder."""

    folder: Path

    def command(self, port: int) -> list[str]:
        """What serves it."""
        serve = [sys.executable, "-m", "service.cli", "serve"]
        return [*serve, "--store", str(self.folder.resolve()), "--port", str(port)]


@dataclass(frozen=True)
class Measured:
    """What was measured of one bundle.

    Args:
        name: of the model.
        how: the machine, and the commits.
        files_mb, loaded_mb, peak_mb: the bundle's files; the server's memory once it is loaded, and
            its peak after all questions.
        row_bytes: of a run, by graph, where the manifest says so.
        ratios: of the rates, this checkout's to the base's, by endpoint: mean and 95 % interval.
        milliseconds: median of an answer about 256 rows, base and new, by endpoint.
        refused: endpoints that did not answer, and why.
    """

    name: str
    how: str
    files_mb: float
    loaded_mb: float
    peak_mb: float
    row_bytes: dict[str, int]
    ratios: dict[str, tuple[float, float, float]]
    milliseconds: dict[str, tuple[float, float]]
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def bars(self) -> list[Bar]:
        """Of memory, and of each rate."""
        more = Bar(f"{self.name}: MB beyond its files", self.peak_mb - self.files_mb, MAX_MB)
        rates = [
            Bar(f"{self.name}: rate of /{endpoint} to the base's", mean, MIN_RATIO, floor=True)
            for endpoint, (mean, _, _) in self.ratios.items()
        ]
        return [more, *rates]


def measure(folder: Path, base: Side, new: Side, log_folder: Path) -> Measured:
    """One bundle, served by both commits."""
    manifest = read(folder)
    served = Served(folder)
    refused: dict[str, str] = {}
    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                Server(served, log_folder / f"{side.name}.log", side.checkout, side.options)
            )
            for side in (base, new)
        ]
        before, after = (Questions(server.port, manifest) for server in servers)
        process = servers[1].process
        loaded = memory(process)
        answering = []
        for endpoint in after.endpoints:
            try:
                for rows in COUNTS:
                    after.ask(endpoint, rows)
                before.ask(endpoint, TIMED_ROWS)
                answering.append(endpoint)
            except RefusedError as error:
                refused[endpoint] = str(error)
        pairs = {endpoint: in_pairs(before, after, endpoint) for endpoint in answering}
        peak = memory(process, "VmHWM")
    ratios = {e: Ratio.of([a / b for a, b in of]) for e, of in pairs.items()}
    files = sum((folder / name).stat().st_size for name in manifest.files)
    return Measured(
        manifest.name,
        f"{cpu_name()}, onnxruntime {onnxruntime.__version__}; base {base.title}, new {new.title}",
        files / MB,
        loaded / MB,
        peak / MB,
        {graph: of.row_bytes for graph, of in manifest.run_cost.items()},
        {endpoint: (r.mean, r.low, r.high) for endpoint, r in ratios.items()},
        {e: (_median(of, 0), _median(of, 1)) for e, of in pairs.items()},
        refused,
    )


def in_pairs(before: Questions, after: Questions, endpoint: str) -> list[tuple[float, float]]:
    """Seconds of answers of both servers, base and new, in turns in one order and the other."""
    pairs: list[tuple[float, float]] = []
    while len(pairs) < MIN_PAIRS or (
        len(pairs) < MAX_PAIRS and sum(map(sum, pairs)) < PAIR_SECONDS
    ):
        turn = (before, after) if len(pairs) % 2 == 0 else (after, before)
        seconds = {id(side): side.ask(endpoint, TIMED_ROWS) for side in turn}
        pairs.append((seconds[id(before)], seconds[id(after)]))
    return pairs


def _median(pairs: Sequence[tuple[float, float]], side: int) -> float:
    """Of the milliseconds of one side."""
    return 1e3 * sorted(pair[side] for pair in pairs)[len(pairs) // 2]


def page(measured: Sequence[Measured]) -> str:
    """The page in Markdown."""
    of_memory = [
        (
            of.name,
            *(f"{value:,.0f}" for value in (of.files_mb, of.loaded_mb, of.peak_mb)),
            f"{of.peak_mb - of.files_mb:,.0f}",
            "; ".join(f"{graph} {n / MB:.2f}" for graph, n in of.row_bytes.items()) or "–",
        )
        for of in measured
    ]
    rates = [
        (
            f"{of.name}: /{endpoint}",
            *(f"{ms:,.1f}" for ms in of.milliseconds[endpoint]),
            f"{mean:.3f} ({low:.3f} to {high:.3f})",
        )
        for of in measured
        for endpoint, (mean, low, high) in of.ratios.items()
    ]
    refused = [f"- {of.name}: {why}" for of in measured for why in of.refused.values()]
    counts = ", ".join(f"{count:,}" for count in COUNTS)
    lines = [
        "# Memory of servers",
        "",
        "Made by `make bench-memory`.",
        "",
        f"A server of one bundle is asked each endpoint about {counts} rows in npy, and",
        f"then about {TIMED_ROWS} rows again and again. Its peak (VmHWM) is to be at most the",
        f"bundle's files and {MAX_MB} MB more. MB a row is what its manifest says of a run of a",
        "graph, where rows are heavy.",
        "",
        *table(
            ("", "files, MB", "loaded, MB", "peak, MB", "beyond files, MB", "MB a row"), of_memory
        ),
        f"Milliseconds of an answer about {TIMED_ROWS} rows, medians, in turns with a server of",
        "another commit; the ratio of the rates is the geometric mean with its 95 % interval, and",
        "more is better.",
        "",
        *table(("", "base, ms", "new, ms", "rate, new to base"), rates),
    ]
    if refused:
        lines += ["Questions that had no answer:", "", *refused, ""]
    hows = sorted({of.how for of in measured})
    lines += ["Measured on:", "", *(f"- {how}" for how in hows)]
    return "\n".join(lines).rstrip() + "\n"


def bundles(stores: Sequence[Path]) -> dict[str, Path]:
    """The newest version of each bundle, by name."""
    found = {}
    for store in stores:
        for folder in sorted(path for path in store.iterdir() if path.is_dir()):
            if numbers := versions(folder):
                found[folder.name] = folder / str(max(numbers))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the memory of servers of one bundle.")
    parser.add_argument("--store", type=Path, action="append", required=True, help="(repeated)")
    parser.add_argument("--base", type=Path, default=ROOT, help="a worktree (this one)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="some bundles")
    add_results_option(parser)
    options = parser.parse_args()
    found = bundles(options.store)
    if unknown := set(options.only) - found.keys():
        parser.error(f"no store has {', '.join(sorted(unknown))}")
    base = Side("base", options.base.resolve(), ())
    new = Side("new", ROOT, ())
    kept: dict[str, dict[str, Any]] = {}
    if (file := options.results / f"{STEM}.json").exists():
        kept = json.loads(file.read_text())["bundles"]
    with TemporaryDirectory() as folder:
        for name in tqdm(options.only or list(found), unit="bundle"):
            kept[name] = asdict(measure(found[name], base, new, Path(folder)))
            file.write_text(json.dumps({"bundles": kept}, indent=1) + "\n")
    measured = [Measured(**kept[name]) for name in sorted(kept)]
    bars = [bar for of in measured for bar in of.bars]
    return publish(options.results, STEM, {"bundles": kept}, page(measured), bars)


if __name__ == "__main__":
    sys.exit(main())
