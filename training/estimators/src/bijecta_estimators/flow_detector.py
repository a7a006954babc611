"""A detector of anomalies with scikit-learn's interface."""

from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors.torch import load, save
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from service.tables import Overrides, RawTable, decide, from_array, row_digests, to_rows
from training.detectors import (
    MIN_ROWS,
    Configuration,
    Detector,
    DetectorSpec,
    fit_detector,
)

Float64 = NDArray[np.float64]

# Rows that are compared together.
ROWS_AT_ONCE = 1024


class FlowDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Flows and nearest rows, by scikit-learn's signs: what is larger is more normal.

    Each column's kind (numeric, lattice, categorical) is decided by its values. A training row
    has the score that the members which did not see it give it, so that `predict` of these is
    no better than of new rows.

    Args:
        configuration: `clean` where the training rows are normal, `contaminated` where some may be
            anomalies.
        contamination: share of the training rows that `predict` calls outliers, in (0, 0.5].
        random_state: seed of all that is random.

    Attributes:
        offset_: of `score_samples`, below which rows are outliers.
        n_features_in_: number of columns.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "configuration": [StrOptions({"clean", "contaminated"})],
        "contamination": [Interval(Real, 0, 0.5, closed="right")],
        "random_state": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        configuration: Configuration = "contaminated",
        contamination: float = 0.1,
        random_state: int = 0,
    ) -> None:
        self.configuration = configuration
        self.contamination = contamination
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: object = None) -> Self:  # noqa: N803
        """Fit to rows: N × D numbers, at least `MIN_ROWS`.

        Raises:
            ValueError: too few rows, missing or infinite values, or a parameter out of range.
        """
        self._validate_params()
        x = validate_data(self, X, dtype=np.float64, ensure_min_samples=MIN_ROWS)
        table = _table(x)
        # every column stays, even one that is constant or a number of the row
        decision = decide(table, Overrides(keep=list(table.columns)))
        self.columns_ = decision.columns
        fitted = fit_detector(
            to_rows(table.columns, self.columns_).rows,
            self.columns_,
            configuration=self.configuration,
            seed=int(self.random_state),
        )
        self.detector_ = fitted.detector
        self.seen_ = dict(zip(_digests(x), (-fitted.out_of_sample).tolist(), strict=True))
        self.offset_ = float(np.percentile(self.score_samples(x), 100 * self.contamination))
        return self

    def score_samples(self, X: ArrayLike) -> Float64:  # noqa: N803
        """How normal rows are: N × D → N; −∞ of rows that the training rows make impossible."""
        check_is_fitted(self)
        x = validate_data(self, X, dtype=np.float64, reset=False)
        seen = [self.seen_.get(digest) for digest in _digests(x)]
        scores = np.array([np.nan if score is None else score for score in seen])
        new = np.flatnonzero([score is None for score in seen])
        if len(new):
            converted = to_rows(_table(x[new]).columns, self.columns_)
            of_new = -self.detector_.scores(converted.rows)
            of_new[converted.faulty] = -np.inf
            scores[new] = of_new
        return scores

    def decision_function(self, X: ArrayLike) -> Float64:  # noqa: N803
        """`score_samples` less `offset_`: below 0 of outliers."""
        scores = self.score_samples(X)
        return scores - self.offset_

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:  # noqa: N803
        """−1 of outliers, 1 of others: N × D → N."""
        return np.where(self.decision_function(X) < 0, -1, 1).astype(np.int64)

    def __getstate__(self) -> dict[str, Any]:
        """Everything, with the detector as JSON and tensors in place of code."""
        state: dict[str, Any] = super().__getstate__().copy()
        detector = state.pop("detector_", None)
        if detector is not None:
            tensors = {k: v.contiguous() for k, v in detector.state_dict().items()}
            state["spec"] = detector.spec.model_dump_json()
            state["weights"] = save(tensors)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        spec, weights = state.pop("spec", None), state.pop("weights", None)
        super().__setstate__(state)
        if spec is not None:
            self.detector_ = Detector(DetectorSpec.model_validate_json(spec))
            self.detector_.load_state_dict(load(weights))


def _table(x: Float64) -> RawTable:
    return RawTable({f"x{i}": from_array(x[:, i]) for i in range(x.shape[1])}, len(x))


def _digests(x: Float64) -> list[bytes]:
    return [digest.tobytes() for digest in row_digests(x, ROWS_AT_ONCE)]
