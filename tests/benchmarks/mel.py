"""Mel spectra of sounds, and how far those of two sets of sounds are apart."""

import numpy as np
import scipy.signal
from numpy.typing import NDArray

BANDS = 40

# of a short-time spectrum, in seconds
WINDOW, HOP = 0.032, 0.008

# Samples of a transform: the lowest bands are narrower than a window resolves.
TRANSFORM = 1024


def spectrogram(x: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """Power in mel bands: N × samples → N × `BANDS` × frames, in dB."""
    window, hop = round(WINDOW * rate), round(HOP * rate)
    _, _, transformed = scipy.signal.stft(
        x, rate, nperseg=window, noverlap=window - hop, nfft=TRANSFORM, boundary=None
    )
    power = np.square(np.abs(transformed))
    levels: NDArray[np.float64] = 10 * np.log10(filters(rate) @ power + 1e-12)
    return levels


def filters(rate: int) -> NDArray[np.float64]:
    """Triangles that overlap by halves, equally wide in mel: `BANDS` × frequencies."""
    highest = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, highest, BANDS + 2) / 2595) - 1)
    frequencies = np.fft.rfftfreq(TRANSFORM, 1 / rate)
    rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    triangles: NDArray[np.float64] = np.clip(np.minimum(rising, falling), 0, None)
    return triangles


def distance(a: NDArray[np.float32], b: NDArray[np.float32], rate: int) -> float:
    """Mean absolute difference, over the bands, of the levels averaged over time and sounds.

    Args:
        a, b: sounds, N × samples each.
        rate: samples per second.

    Returns:
        Decibels.
    """
    means = [spectrogram(x, rate).mean((0, 2)) for x in (a, b)]
    return float(np.abs(means[0] - means[1]).mean())
