"""Time, CPU time and memory of `bijecta export` for every recipe that comes with Bijecta.

    make bench-export
    make bench-export BASE=../worktree RECIPES="mnist-glow fsdd-student"

A run of each recipe has the weights of a few steps (`short_run`). It is exported after what
`bijecta train` keeps for an export, and without; by this checkout and, if one is named, by another.
Goes on where it was: what was measured is kept in runs/bench-export and measured again with other
code (models, training, service) or `--again` alone. At the end three of them are exported beside a
busy process, in turns with none. Data sets are those of `tests.benchmarks.papers.data`; recipes
whose data is absent are named and left out.

Writes results/export.json and the page results/export.md; exits with 1 where a bar is missed.
"""

import argparse
import os
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import onnxruntime

from tests.benchmarks.common.bar import add_results_option, figure, publish
from tests.benchmarks.common.checkout import ROOT
from tests.benchmarks.common.machine import cpu_name
from tests.benchmarks.exports.bench import Bench, NotMadeError, Side
from tests.benchmarks.exports.page import page
from tests.benchmarks.exports.recipes import Entry, entries
from tests.benchmarks.exports.rows import (
    AFTER,
    BASE,
    BESIDE,
    OURS,
    WITHOUT,
    Measured,
    Row,
    State,
    bars,
)
from tests.helpers.shared_data import SHARED

FOLDER = Path("runs/bench-export")
# A masked flow, a convolutional one, and one whose decode goes step by step.
BESIDE_BUSY = ("mnist-maf", "cifar10-glow", "digits-wavenet")
STATES: dict[str, State] = {"after": AFTER, "without": WITHOUT}
KINDS = (*STATES, BESIDE)


def measure(
    bench: Bench, wanted: list[Entry], states: list[State], sides: list[Side], measured: Measured
) -> dict[str, str]:
    """Export each recipe in each state by each side; returns which runs cannot be made, and why.

    What `measured` has of the same code is not measured again.
    """
    not_made: dict[str, str] = {}
    for state in states:
        for entry in wanted:
            for side in sides:
                if measured.has((entry.name, state, side.name), side.code):
                    continue
                try:
                    row = bench.row(entry, state, side)
                except NotMadeError as error:
                    not_made[entry.name] = str(error)
                    print(f"{entry.name}: {error}", flush=True)
                    continue
                print(_line(row), flush=True)
                for each in [state] if side.keeps else STATES.values():
                    measured.add(replace(row, state=each))
    return not_made


def measure_beside(
    bench: Bench, wanted: list[Entry], side: Side, measured: Measured
) -> dict[str, str]:
    """Export those of `BESIDE_BUSY` that are wanted beside a busy process; returns as `measure`."""
    not_made: dict[str, str] = {}
    for entry in wanted:
        if entry.name in BESIDE_BUSY and not measured.has((entry.name, BESIDE), side.code):
            try:
                busy = bench.busy(entry, side)
            except NotMadeError as error:
                not_made[entry.name] = str(error)
                continue
            print(f"{entry.name} beside a busy process: {busy.ratios}", flush=True)
            measured.add(busy)
    return not_made


def _line(row: Row) -> str:
    cost = row.cost
    return (
        f"{row.recipe}, {row.state}, {row.side}: {figure(cost.wall)} s, {figure(cost.cpu)} CPU s, "
        f"{cost.peak / 1e9:.2f} GB, {row.arithmetic or row.failed}; others {cost.others:.1f} CPUs"
    )


def main() -> int:
    every = entries()
    parser = argparse.ArgumentParser(description="Measure exports of all recipes.")
    parser.add_argument("recipes", nargs="*", help="(all)")
    parser.add_argument("--base", type=Path, help="a worktree of another commit")
    parser.add_argument("--kind", choices=KINDS, action="append", help="of exports (all)")
    parser.add_argument("--again", action="store_true", help="measure what is kept already, too")
    parser.add_argument("--data", type=Path, default=Path("runs/zoo-data"), help="(runs/zoo-data)")
    parser.add_argument("--limit", type=int, default=900, help="CPU seconds of an export (900)")
    add_results_option(parser)
    options = parser.parse_args()
    if unknown := [name for name in options.recipes if name not in every]:
        parser.error(f"no recipe {', '.join(unknown)}: there are {', '.join(every)}")
    wanted = [every[name] for name in options.recipes or every]
    sides = [Side(OURS, ROOT)]
    if options.base is not None:
        sides.append(Side(BASE, options.base.resolve()))
    bench = Bench(FOLDER, options.data, options.limit)
    if any(entry.lacks(options.data) for entry in wanted) and SHARED.is_dir():
        bench.write_data()
    lacking = {each.name: why for each in wanted if (why := each.lacks(options.data))}
    present = [each for each in wanted if each.name not in lacking]
    kinds = options.kind or KINDS
    states = [state for name, state in STATES.items() if name in kinds]

    measured = Measured(FOLDER / "measured.json")
    if options.again:
        measured.forget([each.name for each in present], [STATES.get(kind, kind) for kind in kinds])
    not_made = measure(bench, present, states, sides, measured)
    if BESIDE in kinds:
        not_made |= measure_beside(bench, present, sides[0], measured)
    how = ", ".join(
        (
            cpu_name(),
            f"{len(os.sched_getaffinity(0))} CPUs",
            f"torch {version('torch')}",
            f"onnxruntime {onnxruntime.__version__}",
        )
    )
    rows, busy = measured.rows, measured.busy
    text = page(rows, busy, lacking | not_made, how)
    content = {"made": how, **measured.content()}
    reached = list(bars(rows, busy, not_made))
    return publish(options.results, "export", content, text, reached)


if __name__ == "__main__":
    sys.exit(main())
