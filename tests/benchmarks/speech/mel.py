"""Log-mel spectra of sounds, and how far two sets of sounds are apart in them."""

import numpy as np
from numpy.typing import NDArray

BANDS = 40
WINDOW, HOP = 256, 64

# What is added to the power of a band before its logarithm: far below any speech of 16 bits.
QUIET = 1.0

Array = NDArray[np.float64]


def distance(first: Array, second: Array, rate: int) -> float:
    """Mean absolute difference of two sets' time-averaged log-mel spectra, in dB.

    Args:
        first, second: N × T samples each, in sample steps.
        rate: samples a second.
    """
    means = [spectrograms(sounds, rate).mean((0, 2)) for sounds in (first, second)]
    return float(np.abs(means[0] - means[1]).mean())


def spectrograms(sounds: Array, rate: int) -> Array:
    """N × T samples → N × `BANDS` × frames, in dB of squared sample steps."""
    frames = np.lib.stride_tricks.sliding_window_view(sounds, WINDOW, axis=1)[:, ::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW))) ** 2 / WINDOW
    decibels: Array = 10 * np.log10(power @ filters(rate).T + QUIET)
    return decibels.transpose(0, 2, 1)


def filters(rate: int) -> Array:
    """Triangles, evenly spaced in mel (O'Shaughnessy 1987) up to half the rate, each of area 1.

    `BANDS` × frequencies of a window. Those narrower than the frequencies' distance are as wide as
    it, so that none is empty.
    """
    frequencies = np.fft.rfftfreq(WINDOW, 1 / rate)
    mel = np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    step = frequencies[1]
    rising = (frequencies - centre) / np.maximum(centre - low, step) + 1
    falling = (centre - frequencies) / np.maximum(high - centre, step) + 1
    triangles = np.clip(np.minimum(rising, falling), 0, None)
    areas: Array = triangles / triangles.sum(1, keepdims=True)
    return areas
