"""The density of a flow of two numbers with its level sets, beside the truth or held-out rows."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.errors import PlotError
from training.plots.kind import Kind
from training.plots.points.plane import View, check_plane, given, one_context, some_rows, view_of
from training.plots.points.truths import TRUTHS
from training.plots.style import DATA, INK, SHADES, few_ticks, new_figure, panels
from training.plots.subject import Float64, Subject

SIDE = 160
SAMPLES, MOST_ROWS = 4000, 1500
MASSES = (0.99, 0.9, 0.5)


def draw_density(subject: Subject, seed: int) -> Figure:
    """Two panels: the model, and the truth where it is known, else held-out rows.

    Each level set encloses a part of the mass; those of held-out rows are the model's.
    """
    check_plane(subject)
    rows = some_rows(subject, MOST_ROWS)
    seen = subject.finite_rows(subject.latents(SAMPLES, seed), one_context(subject, SAMPLES))
    truth = TRUTHS.get(subject.traits.data_name)
    if rows is not None:
        seen = np.concatenate([seen, rows.values])
    view = view_of(seen)
    grid, extent = _grid(view)
    model = _density(subject, grid)
    heights = [model] if truth is None else [model, np.exp(truth(grid)).reshape(SIDE, SIDE)]
    most = float(np.quantile(np.concatenate(heights), 0.999))
    figure = new_figure(f"{subject.title}: density{given(subject)}", 3.1)
    beside = truth is not None or rows is not None
    axes = panels(figure, 1, 2 if beside else 1, sharex=True, sharey=True)
    names = ["model", "truth"]
    for each, height, name in zip(axes, heights, names, strict=False):
        image = each.imshow(
            height, origin="lower", extent=extent, cmap=SHADES, vmin=0, vmax=most, aspect="auto"
        )
        _level_sets(each, height, extent, _levels(height))
        each.set_title(name)
    x, y = subject.traits.column_names
    figure.colorbar(image, ax=axes[: len(heights)], label=f"density of ({x}, {y})", shrink=0.9)
    if truth is None and rows is not None:
        right, up = rows.values.T
        axes[1].scatter(right, up, s=4, c=DATA, alpha=0.6, linewidths=0, gid="rows")
        _level_sets(axes[1], model, extent, _levels(model))
        axes[1].set_title(f"{len(rows.values)} {rows.said}")
    for each in axes:
        each.set_xlabel(x)
        few_ticks(each)
    axes[0].set_ylabel(y)
    masses = ", ".join(f"{mass:.0%}" for mass in reversed(MASSES))
    of_model = " of the model" if truth is None else ""
    said = f"level sets{of_model} enclose {masses} of the mass"
    figure.supxlabel(said, fontsize=8, x=0.01, ha="left")
    return figure


def _density(subject: Subject, grid: Float64) -> Float64:
    """The density of the model at the points of a grid, SIDE × SIDE."""
    _, log_prob = subject.encode(grid, one_context(subject, len(grid)))
    if np.isnan(log_prob).any():
        x, y = grid[np.isnan(log_prob).argmax()]
        raise PlotError(f"log_prob of {subject.traits.name} is no number at ({x:.4g}, {y:.4g})")
    return np.exp(log_prob).reshape(SIDE, SIDE)


def _grid(view: View) -> tuple[Float64, tuple[float, float, float, float]]:
    """The middles of SIDE × SIDE cells, row by row, and where their picture ends."""
    (left, bottom), (right, top) = view
    part = (np.arange(SIDE) + 0.5) / SIDE
    x, y = np.meshgrid(left + part * (right - left), bottom + part * (top - bottom))
    return np.stack([x, y], -1).reshape(-1, 2), (left, right, bottom, top)


def _levels(height: Float64) -> list[float]:
    """The heights above which the parts `MASSES` of the mass lie, ascending."""
    falling = np.sort(height, axis=None)[::-1]
    mass = falling.cumsum() / max(falling.sum(), 1e-300)
    levels = [
        float(falling[np.searchsorted(mass, part).clip(max=len(mass) - 1)]) for part in MASSES
    ]
    return sorted(set(levels))


def _level_sets(
    axes: Axes, height: Float64, extent: tuple[float, float, float, float], levels: list[float]
) -> None:
    if np.ptp(height) > 0:
        axes.contour(
            height, levels, origin="lower", extent=extent, colors=INK, linewidths=0.6, alpha=0.7
        )


DENSITY = Kind(
    "density",
    "The density with its level sets, beside the truth where known, else beside held-out rows.",
    draw_density,
)
