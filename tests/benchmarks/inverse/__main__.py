"""The sequential direction of masked autoregressive flows, beside zuko, nflows and normflows.

    make bench-inverse

One architecture for all, one run, the sides taking turns: five masked layers with two hidden
layers each, in sampling (zuko, nflows) or density (normflows). Ours is timed in torch and as the
ONNX graph that the server runs, which is also held against our own parallel direction: in time,
in peak memory and, on a trained flow, in what it loses to plain float64 inversion.

Writes results/inverse.json and the page results/inverse.md, and where torch sees a GPU the same
again for it; exits with 1 where a bar is missed. `--device` takes one of the two. The trained flow
is kept in runs/bench-inverse. Needs a machine that does nothing else: two cores, twelve minutes.
"""

import argparse
import json
import os
import re
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import onnxruntime
import torch
from tqdm import tqdm

from tests.benchmarks.common.bar import RESULTS, Bar
from tests.benchmarks.common.machine import cpu_name
from tests.benchmarks.inverse import exact
from tests.benchmarks.inverse.graph import THREADS, peak_memory
from tests.benchmarks.inverse.measure import BATCHES, LARGE, SIZES, Cell, Size
from tests.benchmarks.inverse.page import page
from tests.benchmarks.inverse.result import PEERS, Result, bars

FOLDER = Path("runs/bench-inverse")

MEMORY_ROWS = 256


class Clock:
    """Where the time goes: seconds by what they went to."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, what: str) -> None:
        """Book the time since the last lap."""
        now = time.perf_counter()
        self.seconds[what] = now - self._last
        self._last = now
        tqdm.write(f"{what}: {self.seconds[what]:.0f} s")


def run(device: str) -> Result:
    """Measure everything on a device, `cpu` or `cuda`."""
    clock = Clock()
    flow, dataset = exact.trained(FOLDER, THREADS)
    clock.lap("training")
    trained = exact.measure(flow, dataset, device)
    clock.lap("the trained flow")
    parameters: dict[int, dict[str, int]] = {}
    inverses: dict[int, str] = {}
    cells: list[Cell] = []
    memory: dict[str, int] = {}
    for features, hidden in SIZES.items():
        size = Size(features, hidden, device)
        parameters[features], inverses[features] = size.parameters, size.graphs.inverse
        for batch in BATCHES:
            cells.append(size.cell(batch))
            tqdm.write(progress(cells[-1]))
        clock.lap(f"D={features}")
        if features == LARGE and device == "cpu":
            memory = peaks(size)
            clock.lap("memory")
    return Result(
        device=torch.cuda.get_device_name() if device == "cuda" else cpu_name(),
        threads=THREADS,
        made_with={
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
            **{peer: version(peer) for peer in PEERS},
        },
        parameters=parameters,
        inverses=inverses,
        cells=cells,
        trained=trained,
        memory=memory,
        seconds=clock.seconds,
    )


def peaks(size: Size) -> dict[str, int]:
    """Peak memory of each direction's session, in bytes."""
    found = {}
    for direction, content in (("decode", size.graphs.decode), ("encode", size.graphs.encode)):
        path = FOLDER / f"{direction}.onnx"
        path.write_bytes(content)
        found[direction] = peak_memory(path, MEMORY_ROWS)
    return found


def progress(cell: Cell) -> str:
    """A finished cell in one line."""
    times = ", ".join(f"{side} {1e3 * taken:.4g} ms" for side, taken in cell.seconds.items())
    return f"D={cell.features} batch {cell.batch}: {times}"


def write(result: Result, reached: list[Bar], stem: str) -> None:
    """Write the JSON file and the page, and print the page."""
    content = asdict(result)
    for plain, cell in zip(content["cells"], result.cells, strict=True):
        plain["ratios"] = cell.ratios
    content["bars"] = [asdict(bar) | {"held": bar.held} for bar in reached]
    text = page(result, reached)
    (RESULTS / f"{stem}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (RESULTS / f"{stem}.md").write_text(text, encoding="utf-8")
    print(text)


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare inverses with other libraries.")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="all that there are, if left out")
    wanted = parser.parse_args().device
    # the same CPUs for all: graphs run in as many threads as there are
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    torch.set_num_threads(THREADS)
    missed: list[Bar] = []
    if wanted != "cuda":
        result = run("cpu")
        reached = list(bars(result))
        write(result, reached, "inverse")
        missed = [bar for bar in reached if not bar.held]
    if wanted == "cuda" or (wanted is None and torch.cuda.is_available()):
        result = run("cuda")
        slug = re.sub(r"[^a-z0-9]+", "-", result.device.lower()).strip("-")
        write(result, [], f"inverse-{slug}")
    for bar in missed:
        print(f"missed: {bar}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
