"""The pictures of the README, from models that the recipes train: `make pictures`.

    python -m tests.benchmarks.pictures [RUNS] [STORE]

Reads the runs of `MOVING` and `FAMILIES` in RUNS (runs) and digits-student in STORE (store), and
writes to results/pictures.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tests.benchmarks.common.bar import RESULTS
from training.plots import KINDS, Moving, Subject, open_subject, write
from training.plots.points.layers import animate_layers
from training.plots.points.truths import moons
from training.plots.style import INK, SHADES, new_figure, panels, styled
from training.plots.writing import write_moving, write_still

FOLDER = RESULTS / "pictures"

MOVING = ("moons-planar", "moons-realnvp")
FAMILIES = ("moons-planar", "moons-realnvp", "moons-iaf", "moons-maf")
DIGITS = ("samples", "interpolation")

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


def main(runs: Path, store: Path) -> None:
    """Write the pictures."""
    FOLDER.mkdir(exist_ok=True)
    kinds = {kind.name: kind for kind in KINDS}
    digits = open_subject(store / "digits-student")
    for name in DIGITS:
        write(kinds[name], digits, SEED, FOLDER / f"digits-{name}.png")
    with styled():
        subjects = [open_subject(runs / name) for name in FAMILIES]
        write_still(densities(subjects), FOLDER / "moons.png")
        for name in MOVING:
            moving = on_the_way_to_the_data(open_subject(runs / name))
            write_moving(moving, FOLDER / f"{name}.gif")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:] or ("runs", "store")))
