"""Histograms of the ranks of rows among draws: flat where the model is right."""

import numpy as np
from matplotlib.figure import Figure

from training.coverage import (
    DRAWS_OF_EACH,
    MOST_ROWS,
    MOST_ROWS_WITH_CONTEXT,
    SHARED_DRAWS,
    Coverage,
    RankHistogram,
    coverage_of,
)
from training.plots.kind import Kind
from training.plots.style import grid_of
from training.plots.subject import Float64, Rows, Subject
from training.plots.tables.band_histogram import draw_in_band
from training.plots.tables.columns import check_columns, note, some_rows

MOST_COLUMNS, PANELS_A_ROW = 23, 4


def draw_coverage(subject: Subject, seed: int) -> Figure:
    """A histogram of the ranks of each column, and of distances of whole rows, with the band.

    Those of a run are what its evaluation finds, whatever the seed.
    """
    check_columns(subject)
    found = subject.evaluated_coverage or _coverage_of_draws(subject, seed)
    chosen = _chosen(found)
    histograms = [*([found.joint] if found.joint else []), *chosen]
    title = f"{subject.title}: ranks of {subject.rows.said} among {found.draws} draws"
    figure, axes = grid_of(title, len(histograms), PANELS_A_ROW, 1.5, 1.1, sharex=True, sharey=True)
    band = np.array(found.low), np.array(found.high)
    for each, histogram in zip(axes, histograms, strict=True):
        counts = np.array(histogram.counts)
        draw_in_band(each, counts, *band, histogram.name, "ranks")
    left_out = [column.name for column in found.columns if column not in chosen]
    figure.supxlabel(f"share of draws below\n{note(0, left_out)}", fontsize=8)
    figure.supylabel(f"rows, of {found.rows}", fontsize=8.5)
    return figure


def _chosen(found: Coverage) -> list[RankHistogram]:
    """The columns that are drawn, in their order: first of all those that leave the band."""
    leaving_first = sorted(found.columns, key=lambda column: column.in_band)[:MOST_COLUMNS]
    return [column for column in found.columns if column in leaving_first]


def _coverage_of_draws(subject: Subject, seed: int) -> Coverage:
    """How rows beside a model lie among its draws."""
    traits = subject.traits
    most = MOST_ROWS_WITH_CONTEXT if traits.context else MOST_ROWS
    rows = some_rows(subject, seed, most)
    values = rows.values.reshape(len(rows.values), -1).astype(np.float64)
    is_numbers = traits.columns is None
    return coverage_of(values, _draws(subject, rows, seed), traits.column_names, is_numbers, seed)


def _draws(subject: Subject, rows: Rows, seed: int) -> Float64:
    """Draws for all rows, M × D, or for the context of each, N × M × D."""
    if rows.context is None:
        return subject.draw(SHARED_DRAWS, seed).reshape(SHARED_DRAWS, -1)
    contexts = rows.context.repeat(DRAWS_OF_EACH, 0)
    drawn = subject.finite_rows(subject.latents(len(contexts), seed), contexts)
    return drawn.reshape(len(rows.values), DRAWS_OF_EACH, -1)


COVERAGE = Kind(
    "coverage",
    "Ranks of rows among draws, by column and of whole rows: flat where the model is right. It "
    "tests what is drawn; pit tests latents, and may find what this misses.",
    draw_coverage,
)
