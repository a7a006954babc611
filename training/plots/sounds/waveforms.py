"""Waveforms of held-out sounds and of samples."""

import numpy as np
from matplotlib.figure import Figure

from training.plots.kind import Kind
from training.plots.sounds.clips import CLIPS, clips_of
from training.plots.style import DATA, MODEL, few_ticks, new_figure, panels
from training.plots.subject import Subject


def draw_waveforms(subject: Subject, seed: int) -> Figure:
    """A row of real sounds, and a row of samples, on the same axes."""
    sound, groups = clips_of(subject, seed)
    figure = new_figure(f"{subject.title}: waveforms", 0.6 + 1.35 * len(groups))
    axes = panels(figure, len(groups), CLIPS, sharex=True, sharey=True)
    for line, group in enumerate(groups):
        for i, (wave, name) in enumerate(zip(group.values, group.names, strict=True)):
            each = axes[line * CLIPS + i]
            seconds = np.arange(len(wave)) / sound.rate
            colour = MODEL if group.said == "samples" else DATA
            each.plot(seconds, wave, color=colour, lw=0.5, gid=group.said)
            each.set_title(name)
            few_ticks(each, 3)
        axes[line * CLIPS].set_ylabel(group.said)
    figure.supxlabel("time (s)", fontsize=8.5)
    figure.supylabel("amplitude (full scale is 1)", fontsize=8.5)
    return figure


WAVEFORMS = Kind("waveforms", "Sounds of the data and samples, on the same axes.", draw_waveforms)
