"""Fit the estimators, pickle and score, in an environment that holds nothing of the tree."""

import pickle
import sys
from pathlib import Path

import numpy as np

import bijecta_estimators
from bijecta_estimators import FlowDetector, PyODFlowDetector


def main() -> None:
    """Fit both; see that they agree, before and after pickling, and call the far row an outlier."""
    assert Path(bijecta_estimators.__file__).is_relative_to(sys.prefix), bijecta_estimators.__file__
    rows = np.random.default_rng(0).normal(size=(200, 2))
    new = np.array([[0.5, 0.5], [9.0, -9.0]])
    detector = pickle.loads(pickle.dumps(FlowDetector().fit(rows)))
    pyod = PyODFlowDetector().fit(rows)
    assert detector.predict(new).tolist() == [1, -1]
    np.testing.assert_allclose(pyod.decision_function(new), -detector.score_samples(new))
    print("both estimators were fitted, and agree")


if __name__ == "__main__":
    main()
