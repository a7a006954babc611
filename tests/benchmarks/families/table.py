"""The table of families: every one trained, exported and measured on what it is made for.

    make family-table

Vector families are fitted to each of six 2-D densities, image families to digits of 1 × 8 × 8;
MAF and the autoregressive NSF beside zuko's of the same size. Each cell is a process of one
thread, as many at once as there are cores, and is kept in runs/family-table: an interrupted
table goes on where it was. Writes results/families.json and the page results/families.md, and
exits with 1 where a bar is missed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from service.runtime.cpus import granted_cpus
from tests.benchmarks.common.bar import RESULTS
from tests.benchmarks.common.markdown import table
from tests.benchmarks.families.entries import ENTRIES
from tests.benchmarks.families.trained import slug

FOLDER = Path("runs/family-table")

Cell = dict[str, Any]

# iterating directions stop at a tolerance of their own
EXACT, ITERATED = 1e-10, 1e-8


def bars(cell: Cell) -> list[str]:
    """The bars that a cell misses, in words."""
    iterates = "parallel" not in cell["cost"].values() or "iterative" in cell["cost"].values()
    float64 = ITERATED if iterates else EXACT
    checks: list[tuple[str, float, float]] = []
    for when in ("start", "trained"):
        found = cell[when]
        single = 1e-5 if when == "start" else 1e-4
        for name in ("x", "z"):
            checks.append((f"{when} {name} round trip, float64", found[f"{name}_64"], float64))
            if when == "start" or found[f"{name}_32_excess"] > 0:
                checks.append((f"{when} {name} round trip, float32", found[f"{name}_32"], single))
        checks.append((f"{when} log-det, float64", found["log_det_64"], float64))
        checks.append((f"{when} log_prob, float32", found["log_prob_32_to_64"], single))
    if "integral" in cell:
        checks.append(("integral", abs(cell["integral"] - 1), 1e-3))
        checks.append(("change of the integral", cell["change"], 1e-4))
    if "zuko" in cell:
        checks.append(("nats behind zuko", -cell["zuko"]["ahead"], 2 * cell["zuko"]["se"]))
    # written so that NaN is a miss
    return [f"{what}: {value:.2g} > {bar:.2g}" for what, value, bar in checks if not value <= bar]


def run_cells() -> dict[tuple[str, str], Cell]:
    """Every cell, those measured before taken from their files."""
    wanted = [(title, source) for title, entry in ENTRIES.items() for source in entry.sources]
    failed = []
    with ThreadPoolExecutor(granted_cpus()) as pool:
        todo = [cell for cell in wanted if not _path(*cell).exists()]
        for cell, done in tqdm(
            zip(todo, pool.map(_run, todo), strict=True), total=len(todo), unit="cell"
        ):
            if done.returncode:
                failed.append(cell)
                tqdm.write(f"{cell[0]} on {cell[1]} failed:\n{done.stderr[-2000:]}")
    if failed:
        sys.exit(f"{len(failed)} of {len(wanted)} cells failed; the same command tries them again")
    return {cell: json.loads(_path(*cell).read_bytes()) for cell in wanted}


def _path(title: str, source: str) -> Path:
    return FOLDER / slug(title, source) / "measured.json"


def _run(cell: tuple[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.benchmarks.families.job", str(FOLDER), *cell]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def page(cells: dict[tuple[str, str], Cell], missed: dict[str, list[str]]) -> str:
    """The Markdown page."""
    titles = {title: [cells[title, s] for s in entry.sources] for title, entry in ENTRIES.items()}
    flat = {title: group for title, group in titles.items() if not ENTRIES[title].image}
    images = {title: group[0] for title, group in titles.items() if ENTRIES[title].image}
    beside = {title: group for title, group in titles.items() if ENTRIES[title].zuko}
    densities = [cell["source"].replace("_", " ") for cell in next(iter(flat.values()))]
    errors = [f"{kind} {when}" for kind in ("x, z", "log-det") for when in ("start", "trained")]
    columns = ["encode", "decode", "parameters"]
    columns += [f"{name}, {kind}" for name in errors for kind in ("float32", "float64")]
    columns += ["ONNX KiB", "ONNX error", "in float64", "encode ms", "decode ms"]
    lines = [
        "# Families",
        "",
        "Made by `make family-table`; every figure is the worst over what the family was trained",
        "on: six 2-D densities, or digits of 1 × 8 × 8. Round trips (x, z) are of both directions,",
        "as a part of the range. Log-dets are in nats per dimension: in float64 against autograd's",
        "Jacobian, in float32 (with the base's log-density) against float64. ONNX errors are in",
        "nats per dimension against the float64 flow, with how many of the exports needed float64",
        "arithmetic to meet the bars; milliseconds are medians for 256 rows on one thread of one",
        "noisy machine.",
        "",
        *_table(columns, {title: _line(group) for title, group in titles.items()}),
        "Held-out nats per row, and the integral of each density:",
        "",
        *_table(
            densities,
            {
                title: [f"{c['held_out']['log_prob']:.3f} ({c['integral']:.5f})" for c in group]
                for title, group in flat.items()
            },
        ),
        "Digits of 1 × 8 × 8, held-out:",
        "",
        *_table(
            ["nats", "bits/dim"],
            {
                title: [f"{c['held_out']['log_prob']:.1f}", f"{c['held_out']['bits_per_dim']:.3f}"]
                for title, c in images.items()
            },
        ),
        "Beside zuko's flows of the same size, nats per held-out row (ours − zuko's ± SE,",
        "over three seeds and the rows):",
        "",
        *_table(
            densities,
            {
                title: [f"{c['zuko']['ahead']:+.3f} ± {c['zuko']['se']:.3f}" for c in group]
                for title, group in beside.items()
            },
        ),
        f"Bars missed: {'none' if not missed else ''}",
        *(f"- {cell}: {'; '.join(what)}" for cell, what in missed.items()),
    ]
    return "\n".join(lines) + "\n"


def _table(columns: list[str], rows: dict[str, list[str]]) -> list[str]:
    return table(["family", *columns], ([title, *row] for title, row in rows.items()))


def _line(group: list[Cell]) -> list[str]:
    def worst(value: Callable[[Cell], float], form: str = ".0e") -> str:
        return format(max(map(value, group)), form)

    def trip(when: str, kind: str) -> str:
        return worst(lambda c: max(c[when][f"x_{kind}"], c[when][f"z_{kind}"]))

    return [
        group[0]["cost"]["encode"],
        group[0]["cost"]["decode"],
        worst(lambda c: c["parameters"], ","),
        *(trip(when, kind) for when in ("start", "trained") for kind in ("32", "64")),
        worst(lambda c: c["start"]["log_prob_32_to_64"]),
        worst(lambda c: c["start"]["log_det_64"]),
        worst(lambda c: c["trained"]["log_prob_32_to_64"]),
        worst(lambda c: c["trained"]["log_det_64"]),
        worst(lambda c: c["encode"]["kib"] + c["decode"]["kib"], ".0f"),
        worst(lambda c: c["onnx"]["log_prob_per_dim_max"]),
        f"{sum(c['arithmetic'] != 'float32' for c in group)} of {len(group)}",
        worst(lambda c: c["encode"]["ms"], ".2f"),
        worst(lambda c: c["decode"]["ms"], ".2f"),
    ]


def main() -> int:
    cells = run_cells()
    missed = {f"{t} on {s}": found for (t, s), cell in cells.items() if (found := bars(cell))}
    result = {
        "made_with": {p: version(p) for p in ("torch", "onnxruntime-gpu", "zuko")},
        "cells": list(cells.values()),
        "missed": missed,
    }
    (RESULTS / "families.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = page(cells, missed)
    (RESULTS / "families.md").write_text(text, encoding="utf-8")
    print(text)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
