"""A detector of anomalies with PyOD's interface, which does not need PyOD."""

from collections.abc import Mapping
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from bijecta_estimators.flow_detector import FlowDetector
from bijecta_estimators.input import Frame
from training.detectors import Configuration

Float64 = NDArray[np.float64]


class PyODFlowDetector(BaseEstimator):  # type: ignore[misc]
    """Flows and nearest rows, by PyOD's signs: a larger score is more anomalous.

    Args:
        contamination: share of the training rows that are called outliers, in (0, 0.5].
        configuration: `clean` where the training rows are normal, `contaminated` where some may be
            anomalies.
        kinds: of columns by name, as of `FlowDetector`.
        random_state: as of `FlowDetector`.

    Attributes:
        decision_scores_: N; score of each training row, by members that did not see it.
        threshold_: above it rows are outliers.
        labels_: N; 1 of the training rows that are outliers, 0 of others.
    """

    def __init__(
        self,
        contamination: float = 0.1,
        configuration: Configuration = "contaminated",
        random_state: int | np.random.RandomState | None = 0,
        kinds: Mapping[str, str] | None = None,
    ) -> None:
        self.contamination = contamination
        self.configuration = configuration
        self.random_state = random_state
        self.kinds = kinds

    def fit(self, X: ArrayLike | Frame, y: object = None) -> Self:  # noqa: N803
        """Fit to rows, as `FlowDetector.fit`."""
        fitted = FlowDetector(
            configuration=self.configuration,
            contamination=self.contamination,
            kinds=self.kinds,
            random_state=self.random_state,
        ).fit(X)
        scores = -fitted.score_samples(X)
        # from here on nothing fails, and the fit before is left behind as a whole
        self.flow_detector_, self.threshold_ = fitted, -fitted.offset_
        self.decision_scores_, self.labels_ = scores, self._outliers(scores)
        return self

    def fit_predict(self, X: ArrayLike | Frame, y: object = None) -> NDArray[np.int64]:  # noqa: N803
        """Fit to rows, and say which are outliers: `labels_`."""
        return self.fit(X).labels_

    def decision_function(self, X: ArrayLike | Frame) -> Float64:  # noqa: N803
        """Scores of rows: N × D → N; +∞ of rows that the training rows make impossible."""
        check_is_fitted(self, "flow_detector_")
        return -self.flow_detector_.score_samples(X)

    def predict(self, X: ArrayLike | Frame) -> NDArray[np.int64]:  # noqa: N803
        """1 of outliers, 0 of others: N × D → N."""
        return self._outliers(self.decision_function(X))

    def predict_proba(
        self,
        X: ArrayLike | Frame,  # noqa: N803
        method: Literal["linear", "unify"] = "linear",
    ) -> Float64:
        """Scores brought to [0, 1]: N × D → N × 2, normal and outlier. They are no probabilities.

        `linear` is the place between the smallest and the largest training score; `unify`
        is Gaussian scaling (Kriegel et al., 2011, "Interpreting and unifying outlier scores").

        Raises:
            ValueError: another method.
        """
        scores, known = self.decision_function(X), self.decision_scores_
        if method == "linear":
            width = np.ptp(known) or 1.0
            outlier = ((scores - known.min()) / width).clip(0, 1)
        elif method == "unify":
            deviation = known.std() or 1.0
            outlier = erf((scores - known.mean()) / (deviation * np.sqrt(2))).clip(0, 1)
        else:
            raise ValueError(f"expected 'linear' or 'unify', got {method!r}")
        return np.stack([1 - outlier, outlier], 1)

    def _outliers(self, scores: Float64) -> NDArray[np.int64]:
        return (scores > self.threshold_).astype(np.int64)
