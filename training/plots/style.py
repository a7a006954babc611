"""How all plots look: sizes, fonts, colours, and what differs from matplotlib's defaults.

Colours are those of Okabe and Ito (2008), which people tell apart whatever their colour vision; of
numbers the lightness alone tells (`Blues`, `magma`), so that they can be printed in grey.
"""

import math
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

MODEL, DATA, OTHER, INK, PALE = "#0072B2", "#D55E00", "#009E73", "#222222", "#9A9A9A"
QUADRANTS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
SHADES, POWER, GREY = "Blues", "magma", "gray"

DPI = 150
WIDTH = 7.0
"""Of a figure, in inches: that of a page."""
LETTERS_AN_INCH = 11.5

RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "figure.titlesize": 10.0,
    "figure.titleweight": "bold",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "lines.linewidth": 1.4,
    "svg.hashsalt": "bijecta",
    "path.simplify": True,
    "text.parse_math": False,  # $ in the name of a column is no formula
}


@contextmanager
def styled() -> Iterator[None]:
    """What is drawn within looks so, whatever the user's own settings are."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        # a name in a script that the font lacks is drawn as boxes, and said to no one
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from font", UserWarning)
        matplotlib.rcdefaults()
        for name, value in RC.items():
            matplotlib.rcParams[name] = value  # type: ignore[index]
        yield


def new_figure(title: str, height: float, width: float = WIDTH) -> Figure:
    """A figure of a height in inches, with a title at its left."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    lines = textwrap.wrap(title, int(LETTERS_AN_INCH * width))
    figure.suptitle("\n".join(lines), x=0.01, ha="left")
    return figure


def panels(figure: Figure, rows: int, columns: int, **options: Any) -> list[Axes]:
    """Axes in a grid, row by row."""
    return list(figure.subplots(rows, columns, squeeze=False, **options).flat)


def few_ticks(axes: Axes, most: int = 4) -> None:
    """At most so many ticks along each axis, at round numbers."""
    axes.xaxis.set_major_locator(MaxNLocator(most))
    axes.yaxis.set_major_locator(MaxNLocator(most))


def short(text: str, most: int = 18) -> str:
    """A name that fits above a small panel."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def grid_of(
    title: str, number: int, side_by_side: int, inches: float, head: float = 0.0, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, row by row.

    Args:
        title: of the figure.
        number: of panels.
        side_by_side: panels of a row, at most.
        inches: height of a row.
        head: height of what is not panels.
        options: of `Figure.subplots`.
    """
    columns = min(number, side_by_side)
    rows = math.ceil(number / columns)
    figure = new_figure(title, head + inches * rows)
    axes = panels(figure, rows, columns, **options)
    for unused in axes[number:]:
        unused.remove()
    return figure, axes[:number]
