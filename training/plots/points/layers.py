"""How each layer of a flow warps a grid and a sample of the prior into the data, and back."""

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.errors import PlotError
from training.plots.kind import Kind, Moving
from training.plots.points.plane import View, check_plane, given, one_context, some_rows, view_of
from training.plots.style import PALE, QUADRANTS, few_ticks, grid_of, new_figure, panels
from training.plots.subject import Float64, Stage, Subject

POINTS = 600
GRID_LINES, POINTS_A_LINE = 13, 121
GRID_ENDS = (0.00135, 0.99865)
"""Of the grid, as parts of the prior: three deviations of a normal one."""

# Layers that move no point by this part of the view do nothing yet.
SMALLEST_MOVE = 1e-3

MOST_PANELS, PANELS_A_ROW = 8, 4
PANEL_CHARACTERS = 18

# Of an animation in one direction, in frames; how long each stands, in milliseconds.
FRAMES, FEWEST_FRAMES = 36, 3
MOVING_DPI = 100
MOVING_MS, RESTING_MS, END_MS = 60, 350, 1500


@dataclass(frozen=True)
class Passage:
    """Points on their way through the layers.

    Args:
        way: from where to where.
        names: of each stage.
        axes: of each stage, the names of its coordinates.
        points: of each stage, N × 2.
        grid: of each stage, lines × points × 2.
        views: of each stage, what is shown.
        colours: of the points.
    """

    way: str
    names: Sequence[str]
    axes: Sequence[tuple[str, str]]
    points: Sequence[Float64]
    grid: Sequence[Float64]
    views: Sequence[View]
    colours: Sequence[str]

    def show(self, axes: Axes, place: float, names_way: bool = False) -> None:
        """Draw the points at a stage, or on their way from the stage before a place to the next."""
        before = math.floor(place)
        after, part = math.ceil(place), place - before
        t = part * part * (3 - 2 * part)  # slow at both ends

        def between(stages: Sequence[Float64]) -> Float64:
            return stages[after] if t == 0 else (1 - t) * stages[before] + t * stages[after]

        axes.clear()
        lines = LineCollection(
            list(between(self.grid)), colors=PALE, linewidths=0.5, zorder=1, gid="grid"
        )
        axes.add_collection(lines)
        x, y = between(self.points).T
        axes.scatter(x, y, s=5, c=self.colours, linewidths=0, zorder=2, gid="points")
        (left, bottom), (right, top) = between(self.views)
        axes.set(xlim=(left, right), ylim=(bottom, top))
        axes.set_title(f"{self.way}\n" * names_way + self.names[after])
        axes.set_xlabel(self.axes[after][0], labelpad=1)
        axes.set_ylabel(self.axes[after][1], labelpad=1)
        few_ticks(axes)


def draw_layers(subject: Subject, seed: int) -> Figure:
    """The way of the prior into the data, a panel for each layer; some of many."""
    passage, _ = _passages(subject, seed)
    stages = len(passage.points)
    shown = np.unique(np.linspace(0, stages - 1, min(stages, MOST_PANELS)).round()).astype(int)
    title = f"{subject.title}: from the prior to the data{given(subject)}"
    figure, axes = grid_of(title, len(shown), PANELS_A_ROW, 2.0)
    for each, stage in zip(axes, shown, strict=True):
        passage.show(each, float(stage))
        each.set_title(textwrap.fill(passage.names[stage], PANEL_CHARACTERS))
    return figure


def animate_layers(subject: Subject, seed: int) -> Moving:
    """The same, moving, and then the way of rows back to the prior."""
    passages = _passages(subject, seed)
    figure = new_figure(f"{subject.title}{given(subject)}", 3.5, width=3.4)
    figure.set_dpi(MOVING_DPI)
    (axes,) = panels(figure, 1, 1)
    shows: list[Callable[[], None]] = []
    milliseconds = []
    for passage in passages:
        moves = len(passage.points) - 1
        frames = max(FEWEST_FRAMES, round(FRAMES / moves))
        for i in range(moves * frames + 1):
            is_end, rests = i in (0, moves * frames), i % frames == 0
            shows.append(partial(passage.show, axes, i / frames, names_way=True))
            milliseconds.append(END_MS if is_end else RESTING_MS if rests else MOVING_MS)
    return Moving(figure, lambda frame: shows[frame](), milliseconds)


def _passages(subject: Subject, seed: int) -> tuple[Passage, Passage]:
    """The way of a sample of the prior to the data, and that of held-out rows to the prior.

    Points are coloured by the quadrant of the prior that they come from or go to.
    """
    subject.check_latents()
    check_plane(subject)
    z = subject.latents(POINTS, seed).astype(np.float64)
    grid = _grid(subject)
    flat = np.concatenate([z, grid.reshape(-1, 2)])
    stages = subject.decode_by_layers(flat, one_context(subject, len(flat)))
    kept = _that_move(stages)
    points = [stages[i].points[: len(z)] for i in kept]
    if not all(np.isfinite(each).all() for each in points):
        raise PlotError(f"a layer of {subject.traits.name} makes points that are not finite")
    grids = [stages[i].points[len(z) :].reshape(grid.shape) for i in kept]
    last = len(kept) - 1
    layers = [f"{i}/{last} {stages[kept[i]].layer}" for i in range(1, last + 1)]
    latent, data = ("z1", "z2"), tuple(subject.traits.column_names)
    labels = [*([latent] * (len(kept) - 1)), (data[0], data[1])]
    views = [view_of(each) for each in points]
    down = Passage(
        "prior → samples", ["prior", *layers], labels, points, grids, views, _colours(subject, z)
    )

    rows = some_rows(subject, POINTS)
    x = points[-1] if rows is None else rows.values
    up = subject.encode_by_layers(x, one_context(subject, len(x)))
    # the last stage of decoding is the first of encoding
    climbing = [up[len(stages) - 1 - i].points for i in reversed(kept)]
    inside = np.isfinite(climbing[-1]).all(1)
    climbing = [each[inside] for each in climbing]
    said = "samples" if rows is None else rows.said
    back = Passage(
        f"{said} → prior",
        [said, *(f"back through {layer}" for layer in layers[::-1])],
        labels[::-1],
        climbing,
        grids[::-1],
        views[::-1],
        _colours(subject, climbing[-1]),
    )
    return down, back


def _that_move(stages: Sequence[Stage]) -> list[int]:
    """The numbers of the stages that their layers have changed, the first, and the last."""
    kept = [0]
    for i, stage in enumerate(stages):
        before = stages[kept[-1]].points
        width = np.ptp(view_of(before), 0)
        if (np.abs(stage.points - before) > SMALLEST_MOVE * width).any():
            kept.append(i)
    if kept[-1] != len(stages) - 1:
        kept = [*kept[:-1], len(stages) - 1] if len(kept) > 1 else [0, len(stages) - 1]
    return kept


def _grid(subject: Subject) -> Float64:
    """Lines in both directions of the prior: lines × points × 2."""
    low, high = np.quantile(subject.latents(2**14, 0).astype(np.float64), GRID_ENDS, axis=0)
    across, along = np.linspace(low, high, GRID_LINES), np.linspace(low, high, POINTS_A_LINE)
    upright = [np.stack([np.full(POINTS_A_LINE, x), along[:, 1]], 1) for x in across[:, 0]]
    level = [np.stack([along[:, 0], np.full(POINTS_A_LINE, y)], 1) for y in across[:, 1]]
    return np.stack([*upright, *level])


def _colours(subject: Subject, z: Float64) -> list[str]:
    """The colour of each latent's quadrant."""
    middle = np.median(subject.latents(2**14, 0), 0)
    quadrant: NDArray[np.int64] = (z > middle) @ np.array([1, 2])
    return [QUADRANTS[i] for i in quadrant]


LAYERS = Kind(
    "layers",
    "A grid and a sample of the prior on their way through the layers to the data.",
    draw_layers,
    animate_layers,
)
