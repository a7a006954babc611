"""Rows that are pictures, drawn as sheets of them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from training.plots.style import GREY, new_figure, panels
from training.plots.subject import Array, Float64, Subject

# Between pictures, in parts of their smaller side.
GAP = 0.08

INCHES, LABEL_INCHES, HEAD_INCHES = 6.0, 0.75, 0.55


def pictures(subject: Subject, rows: Array) -> Float64:
    """Rows as pictures: N × height × width × channels, in [0, 1].

    0 and 1 are the ends of the range of the data where it is known, else of these rows.

    Raises:
        PlotError: they are no pictures.
    """
    channels, height, width = subject.picture_shape
    low, high = subject.traits.low, subject.traits.high
    if low is None or high is None:
        low, high = float(rows.min()), float(rows.max())
    values = (rows.reshape(-1, channels, height, width) - low) / max(high - low, 1e-300)
    return np.clip(values, 0, 1).transpose(0, 2, 3, 1).astype(np.float64)


def sheet(shown: Float64, columns: int) -> Float64:
    """Pictures side by side, row by row, with white between them: height × width × channels.

    Args:
        shown: N × height × width × channels.
        columns: pictures of a row.
    """
    n, height, width, channels = shown.shape
    gap = _gap(height, width)
    rows = -(-n // columns)
    whole = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, channels))
    for i, picture in enumerate(shown):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        whole[top : top + height, left : left + width] = picture
    return whole


def draw_sheet(
    title: str,
    shown: Float64,
    columns: int,
    labels: Sequence[str] = (),
    names: tuple[str, str] = ("", ""),
    below: Sequence[str] = (),
) -> Figure:
    """A figure of a sheet.

    Args:
        title: of the figure.
        shown: N × height × width × channels.
        columns: pictures of a row.
        labels: of the rows.
        names: of what differs along a row, and from row to row.
        below: labels of the first and the last column, and of others between them.
    """
    whole = sheet(shown, columns)
    _, height, width, channels = shown.shape
    gap = _gap(height, width)
    inside = INCHES - (LABEL_INCHES if labels else 0)
    inches = HEAD_INCHES + inside * whole.shape[0] / whole.shape[1]
    figure = new_figure(title, inches + (0.3 if names[0] else 0), INCHES)
    (axes,) = panels(figure, 1, 1)
    axes.imshow(
        whole[..., 0] if channels == 1 else whole,
        cmap=GREY,
        vmin=0,
        vmax=1,
        interpolation="nearest",
        gid="sheet",
    )
    axes.set_yticks([i * (height + gap) + (height - 1) / 2 for i in range(len(labels))], labels)
    ends = (width - 1) / 2, whole.shape[1] - (width + 1) / 2
    axes.set_xticks(np.linspace(*ends, len(below)), below)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel=names[0], ylabel=names[1])
    return figure


def _gap(height: int, width: int) -> int:
    """Pixels between pictures."""
    return max(1, round(GAP * min(height, width)))
