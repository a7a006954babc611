"""Sounds to plot: held-out ones and samples."""

from typing import NamedTuple

import numpy as np

from service.bundle import Sound
from training.errors import PlotError
from training.plots.subject import Array, Float64, Subject, shown_value

CLIPS = 4


class Clips(NamedTuple):
    """Sounds of one kind.

    Args:
        said: what they are.
        values: N × samples, as parts of full scale.
        names: of each, its class if it has one.
    """

    said: str
    values: Float64
    names: list[str]


def clips_of(subject: Subject, seed: int) -> tuple[Sound, list[Clips]]:
    """What sounds are, some held-out ones if there are any, and as many samples of their classes.

    Raises:
        PlotError: rows are no sounds.
    """
    sound = subject.traits.sound
    if sound is None:
        raise PlotError("it is for models of sounds")
    groups = []
    n, context = CLIPS, subject.contexts(CLIPS)
    rows = subject.rows_if_any
    if rows is not None:
        real = rows.values[:CLIPS]
        n, context = len(real), None if rows.context is None else rows.context[:CLIPS]
        said, _, _ = rows.said.partition(" of ")
        groups.append(_clips(said, subject, sound, real, context))
    drawn = subject.finite_rows(subject.latents(n, seed), context)
    groups.append(_clips("samples", subject, sound, drawn, context))
    return sound, groups


def _clips(
    said: str, subject: Subject, sound: Sound, values: Array, context: Array | None
) -> Clips:
    flat = values.reshape(len(values), -1).astype(np.float64) / sound.full_scale
    columns = subject.traits.context
    names = [""] * len(flat)
    if context is not None:
        names = [
            ", ".join(shown_value(c, v) for c, v in zip(columns, row, strict=True))
            for row in context
        ]
    return Clips(said, flat, names)
