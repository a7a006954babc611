"""Columns of real rows against each other, beside rows that are drawn from the model."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from service.tables import CategoricalColumn, Column
from training.errors import PlotError
from training.plots.kind import Kind
from training.plots.style import DATA, MODEL, new_figure, panels
from training.plots.subject import Float64, Subject
from training.plots.tables.columns import check_columns, label_axis, some_rows

MOST_COLUMNS, MOST_POINTS = 5, 1000
# Of a point, in square points: few are seen at all only where they are larger.
SMALL, LARGE, FEW_POINTS = 3, 12, 200
FEWEST_BARS, MOST_BARS = 6, 24
SMALLEST_INCHES = 4.2
# Of values of few classes, so that points beside each other are seen.
JITTER = 0.25


def draw_pairs(subject: Subject, seed: int) -> Figure:
    """Real rows below the diagonal, samples above it, both on it."""
    check_columns(subject)
    if subject.traits.dimensions < 2:
        raise PlotError("it is for two columns or more")
    rows = some_rows(subject, seed)
    real = rows.values.reshape(len(rows.values), -1).astype(np.float64)
    z = subject.latents(len(real), seed)
    drawn = subject.finite_rows(z, rows.context).reshape(len(real), -1)
    k = min(subject.traits.dimensions, MOST_COLUMNS)
    kinds: list[Column | None] = [None] * k
    if subject.traits.columns is not None:
        kinds = [*subject.traits.columns[:k]]
    names = subject.traits.column_names
    inches = max(0.9 + 1.35 * k, SMALLEST_INCHES)
    figure = new_figure(f"{subject.title}: pairs of columns", inches + 0.3, inches)
    axes = np.array(panels(figure, k, k)).reshape(k, k)
    rng = np.random.default_rng(seed)
    limits = [_limits(real[:, i], drawn[:, i], kinds[i]) for i in range(k)]
    for i in range(k):
        for j in range(k):
            each = axes[i, j]
            if i == j:
                _histograms(each, real[:, i], drawn[:, i], limits[i], kinds[i], rows.said)
            else:
                values, colour, what = (real, DATA, "rows") if i > j else (drawn, MODEL, "samples")
                points = values[:MOST_POINTS, [j, i]].copy()
                for side, column in enumerate((kinds[j], kinds[i])):
                    if isinstance(column, CategoricalColumn):
                        points[:, side] += rng.uniform(-JITTER, JITTER, len(points))
                area = SMALL if len(points) > FEW_POINTS else LARGE
                each.scatter(*points.T, s=area, c=colour, alpha=0.4, linewidths=0, gid=what)
                each.set_ylim(*limits[i])
            each.set_xlim(*limits[j])
            _label(each, i, j, k, names, kinds)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _limits(real: Float64, drawn: Float64, column: Column | None) -> tuple[float, float]:
    """What of a column is shown: the real values, and all but the rarest of those drawn."""
    if isinstance(column, CategoricalColumn):
        return -0.5, column.codes - 0.5
    there = real[np.isfinite(real)]
    made = drawn[np.isfinite(drawn)]
    values = np.concatenate([there, np.quantile(made, [0.005, 0.995]) if len(made) else made])
    if not len(values):
        raise PlotError("a column has no value in any row that is shown")
    low, high = float(values.min()), float(values.max())
    margin = 0.04 * (high - low) or 0.5
    return low - margin, high + margin


def _histograms(
    axes: Axes,
    real: Float64,
    drawn: Float64,
    limits: tuple[float, float],
    column: Column | None,
    said: str,
) -> None:
    """Shares of the rows and of the samples, of the same bars."""
    bars = int(np.clip(2 * np.sqrt(len(real)), FEWEST_BARS, MOST_BARS))
    if isinstance(column, CategoricalColumn):
        bars = column.codes
    edges = np.linspace(*limits, bars + 1)
    for values, colour, label in ((real, DATA, said), (drawn, MODEL, "samples")):
        counts, _ = np.histogram(values[np.isfinite(values)], edges)
        axes.stairs(counts / len(values), edges, color=colour, lw=1.2, label=label)
    missing = [float(np.isnan(values).mean()) for values in (real, drawn)]
    if any(missing):
        axes.set_title("missing {:.0%}, {:.0%}".format(*missing), fontsize=7, pad=2)


def _label(
    axes: Axes, i: int, j: int, k: int, names: list[str], kinds: list[Column | None]
) -> None:
    label_axis(axes.xaxis, kinds[j])
    if i != j:
        label_axis(axes.yaxis, kinds[i])
    if i == k - 1:
        axes.set_xlabel(names[j])
        axes.tick_params(axis="x", rotation=30 if kinds[j] is not None else 0)
    else:
        axes.tick_params(axis="x", labelbottom=False)
    if i == j:
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    elif j:
        axes.tick_params(axis="y", labelleft=False)
    if j == 0:
        axes.set_ylabel(names[i] if i else "share of rows")


PAIRS = Kind(
    "pairs",
    "Columns against each other: rows of the data below the diagonal, samples above it.",
    draw_pairs,
)
