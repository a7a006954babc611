"""A classifier of spoken digits, which says whether generated ones can be understood."""

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.benchmarks.speech import mel

# frames that are averaged into one
FRAMES = 4


class Listener:
    """Hears what is said in sounds.

    Args:
        sounds: N × T samples, real ones.
        said: what, as a number: N.
        rate: samples a second.
    """

    def __init__(self, sounds: NDArray[np.floating], said: NDArray[np.floating], rate: int) -> None:
        self.rate = rate
        network = MLPClassifier(
            (128,), alpha=1.0, early_stopping=True, max_iter=200, random_state=0
        )
        self.classifier = make_pipeline(StandardScaler(), network)
        self.classifier.fit(self._features(sounds), said)

    def hears(self, sounds: NDArray[np.floating], said: NDArray[np.floating]) -> float:
        """In what share of the sounds it hears what is said."""
        return float(self.classifier.score(self._features(sounds), said))

    def _features(self, sounds: NDArray[np.floating]) -> mel.Array:
        spectra = mel.spectrograms(sounds.astype(float), self.rate)
        n, bands, frames = spectra.shape
        whole = spectra[..., : frames // FRAMES * FRAMES]
        means: mel.Array = whole.reshape(n, bands, -1, FRAMES).mean(3).reshape(n, -1)
        return means
