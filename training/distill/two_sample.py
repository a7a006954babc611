"""Classifier two-sample tests: how well a classifier tells two samples apart."""

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def accuracy(first: NDArray[np.float32], second: NDArray[np.float32], seed: int = 0) -> float:
    """The held-out accuracy of the better of two classifiers.

    Lopez-Paz & Oquab 2017. A network of two hidden layers and gradient boosting, trained on half
    of the rows and tested on the other half. It is about 0.5 if both samples have one distribution.

    Args:
        first, second: the samples, N × D each; the excess rows of the larger one are left out.
        seed: seed of the classifiers.
    """
    half = min(len(first), len(second)) // 2
    label = np.repeat([0, 1], half)
    halves = slice(half), slice(half, 2 * half)
    train, test = (np.concatenate([first[rows], second[rows]]) for rows in halves)
    classifiers = (
        make_pipeline(
            StandardScaler(),
            MLPClassifier((256, 256), early_stopping=True, max_iter=100, random_state=seed),
        ),
        HistGradientBoostingClassifier(early_stopping=True, random_state=seed),
    )
    return max(float(c.fit(train, label).score(test, label)) for c in classifiers)
