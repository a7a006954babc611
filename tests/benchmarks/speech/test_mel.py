"""Log-mel spectra are what they are said to be."""

import numpy as np
import pytest

from tests.benchmarks.speech import mel

RATE = 8000
TIME = np.arange(4096) / RATE


def tone(frequency: float, height: float = 1000.0) -> mel.Array:
    sound: mel.Array = height * np.sin(2 * np.pi * frequency * TIME)[None]
    return sound


def test_each_band_is_an_average_of_frequencies_next_to_one_another() -> None:
    bands = mel.filters(RATE)
    np.testing.assert_allclose(bands.sum(1), 1)
    centres = bands @ np.fft.rfftfreq(mel.WINDOW, 1 / RATE)
    assert (np.diff(centres) > 0).all()
    assert (bands > 0).sum(1).max() < 0.15 * bands.shape[1]


@pytest.mark.parametrize("frequency", [250, 1000, 3000])
def test_a_tone_is_loudest_in_its_own_band(frequency: float) -> None:
    loudest = int(mel.spectrograms(tone(frequency), RATE)[0].mean(1).argmax())
    nearest = np.abs(mel.filters(RATE) @ np.fft.rfftfreq(mel.WINDOW, 1 / RATE) - frequency)
    assert nearest[loudest] == pytest.approx(nearest.min(), abs=RATE / mel.WINDOW)


def test_distance_is_in_decibels() -> None:
    rng = np.random.default_rng(0)
    sounds = 1000 * rng.standard_normal((20, 4096))
    assert mel.distance(sounds, sounds, RATE) == 0
    assert mel.distance(sounds, 10 * sounds, RATE) == pytest.approx(20, abs=1e-3)
