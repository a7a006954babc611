"""The pictures of the README, from models that the recipes train: `make pictures`.

    python -m tests.benchmarks.pictures [RUNS] [STORE]

Reads the runs of `MOVING` and `FAMILIES` in RUNS (runs) and digits-student in STORE (store), fits a
detector of payments in RUNS/payments where there is none, and writes to results/pictures.
"""

import csv
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
from matplotlib.figure import Figure

from tests.benchmarks.common.bar import RESULTS
from tests.benchmarks.common.small_png import write_small
from training.data.examples.payments import payment_lines
from training.plots import KINDS, Moving, Subject, open_subject, write
from training.plots.detectors.scores import draw_scores
from training.plots.points.layers import animate_layers
from training.plots.points.truths import moons
from training.plots.style import INK, SHADES, new_figure, panels, styled
from training.plots.writing import write_moving

FOLDER = RESULTS / "pictures"

MOVING = ("moons-planar", "moons-realnvp")
FAMILIES = ("moons-planar", "moons-realnvp", "moons-iaf", "moons-maf")
DIGITS = ("samples", "interpolation")

# Payments that a detector is fitted to; of each of the others a value of one of the columns is
# replaced.
PAYMENTS, NORMAL = 8000, 6000
REPLACED = ("when", "country", "merchant_category", "amount", "fee")

SEED, SIDE = 7, 140
VIEW = ((-1.6, -1.1), (2.6, 1.6))

# Every so many frames are kept: a page loads 300 kB at most for each.
KEPT_FRAMES, DPI = 2, 90


def on_the_way_to_the_data(subject: Subject) -> Moving:
    """The layers at work from the prior to the samples, in fewer frames than the command makes."""
    whole = animate_layers(subject, SEED)
    whole.figure.set_dpi(DPI)
    last = whole.milliseconds.index(max(whole.milliseconds), 1)
    kept = [*range(0, last, KEPT_FRAMES), last]
    times = [KEPT_FRAMES * whole.milliseconds[i] for i in kept]
    times[-1] = whole.milliseconds[last]
    return Moving(whole.figure, lambda i: whole.show(kept[i]), times)


def densities(subjects: list[Subject]) -> Figure:
    """The density of two moons as each model has it, beside the truth."""
    (left, bottom), (right, top) = VIEW
    x, y = np.meshgrid(np.linspace(left, right, SIDE), np.linspace(bottom, top, SIDE))
    grid = np.stack([x, y], -1).reshape(-1, 2)
    heights = {
        subject.traits.family: np.exp(subject.encode(grid)[1]).reshape(SIDE, SIDE)
        for subject in subjects
    } | {"truth": np.exp(moons(grid)).reshape(SIDE, SIDE)}
    figure = new_figure("Two moons: densities of families", 1.75, 8.0)
    axes = panels(figure, 1, len(heights), sharex=True, sharey=True)
    most = float(heights["truth"].max())
    for each, (name, height) in zip(axes, heights.items(), strict=True):
        extent = (left, right, bottom, top)
        each.imshow(height, origin="lower", extent=extent, cmap=SHADES, vmin=0, vmax=most)
        levels = [most / 20, most / 4]
        each.contour(height, levels, extent=extent, colors=INK, linewidths=0.5, alpha=0.6)
        each.set(title=name, xlabel="x", xticks=[-1, 0, 1, 2], yticks=[-1, 0, 1])
    axes[0].set_ylabel("y")
    return figure


def payments(folder: Path) -> Subject:
    """A detector of normal payments, beside others with a value that is another payment's."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, random = list(csv.DictReader(payment_lines(PAYMENTS))), Random(SEED)
    altered = []
    for row in rows[NORMAL:]:
        name = random.choice(REPLACED)
        others = [other[name] for other in random.choices(rows, k=50) if other[name] != row[name]]
        altered.append(row | {name: others[0]})
    for name, part in (("normal", rows[:NORMAL]), ("altered", altered)):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(part)
    options = ["--name", "payments", "--store", folder / "store", "--out", folder / "run"]
    command = [sys.executable, "-m", "service.cli", "fit-detector", folder / "normal.csv", *options]
    subprocess.run(list(map(str, command)), check=True)
    return open_subject(folder / "store" / "payments", folder / "altered.csv")


def main(runs: Path, store: Path) -> None:
    """Write the pictures."""
    FOLDER.mkdir(exist_ok=True)
    kinds = {kind.name: kind for kind in KINDS}
    digits = open_subject(store / "digits-student")
    for name in DIGITS:
        write(kinds[name], digits, SEED, FOLDER / f"digits-{name}.png")
    with styled():
        scores = draw_scores(payments(runs / "payments"), SEED)
        write_small(scores, FOLDER / "payments-scores.png", DPI)
        subjects = [open_subject(runs / name) for name in FAMILIES]
        write_small(densities(subjects), FOLDER / "moons.png")
        for name in MOVING:
            moving = on_the_way_to_the_data(open_subject(runs / name))
            write_moving(moving, FOLDER / f"{name}.gif")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:] or ("runs", "store")))
