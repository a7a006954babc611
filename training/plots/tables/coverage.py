"""Histograms of the ranks of rows among draws: flat where the model is right."""

import numpy as np
from matplotlib.figure import Figure

from training.coverage import (
    BARS,
    DRAWS_OF_EACH,
    MOST_ROWS,
    MOST_ROWS_WITH_CONTEXT,
    SHARED_DRAWS,
    coverage_of,
)
from training.plots.kind import Kind
from training.plots.style import DATA, INK, MODEL, PALE, grid_of, short
from training.plots.subject import Float64, Rows, Subject
from training.plots.tables.columns import check_columns, some_rows

MOST_COLUMNS, PANELS_A_ROW = 11, 4


def draw_coverage(subject: Subject, seed: int) -> Figure:
    """A histogram of the ranks of each column, and of distances of whole rows, with the band."""
    check_columns(subject)
    traits = subject.traits
    most = MOST_ROWS_WITH_CONTEXT if traits.context else MOST_ROWS
    rows = some_rows(subject, seed, most)
    values = rows.values.reshape(len(rows.values), -1).astype(np.float64)
    is_numbers = traits.columns is None
    found = coverage_of(values, _draws(subject, rows, seed), traits.column_names, is_numbers, seed)
    histograms = [*([found.joint] if found.joint else []), *found.columns[:MOST_COLUMNS]]
    title = f"{subject.title}: ranks of {rows.said} among {found.draws} draws"
    figure, axes = grid_of(title, len(histograms), PANELS_A_ROW, 1.5, 0.9, sharex=True, sharey=True)
    edges = np.linspace(0, 1, BARS + 1)
    for each, histogram in zip(axes, histograms, strict=True):
        counts = np.array(histogram.counts)
        colours = np.where((counts < found.low) | (counts > found.high), DATA, MODEL)
        each.bar(
            edges[:-1], counts, 1 / BARS, align="edge", color=colours, alpha=0.7, lw=0, gid="ranks"
        )
        each.stairs(
            found.high, edges, baseline=found.low, fill=True, color=PALE, alpha=0.6, lw=0, zorder=0
        )
        each.axhline(found.rows / BARS, color=INK, lw=0.6)
        each.set_xlim(0, 1)
        each.set_title(short(histogram.name))
    said = ["grey: 95 plots in 100 of a right model lie in it from end to end"]
    if len(found.columns) > MOST_COLUMNS:
        said.append(f"the first {MOST_COLUMNS} of {len(found.columns)} columns")
    figure.supxlabel(f"share of draws below\n{'; '.join(said)}", fontsize=8)
    figure.supylabel(f"rows, of {found.rows}", fontsize=8.5)
    return figure


def _draws(subject: Subject, rows: Rows, seed: int) -> Float64:
    """Draws for all rows, M × D, or for the context of each, N × M × D."""
    if rows.context is None:
        return subject.draw(SHARED_DRAWS, seed).reshape(SHARED_DRAWS, -1)
    contexts = rows.context.repeat(DRAWS_OF_EACH, 0)
    drawn = subject.finite_rows(subject.latents(len(contexts), seed), contexts)
    return drawn.reshape(len(rows.values), DRAWS_OF_EACH, -1)


COVERAGE = Kind(
    "coverage",
    "Ranks of rows among draws, by column and of whole rows: flat where the model is right.",
    draw_coverage,
)
