"""The columns of rows as plots of tables show them."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, MaxNLocator

from service.tables import OTHER, CategoricalColumn, Column, DatetimeColumn, texts_of
from training.errors import PlotError
from training.plots.style import short
from training.plots.subject import Array, Rows, Subject

MOST_ROWS = 2000

# Columns without a panel that a note names, and characters of a line of it, which a figure is wide.
MOST_NAMED, NOTE_CHARACTERS = 24, 110

# Characters of a class, and classes of an axis.
SHOWN_CHARACTERS, MOST_CLASSES = 10, 12


def check_columns(subject: Subject) -> None:
    """Check that rows are of columns, and neither pictures nor sounds.

    Raises:
        PlotError: they are not.
    """
    traits = subject.traits
    what = "sounds" if traits.sound is not None else ""
    if not what and traits.columns is None:
        try:
            _ = subject.picture_shape
            what = "pictures"
        except PlotError:
            what = "" if len(traits.event_shape) == 1 else "arrays"
    if what:
        raise PlotError(f"it is for rows of columns, and these are {what}")


def some_rows(subject: Subject, seed: int, most: int = MOST_ROWS) -> Rows:
    """Rows of the data with the noise that training added, `most` of them at random.

    Raises:
        PlotError: there are none.
    """
    rows = subject.rows
    chosen = np.arange(len(rows.values))
    if len(chosen) > most:
        chosen = np.sort(np.random.default_rng(seed).choice(len(chosen), most, replace=False))
    values = rows.values[chosen]
    if subject.traits.columns is None:
        values = subject.noisy(values, seed)
    context = None if rows.context is None else rows.context[chosen]
    return Rows(values, context, rows.said)


def latents_of(subject: Subject, rows: Rows, seed: int) -> tuple[Array, int]:
    """Latents of rows, flat, and how many rows had none as they lie outside the support.

    Discrete values of typed columns are taken at random places of their cells: so the latents of
    rows from the model are distributed as the base.

    Raises:
        PlotError: no row has latents, log_prob of one is no number, or latents are of several
            bases.
    """
    subject.check_latents()
    u = None
    if subject.traits.columns is not None:
        u = np.random.default_rng(seed).uniform(1e-9, 1 - 1e-9, rows.values.shape)
    z, log_prob = subject.encode(rows.values, rows.context, u)
    if np.isnan(log_prob).any():
        row = int(np.isnan(log_prob).argmax())
        raise PlotError(f"log_prob of row {row} of {rows.said} is no number")
    z = z.reshape(len(z), -1)
    inside = np.isfinite(z).all(1)
    if not inside.any():
        raise PlotError(f"none of {rows.said} lies in the support of {subject.traits.name}")
    return z[inside], int((~inside).sum())


def latent_names(subject: Subject) -> list[str]:
    """Names of latents: of typed columns each belongs to a column, of other flows to all."""
    if subject.traits.columns is not None:
        return subject.traits.column_names
    return [f"z{i + 1}" for i in range(subject.traits.dimensions)]


def note(outside: int, left_out: Sequence[str]) -> str:
    """What a band is, and what a plot leaves out.

    Args:
        outside: how many rows lie outside the support.
        left_out: names of columns or latents that have no panel.
    """
    said = ["grey: 95 plots in 100 of a right model lie in it from end to end"]
    if outside:
        said.append(f"{outside} rows outside the support are left out")
    if left_out:
        more = len(left_out) - MOST_NAMED
        named = ", ".join(map(short, left_out[:MOST_NAMED])) + f" and {more} more" * (more > 0)
        said.append(f"without a panel: {named}")
    return "\n".join(textwrap.wrap("; ".join(said), NOTE_CHARACTERS))


def label_axis(axis: Axis, column: Column | None, ticks: int = 3) -> None:
    """Ticks of a column: the names of its classes, dates, or numbers."""
    if isinstance(column, CategoricalColumn):
        names = [*map(str, column.classes), *([OTHER] if column.other else [])][:MOST_CLASSES]
        axis.set_ticks(range(len(names)), [name[:SHOWN_CHARACTERS] for name in names])
        return
    axis.set_major_locator(MaxNLocator(ticks))
    if isinstance(column, DatetimeColumn):
        axis.set_major_formatter(
            FuncFormatter(lambda value, _: texts_of(np.array([value]), "%Y-%m-%d")[0])
        )
