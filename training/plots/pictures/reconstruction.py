"""Pictures of the data, what comes back of them through the latents, and the difference."""

import numpy as np
from matplotlib.figure import Figure

from training.errors import PlotError
from training.plots.kind import Kind
from training.plots.pictures.sheet import draw_sheet, pictures
from training.plots.subject import Subject

COLUMNS = 12


def draw_reconstruction(subject: Subject, _: int) -> Figure:
    """Rows encoded and decoded, and the difference as large as can be seen."""
    channels, height, width = subject.picture_shape
    rows = subject.rows
    x = rows.values[:COLUMNS]
    context = None if rows.context is None else rows.context[:COLUMNS]
    z, log_prob = subject.encode(x, context)
    if not np.isfinite(z).all():
        row = int((~np.isfinite(log_prob)).argmax())
        raise PlotError(f"row {row} of {rows.said} has no latent: it lies outside the support")
    back = subject.finite_rows(z.astype(subject.traits.dtype), context)
    difference = np.abs(back - x)
    largest = float(difference.max())
    shown = pictures(subject, np.concatenate([x, back]))
    magnified = difference / max(largest, 1e-300)
    magnified = magnified.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
    title = f"{subject.title}: {rows.said}, encoded and decoded"
    labels = ["row", "decoded", "difference"]
    below = f"white: the largest difference, {largest:.1e} in units of the data"
    return draw_sheet(title, np.concatenate([shown, magnified]), len(x), labels, (below, ""))


RECONSTRUCTION = Kind(
    "reconstruction",
    "Rows, what comes back of them through the latents, and the difference.",
    draw_reconstruction,
)
