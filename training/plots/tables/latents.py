"""Quantiles of the latents of rows beside those of the base: a line where the model is right."""

import numpy as np
from matplotlib.figure import Figure

from training.coverage import uniform_order_statistics
from training.plots.kind import Kind
from training.plots.style import MODEL, PALE, few_ticks, grid_of, short
from training.plots.subject import Subject
from training.plots.tables.base import Base
from training.plots.tables.columns import (
    check_columns,
    latent_names,
    latents_of,
    note,
    some_rows,
)

MOST_ROWS, MOST_COLUMNS, PANELS_A_ROW = 1000, 12, 4


def draw_latents(subject: Subject, seed: int) -> Figure:
    """A Q–Q plot of each latent coordinate of held-out rows, with the band of a right model."""
    check_columns(subject)
    rows = some_rows(subject, seed, MOST_ROWS)
    z, outside = latents_of(subject, rows, seed)
    base, n = Base(subject), len(z)
    middle = (np.arange(n) + 0.5) / n
    low, high = uniform_order_statistics(n)
    shown = min(z.shape[1], MOST_COLUMNS)
    title = f"{subject.title}: latents of {n} {rows.said}"
    figure, axes = grid_of(title, shown, PANELS_A_ROW, 1.7, 0.8)
    for i, each in enumerate(axes):
        expected = base.quantiles(middle, i)
        each.fill_between(
            expected, base.quantiles(low, i), base.quantiles(high, i), color=PALE, alpha=0.35, lw=0
        )
        each.plot(expected, expected, color=PALE, lw=0.8)
        each.plot(expected, np.sort(z[:, i]), ".", ms=2.5, color=MODEL, gid=f"latents {i}")
        each.set_title(short(latent_names(subject)[i]))
        few_ticks(each)
    below = f"quantile of the {subject.traits.base.name} base"
    figure.supxlabel(f"{below}\n{note(outside, latent_names(subject)[shown:])}", fontsize=8)
    figure.supylabel("quantile of the latents", fontsize=8.5)
    return figure


LATENTS = Kind(
    "latents",
    "Quantiles of the latents of rows beside those of the base: a line where the model is right.",
    draw_latents,
)
