"""Conditional models, their rows and contexts."""

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

X = [[0.1, 0.2], [1.0, 1.0], [-0.5, 0.0]]


CONTEXT = [[0.5, "lower"], [1.5, "upper"], [-1, "lower"]]


CODED = np.array([[0.5, 0], [1.5, 1], [-1, 0]], np.float32)


IMAGES: NDArray[np.float64] = load_digits().images[:20, None]


DIGITS: NDArray[np.int64] = load_digits().target[:20, None]
