"""Histograms of a detector's scores: of normal rows, and of rows of data beside them."""

import math
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from service.bundle import USUAL_LEVELS
from training.errors import PlotError
from training.plots.kind import Kind
from training.plots.style import DATA, INK, MODEL, new_figure, panels
from training.plots.subject import Float64, Subject, shown_value

BARS, MOST_CLASSES, SIDE_BY_SIDE = 50, 6, 2

# An axis ends so many ranges of the normal scores above them: what is farther is in the last bar.
REACH = 1.5


class Group(NamedTuple):
    """Rows that are compared with each other.

    Args:
        name: of their class; empty where there is one.
        scores: of normal rows, ascending.
        counts: how many rows each stands for.
        p_values: of these scores.
        of_rows: scores of rows of data; None without.
    """

    name: str
    scores: Float64
    counts: Float64
    p_values: Float64
    of_rows: Float64 | None

    def limit(self, level: float) -> float | None:
        """The largest score that is no anomaly at a level; None where no score is one."""
        if 1 / (self.counts.sum() + 1) > level:
            return None
        return float(self.scores[self.p_values > level].max())


def draw_scores(subject: Subject, _: int) -> Figure:
    """The share of rows by score, and the levels above which rows are anomalies.

    A panel for each class where rows are compared within classes.
    """
    groups = groups_of(subject)
    lines = math.ceil(len(groups) / SIDE_BY_SIDE)
    found = subject.scores
    title = f"{subject.title}: scores of {found.calibration.rows:,} normal rows"
    if found.of_rows is not None:
        title += f", and of {len(found.of_rows):,} {found.said}"
    figure = new_figure(title, 0.9 + 2.3 * lines)
    axes = panels(figure, lines, min(len(groups), SIDE_BY_SIDE), sharey=True)
    for each, group in zip(axes, groups, strict=False):
        _draw(each, group)
    for unused in axes[len(groups) :]:
        unused.remove()
    said = "above a dashed line rows are anomalies; the last bar holds what is farther, too"
    below = "score, in units of this detector: the larger, the more anomalous"
    figure.supxlabel(f"{below}\n{said}", fontsize=8)
    figure.supylabel("share of the rows (%)", fontsize=8.5)
    return figure


def groups_of(subject: Subject) -> list[Group]:
    """The rows of each class, or of all where they are compared with all."""
    found = subject.scores
    calibration, label = found.calibration, found.label
    counts = calibration.counts
    if counts is None:
        counts = np.ones(len(calibration.scores))
    if label is None or calibration.classes is None:
        p_values = calibration.p_values(calibration.scores)
        return [Group("", calibration.scores, counts, p_values, found.of_rows)]
    groups = []
    for code in calibration.class_codes[:MOST_CLASSES]:
        chosen = calibration.classes == code
        scores, classes = calibration.scores[chosen], calibration.classes[chosen]
        p_values = calibration.p_values(scores, None, classes)
        of_rows = found.of_rows
        if of_rows is not None and found.classes is not None:
            of_rows = of_rows[found.classes == code]
        name = f"{label.name} = {shown_value(label, code)}"
        groups.append(Group(name, scores, counts[chosen], p_values, of_rows))
    return groups


def _draw(axes: Axes, group: Group) -> None:
    """A panel."""
    finite = np.isfinite(group.scores)
    if not finite.any():
        raise PlotError("no normal row has a finite score")
    low, high = group.scores[finite].min(), group.scores[finite].max()
    last = high + REACH * max(high - low, 1e-9)
    rows = group.of_rows
    if rows is None or not len(rows):
        last = high
    else:
        low = min(low, rows.min())
        last = min(last, float(rows[np.isfinite(rows)].max(initial=high)))
    edges = np.linspace(low, last + 1e-9 * max(1.0, abs(last)), BARS + 1)
    _bars(axes, edges, group.scores, group.counts, MODEL, "normal rows", gid="normal")
    if rows is not None and len(rows):
        _bars(axes, edges, rows, np.ones(len(rows)), DATA, "rows of data", gid="rows")
    for level in USUAL_LEVELS:
        limit = group.limit(level)
        if limit is None or not np.isfinite(limit):
            continue
        said = f"α = {100 * level:g} %"
        if rows is not None and len(rows):
            said += f": {100 * (rows > limit).mean():.0f} % of the data"
        axes.axvline(limit, color=INK, lw=0.8, ls="--", gid=f"level {level:g}")
        axes.annotate(
            said,
            (limit, 1),
            (2, -2),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            rotation=90,
            va="top",
            size=7,
        )
    axes.set_title(group.name)
    if rows is not None and len(rows):
        axes.legend(loc="center right")


def _bars(
    axes: Axes,
    edges: Float64,
    scores: Float64,
    counts: Float64,
    colour: str,
    name: str,
    gid: str,
) -> None:
    """Shares of rows by score; what lies beyond the edges is in the last bar."""
    inside = np.clip(scores, edges[0], edges[-1])
    shares, _ = np.histogram(inside, edges, weights=100 * counts / counts.sum())
    axes.stairs(shares, edges, fill=True, color=colour, alpha=0.55, label=name, gid=gid)
    axes.stairs(shares, edges, color=colour, lw=0.9)


SCORES = Kind(
    "scores",
    "Scores of normal rows, and of rows of data if there are some, with the levels of alarms.",
    draw_scores,
)
