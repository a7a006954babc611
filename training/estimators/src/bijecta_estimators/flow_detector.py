"""A detector of anomalies with scikit-learn's interface."""

import os
import sys
import warnings
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, Self

import numpy as np
import sklearn
from numpy.typing import ArrayLike, NDArray
from safetensors.torch import load, save
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from bijecta_estimators.input import Frame, read
from service.tables import Overrides, decide, row_digests, to_rows, unfamiliar_values
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

# Of code that stands between a warning and who asked, such as `fit_predict` of scikit-learn.
BETWEEN = tuple(f"{Path(file).parent}{os.sep}" for file in (__file__, sklearn.__file__))


class FlowDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Flows and nearest rows, by scikit-learn's signs: what is larger is more normal.

    Each column's kind (numeric, lattice, categorical, datetime) is decided by its values. A
    training row has the score that the members which did not see it give it, so that `predict` of
    these is no better than of new rows.

    Args:
        configuration: `clean` where the training rows are normal, `contaminated` where some may be
            anomalies.
        contamination: share of the training rows that `predict` calls outliers, in (0, 0.5].
        kinds: of columns by name, where they are not to be decided by values; these columns stay.
            Columns of an array are named `x0`, `x1` and so on.
        random_state: seed of all that is random, or what draws it, by scikit-learn's rules: None
            draws another at each fit.

    Attributes:
        offset_: of `score_samples`, below which rows are outliers.
        columns_: what each column that is modelled is.
        left_out_: columns that are not modelled, each with its `name` and `detail`, the reason.
        n_features_in_: number of columns.
        feature_names_in_: names of the columns of a data frame.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "configuration": [StrOptions({"clean", "contaminated"})],
        "contamination": [Interval(Real, 0, 0.5, closed="right")],
        "kinds": [Mapping, None],
        "random_state": [Interval(Integral, 0, None, closed="left"), "random_state"],
    }

    def __init__(
        self,
        *,
        configuration: Configuration = "contaminated",
        contamination: float = 0.1,
        kinds: Mapping[str, str] | None = None,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.configuration = configuration
        self.contamination = contamination
        self.kinds = kinds
        self.random_state = random_state

    def fit(self, X: ArrayLike | Frame, y: object = None) -> Self:  # noqa: N803
        """Fit to rows: N × D numbers, NaN where missing, or a data frame; at least `MIN_ROWS`.

        Of a data frame, columns that tell nothing (constant, identifiers, copies) are left out,
        with a warning. All columns of an array stay. A fit that ends early leaves the one before.

        Raises:
            ValueError: too few rows, infinite values, no column that can be modelled, or a
                parameter out of range.
        """
        self._validate_params()
        before = self.__dict__.copy()
        try:
            self._fit(X)
        except BaseException:
            self.__dict__ = before
            raise
        return self

    def _fit(self, x: ArrayLike | Frame) -> None:
        table = read(self, x, MIN_ROWS)
        keep = [] if table.has_names else list(table.columns)
        decision = decide(table, Overrides(kinds=self.kinds or {}, keep=keep))
        if decision.problems or not decision.columns:
            reasons = [f"column {each.name!r}: {each.detail}" for each in decision.left_out]
            raise ValueError(
                "; ".join(decision.problems or ["no column can be modelled", *reasons])
            )
        for each in decision.left_out:
            _warn(f"column {each.name!r} is left out: {each.detail}")
        self.columns_, self.left_out_ = decision.columns, decision.left_out
        rows = to_rows(table.columns, self.columns_, [each.name for each in self.left_out_]).rows
        seed = self.random_state
        if not isinstance(seed, Integral):
            seed = check_random_state(seed).randint(np.iinfo(np.int32).max)
        fitted = fit_detector(rows, self.columns_, configuration=self.configuration, seed=int(seed))
        self.detector_ = fitted.detector
        normality = -fitted.out_of_sample
        self.seen_ = dict(zip(_digests(rows), normality.tolist(), strict=True))
        normality = np.array([self.seen_[digest] for digest in _digests(rows)])
        self.offset_ = float(np.percentile(normality, 100 * self.contamination))

    def score_samples(self, X: ArrayLike | Frame) -> Float64:  # noqa: N803
        """How normal rows are: N × D → N.

        −∞ of rows that cannot occur: with a value that is off the step of its column, missing where
        none was, or another than a constant; a warning names the first of each column.

        Raises:
            ValueError: other columns, or values that are none of their columns', such as text among
                numbers; names row and column.
        """
        check_is_fitted(self, "detector_")
        table = read(self, X)
        converted = to_rows(table.columns, self.columns_, [each.name for each in self.left_out_])
        if fault := next((each for each in converted.faults if not each.is_impossible), None):
            raise ValueError(f"row {fault.row}, {fault}")
        scores = np.full(len(converted.rows), np.nan)
        for each in unfamiliar_values(table.columns, converted, self.columns_, self.left_out_):
            if each.sort == "unknown_classes":  # which have a density
                continue
            scores[each.rows] = -np.inf
            row = int(each.rows[0])
            _warn(
                f"{len(each.rows)} rows have values that column {each.column!r} never has, such as "
                f"{each.value(row)!r} in row {row}: their scores are -inf"
            )
        possible = np.flatnonzero(np.isnan(scores))
        digests = _digests(converted.rows[possible])
        scores[possible] = [self.seen_.get(digest, np.nan) for digest in digests]
        if len(new := np.flatnonzero(np.isnan(scores))):
            scores[new] = -self.detector_.scores(converted.rows[new])
        return scores

    def decision_function(self, X: ArrayLike | Frame) -> Float64:  # noqa: N803
        """`score_samples` less `offset_`: below 0 of outliers."""
        scores = self.score_samples(X)
        return scores - self.offset_

    def predict(self, X: ArrayLike | Frame) -> NDArray[np.int64]:  # noqa: N803
        """−1 of outliers, 1 of others: N × D → N."""
        return np.where(self.decision_function(X) < 0, -1, 1).astype(np.int64)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

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


def _warn(text: str) -> None:
    """Warn, and name the line that asked."""
    frame: FrameType | None = sys._getframe()
    level = 1
    while frame is not None and frame.f_code.co_filename.startswith(BETWEEN):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, stacklevel=level)


def _digests(rows: Float64) -> list[bytes]:
    return [digest.tobytes() for digest in row_digests(rows, ROWS_AT_ONCE)]
