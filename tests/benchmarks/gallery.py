"""A picture of each family, trained on a small density or on digits: `make gallery`.

    python -m tests.benchmarks.gallery [RUNS] [STORE]

Trains into RUNS/gallery, and takes the runs that are there. Reads the table `wine` in STORE. Writes
models/GALLERY.md, and its pictures to results/pictures/families.
"""

import math
import sys
import tomllib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from models.families import FAMILIES
from service.runtime.cpus import granted_cpus
from tests.benchmarks.common.bar import RESULTS
from tests.benchmarks.common.markdown import table
from tests.benchmarks.common.small_png import write_small
from tests.benchmarks.families.entries import DIGITS, ENTRIES, Entry
from tests.benchmarks.families.trained import slug, train
from training.data.examples.wine import write_wine
from training.plots import Subject, open_subject
from training.plots.pictures.sheet import pictures, sheet
from training.plots.points.truths import checkerboard
from training.plots.style import SHADES, few_ticks, panels, styled
from training.plots.subject import Float64
from training.plots.tables.pairs import draw_pairs

ROOT = Path(__file__).parents[2]
PAGE, FOLDER = ROOT / "models" / "GALLERY.md", RESULTS / "pictures" / "families"
FROM_PAGE = Path("..") / FOLDER.relative_to(ROOT)

SOURCE, TRUTH_NATS = "checkerboard", -math.log(8)
"""What families of vectors are trained on: uniform on eight squares of area one."""

EPOCHS = 8
SEED = 7
VIEW, SIDE = 2.5, 120
INCHES = 1.75
DIGIT_ROWS, DIGIT_COLUMNS, ENLARGED = 4, 5, 3
COLUMNS = 4
"""Pictures of a row of the page."""


PAGE_TEXT = """\
# Gallery of families

Made by `make gallery`, which trains each of them in half a minute or less on one core: {epochs}
times over 19,200 rows. Longer trainings come further, as the
[table of families](../tests/benchmarks/results/families.md) says. [README.md](README.md) says what
families cost, and `bijecta plot` draws [any run or bundle](../training/README.md#pictures).

## Densities of two numbers

The truth is uniform on eight squares. Below each picture stand the mean nats of held-out rows:
more than the truth's, no density has.

{densities}
## Images

`mintnet` is for images alone. These are samples of a model of digits, 8×8 pixels, with the mean
nats of held-out rows. `nice`, `realnvp`, `glow` and `nsf` are multi-scale couplings there.

{digits}
## Tables

`tabular` and `tabular-transformer` are for tables, whose [columns](README.md#typed-columns) may
hold classes, times and gaps. Of the model of wines that `make serve` fits, these are rows below the
diagonal and samples above it:

![Columns of wines beside samples]({pairs})

## Recipes

The options stand in `[flow]` beside `family`; the recipes of the family come along, for
`bijecta train NAME`.

{recipes}"""


class Shown(NamedTuple):
    """A family as the page shows it.

    Args:
        title: of it, for people.
        entry: how it was trained.
        log_prob, se: of held-out rows, in nats per row.
    """

    title: str
    entry: Entry
    log_prob: float
    se: float

    @property
    def nats(self) -> str:
        """The score of held-out rows."""
        return _minus(f"{self.log_prob:.{1 if self.entry.image else 3}f}")

    @property
    def source(self) -> str:
        """What it was trained on."""
        return DIGITS if self.entry.image else SOURCE

    @property
    def name(self) -> str:
        """Of its run, and of its picture."""
        return slug(self.title, self.source)


def entries() -> dict[str, Entry]:
    """Those of the table of families, trained for a shorter time; each family once.

    Of a family that is not in the table its usual options; of one that is for images alone those
    for images.
    """
    known = {entry.family for entry in ENTRIES.values()}
    others = {name: Entry(name) for name in FAMILIES if name not in known}
    flat = {title: entry for title, entry in ENTRIES.items() if not entry.image} | others
    shorter = {
        title: replace(entry, fit={**entry.fit, "epochs": EPOCHS}) for title, entry in flat.items()
    }
    drawn = {entry.family for entry in flat.values()}
    return shorter | {t: entry for t, entry in ENTRIES.items() if entry.family not in drawn}


def shown_after_training(folder: Path, titled: tuple[str, Entry]) -> Shown:
    """Train a family, as far as it is not trained yet."""
    title, entry = titled
    shown = Shown(title, entry, math.nan, math.nan)
    *_, held_out = train(folder, shown.name, entry, shown.source)
    return shown._replace(log_prob=held_out.log_prob, se=held_out.se)


def points() -> Float64:
    """The points of a picture, row by row from below: N × 2."""
    x, y = np.meshgrid(*2 * [np.linspace(-VIEW, VIEW, SIDE)])
    return np.stack([x, y], -1).reshape(-1, 2)


def density(log_density: Float64) -> Figure:
    """A density at these points, as dark as the truth where it is as large."""
    figure = Figure(figsize=(INCHES, INCHES), layout="constrained")
    (axes,) = panels(figure, 1, 1)
    extent = (-VIEW, VIEW, -VIEW, VIEW)
    height = np.exp(log_density).reshape(SIDE, SIDE)
    most = 1.5 * math.exp(TRUTH_NATS)  # a model may have more where the truth is
    axes.imshow(height, origin="lower", extent=extent, cmap=SHADES, vmin=0, vmax=most)
    axes.set(xlabel="x", ylabel="y")
    few_ticks(axes, 3)
    return figure


def digits(subject: Subject) -> Image.Image:
    """Samples of a model of digits, side by side."""
    drawn = subject.draw(DIGIT_ROWS * DIGIT_COLUMNS, SEED)
    shades = np.rint(255 * sheet(pictures(subject, drawn), DIGIT_COLUMNS)[..., 0])
    image = Image.fromarray(shades.astype(np.uint8))
    enlarged = (ENLARGED * image.width, ENLARGED * image.height)
    return image.resize(enlarged, Image.Resampling.NEAREST)


def recipes_of() -> dict[str, list[str]]:
    """The names of the recipes that come along, by their families."""
    names: dict[str, list[str]] = {}
    for path in sorted((ROOT / "training" / "recipes").glob("*.toml")):
        flow = tomllib.loads(path.read_text()).get("flow", {})
        names.setdefault(flow.get("family", ""), []).append(path.stem)
    return names


def options_of(entry: Entry) -> str:
    """The options of a family as a recipe has them."""
    said = {True: "true", False: "false"}
    values = {k: said[v] if isinstance(v, bool) else str(v) for k, v in entry.options.items()}
    return ", ".join(f"{name} = {value}" for name, value in values.items())


def page(shown: Sequence[Shown]) -> str:
    """The Markdown page."""
    flat = [each for each in shown if not each.entry.image]
    images = [each for each in shown if each.entry.image]
    recipes = recipes_of()
    rows = [
        [
            each.title,
            f"{each.nats} ± {each.se:.{1 if each.entry.image else 3}f}",
            f"`{each.entry.family}`",
            f"`{options_of(each.entry)}`",
            ", ".join(f"`{name}`" for name in recipes.get(each.entry.family, [])),
        ]
        for each in shown
    ]
    return PAGE_TEXT.format(
        epochs=EPOCHS,
        densities="\n".join(_grid([TRUTH, *map(_cell, flat)])),
        digits="\n".join(_grid(list(map(_cell, images)))),
        pairs=f"{FROM_PAGE.as_posix()}/tabular.png",
        recipes="\n".join(table(["", "nats", "family", "options", "recipes"], rows)),
    )


def _minus(figure: str) -> str:
    return figure.replace("-", "−")


TRUTH = ("the truth", "truth", _minus(f"{TRUTH_NATS:.3f}"))


def _cell(shown: Shown) -> tuple[str, str, str]:
    return shown.title, shown.name, shown.nats


def _grid(cells: Sequence[tuple[str, str, str]]) -> list[str]:
    """Pictures side by side: the title, the file and the nats of each."""
    lines = []
    for first in range(0, len(cells), COLUMNS):
        part = [*cells[first : first + COLUMNS]]
        blank = [""] * (COLUMNS - len(part))
        titles = [title for title, *_ in part]
        drawn = [f"![{title}]({FROM_PAGE.as_posix()}/{name}.png)" for title, name, _ in part]
        nats = [f"{figure} nats" for *_, figure in part]
        for i, row in enumerate((titles, drawn, nats)):
            lines.append("| " + " | ".join([*row, *blank]) + " |")
            if i == 0:
                lines.append("|" + ":---:|" * COLUMNS)
        lines.append("")
    return lines


def main(runs: Path, store: Path) -> None:
    """Train, draw and write."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    folder = runs / "gallery"
    with ProcessPoolExecutor(granted_cpus(), mp_context=get_context("spawn")) as pool:
        shown = list(pool.map(partial(shown_after_training, folder), entries().items()))
    with styled():
        write_small(density(checkerboard(points())), FOLDER / "truth.png")
        for each in shown:
            subject, path = open_subject(folder / each.name), FOLDER / f"{each.name}.png"
            if each.entry.image:
                digits(subject).save(path, optimize=True)
            else:
                write_small(density(subject.encode(points())[1]), path)
        if not (wine := runs / "wine.csv").exists():
            write_wine(wine)
        write_small(draw_pairs(open_subject(store / "wine", wine), SEED), FOLDER / "tabular.png")
    PAGE.write_text(page(shown), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:] or ("runs", "store")))
