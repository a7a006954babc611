"""Spectrograms of held-out sounds and of samples."""

import numpy as np
from matplotlib.figure import Figure

from training.plots.kind import Kind
from training.plots.sounds.clips import CLIPS, clips_of
from training.plots.style import POWER, few_ticks, new_figure, panels
from training.plots.subject import Float64, Subject

# A window of the Fourier transform in seconds, and the part of it that windows move on by.
WINDOW_SECONDS, HOP = 0.032, 0.25
RANGE_DB = 80.0


def spectrogram(wave: Float64, window: int) -> Float64:
    """The power of each frequency over time, in dB of a sine of full scale: frequencies × times.

    Args:
        wave: samples, as parts of full scale.
        window: samples of a Hann window.
    """
    hop = max(1, round(HOP * window))
    padded = np.pad(wave, (0, max(0, window - len(wave))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(window) + 0.5) / window)
    amplitude = np.abs(np.fft.rfft(frames * hann, axis=1)).T * 2 / hann.sum()
    power: Float64 = 20 * np.log10(np.maximum(amplitude, 1e-10))
    return power


def draw_spectrograms(subject: Subject, seed: int) -> Figure:
    """A row of real sounds, and a row of samples, on the same scale."""
    sound, groups = clips_of(subject, seed)
    length = groups[0].values.shape[1]
    window = min(round(WINDOW_SECONDS * sound.rate), length)
    images = [[spectrogram(wave, window) for wave in group.values] for group in groups]
    loudest = max(float(image.max()) for line in images for image in line)
    figure = new_figure(f"{subject.title}: spectrograms", 0.6 + 1.5 * len(groups))
    axes = panels(figure, len(groups), CLIPS, sharex=True, sharey=True)
    extent = (0.0, length / sound.rate, 0.0, sound.rate / 2)
    for line, group in enumerate(groups):
        for i, (image, name) in enumerate(zip(images[line], group.names, strict=True)):
            each = axes[line * CLIPS + i]
            shown = each.imshow(
                image,
                origin="lower",
                aspect="auto",
                extent=extent,
                cmap=POWER,
                vmin=loudest - RANGE_DB,
                vmax=loudest,
                gid=group.said,
            )
            each.set_title(name)
            few_ticks(each, 3)
        axes[line * CLIPS].set_ylabel(group.said)
    figure.colorbar(shown, ax=axes, label="power (dB of full scale)")
    figure.supxlabel("time (s)", fontsize=8.5)
    figure.supylabel("frequency (Hz)", fontsize=8.5)
    return figure


SPECTROGRAMS = Kind(
    "spectrograms",
    "The power of each frequency over time, of sounds of the data and of samples.",
    draw_spectrograms,
)
