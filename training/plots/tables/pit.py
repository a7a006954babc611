"""Histograms of probability integral transforms: flat where the model is right."""

import numpy as np
from matplotlib.figure import Figure

from training.coverage import histogram_counts
from training.plots.kind import Kind
from training.plots.style import grid_of
from training.plots.subject import Subject
from training.plots.tables.band_histogram import draw_in_band
from training.plots.tables.base import Base
from training.plots.tables.columns import (
    check_columns,
    latent_names,
    latents_of,
    note,
    some_rows,
)

MOST_ROWS, MOST_COLUMNS, PANELS_A_ROW = 5000, 12, 4

# So many rows a bar at least.
BAR_ROWS, MOST_BARS, FEWEST_BARS = 10, 20, 5


def draw_pit(subject: Subject, seed: int) -> Figure:
    """A histogram of each latent's place in the base, with the band of a right model.

    Latents of an autoregressive model are Rosenblatt's transforms (1952) of its columns.
    """
    check_columns(subject)
    rows = some_rows(subject, seed, MOST_ROWS)
    z, outside = latents_of(subject, rows, seed)
    base, n = Base(subject), len(z)
    bars = min(MOST_BARS, max(FEWEST_BARS, n // BAR_ROWS))
    low, high = histogram_counts(n, bars)
    shown = min(z.shape[1], MOST_COLUMNS)
    title = f"{subject.title}: probability integral transforms of {rows.said}"
    figure, axes = grid_of(title, shown, PANELS_A_ROW, 1.5, 0.9, sharex=True, sharey=True)
    edges = np.linspace(0, 1, bars + 1)
    for i, each in enumerate(axes):
        counts, _ = np.histogram(base.places(z[:, i], i), edges)
        draw_in_band(each, counts, low, high, latent_names(subject)[i], "pit")
    below = f"place of the latent in the {subject.traits.base.name} base (probability)"
    figure.supxlabel(f"{below}\n{note(outside, latent_names(subject)[shown:])}", fontsize=8)
    figure.supylabel(f"rows, of {n}", fontsize=8.5)
    return figure


PIT = Kind(
    "pit",
    "Places of the latents of rows in the base: flat where the model is right. It tests latents; "
    "coverage tests what is drawn, and may find what this misses.",
    draw_pit,
)
