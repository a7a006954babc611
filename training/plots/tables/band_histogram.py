"""Histograms of numbers in (0, 1), flat where the model is right."""

import numpy as np
from matplotlib.axes import Axes

from training.plots.style import DATA, INK, MODEL, PALE, short
from training.plots.subject import Array, Float64


def draw_in_band(
    axes: Axes, counts: Array, low: Float64, high: Float64, title: str, gid: str
) -> None:
    """Draw counts in bars of the same width, those outside the band in another colour.

    Args:
        axes: of the histogram.
        counts: of each bar.
        low, high: the band of a right model, bar by bar.
        title: of the axes.
        gid: of the bars.
    """
    bars = len(counts)
    edges = np.linspace(0, 1, bars + 1)
    colours = np.where((counts < low) | (counts > high), DATA, MODEL)
    axes.bar(edges[:-1], counts, 1 / bars, align="edge", color=colours, alpha=0.7, lw=0, gid=gid)
    axes.stairs(high, edges, baseline=low, fill=True, color=PALE, alpha=0.6, lw=0, zorder=0)
    axes.axhline(counts.sum() / bars, color=INK, lw=0.6)
    axes.set_xlim(0, 1)
    axes.set_title(short(title))
