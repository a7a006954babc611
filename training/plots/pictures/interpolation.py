"""Paths between two pictures through the latents, one kind of path under another."""

from typing import get_args

import numpy as np
from matplotlib.figure import Figure

from service.bundle import LatentPath, PathKind
from training.errors import PlotError
from training.plots.kind import Kind
from training.plots.pictures.sheet import draw_sheet, pictures
from training.plots.subject import Array, Subject

PAIRS, STEPS = 2, 11


def draw_interpolation(subject: Subject, seed: int) -> Figure:
    """Paths between pairs of held-out rows, of samples where there are none.

    Of a base that is not spherical only linear paths have points that are likely at all.
    """
    subject.check_latents()
    _ = subject.picture_shape
    ends, context, said = _ends(subject, seed)
    kinds = [
        kind for kind in get_args(PathKind) if kind == "linear" or subject.traits.base.spherical
    ]
    z, given, labels = [], [], []
    for pair in range(PAIRS):
        start, end = ends[2 * pair : 2 * pair + 2]
        for kind in kinds:
            try:
                z.append(LatentPath(start, end, STEPS, kind).points(0, STEPS))
            except ValueError as error:
                raise PlotError(str(error)) from None
            labels.append(kind)
            if context is not None:
                given.append(np.repeat(context[2 * pair : 2 * pair + 1], STEPS, 0))
    decoded = subject.finite_rows(np.concatenate(z), np.concatenate(given) if given else None)
    return draw_sheet(
        f"{subject.title}: paths between {said}",
        pictures(subject, decoded),
        STEPS,
        labels,
        ("part of the path", ""),
        ["0", "½", "1"],
    )


def _ends(subject: Subject, seed: int) -> tuple[Array, Array | None, str]:
    """Latents of the ends of pairs, the context of each, and what they are."""
    n = 2 * PAIRS
    rows = subject.rows_if_any
    if rows is None:
        return subject.latents(n, seed), subject.contexts(n), "samples"
    count = len(rows.values)
    chosen = np.random.default_rng(seed).choice(count, n, replace=count < n)
    # both ends of a path have the context of its start
    context = None if rows.context is None else rows.context[chosen[::2]].repeat(2, 0)
    z, _ = subject.encode(rows.values[chosen], context)
    if not np.isfinite(z).all():
        raise PlotError(f"a row of {rows.said} has no latent: it lies outside the support")
    return z.astype(subject.traits.dtype), context, rows.said


INTERPOLATION = Kind(
    "interpolation",
    "Paths through the latents between two pictures, one kind of path under another.",
    draw_interpolation,
)
