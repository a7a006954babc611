"""The same samples at several temperatures."""

import numpy as np
from matplotlib.figure import Figure

from training.errors import PlotError
from training.plots.kind import Kind
from training.plots.pictures.sheet import draw_sheet, pictures
from training.plots.subject import Subject

TEMPERATURES = (0.25, 0.5, 0.7, 0.85, 1.0, 1.15)
COLUMNS = 12


def draw_temperature(subject: Subject, seed: int) -> Figure:
    """A row of pictures for each temperature, of the same random numbers."""
    _ = subject.picture_shape
    context = subject.contexts(COLUMNS)
    rows, labels = [], []
    for temperature in TEMPERATURES:
        try:
            z = subject.latents(COLUMNS, seed, temperature)
        except PlotError:  # a uniform base has none above one
            continue
        rows.append(subject.finite_rows(z, context))
        labels.append(f"{temperature:g}")
    shown = pictures(subject, np.concatenate(rows))
    title = f"{subject.title}: the same samples at several temperatures"
    return draw_sheet(title, shown, COLUMNS, labels, ("", "temperature"))


TEMPERATURE = Kind("temperature", "The same samples at several temperatures.", draw_temperature)
