"""The estimators keep the laws of scikit-learn and of PyOD."""

import pickle
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import (
    check_dict_unchanged,
    check_estimator,
    check_fit2d_1sample,
    check_no_attributes_set_in_init,
)

from bijecta_estimators import FlowDetector, PyODFlowDetector
from tests.helpers.fitted_detectors import small_parts
from training.detectors import fit_detector

ROWS = np.random.default_rng(0).normal(size=(120, 3))
ROWS[:6] *= 8
NEW = 2 * np.random.default_rng(1).normal(size=(40, 3))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Small parts, but for the tests of whole detectors."""
    if "long" not in request.keywords:
        small_parts(monkeypatch)


def test_outliers_are_minus_one_and_score_low() -> None:
    detector = FlowDetector(contamination=0.05).fit(ROWS)
    far, near = detector.score_samples([[50.0, 50.0, 50.0], [0.0, 0.0, 0.0]])
    assert far < near
    assert detector.predict([[50.0, 50.0, 50.0], [0.0, 0.0, 0.0]]).tolist() == [-1, 1]
    decisions = detector.decision_function(NEW)
    np.testing.assert_array_equal(decisions, detector.score_samples(NEW) - detector.offset_)
    assert (detector.predict(ROWS) == -1).sum() == 6


def test_training_rows_are_scored_by_members_that_did_not_see_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = []

    def fit(*arguments: Any, **options: Any) -> Any:
        fitted = fit_detector(*arguments, **options)
        expected.append(-fitted.out_of_sample)
        return fitted

    monkeypatch.setattr("bijecta_estimators.flow_detector.fit_detector", fit)
    detector = FlowDetector().fit(ROWS)
    np.testing.assert_array_equal(detector.score_samples(ROWS[::-1]), expected[0][::-1])
    # of a row just beside a training row, members that saw that one have a say
    assert (detector.score_samples(ROWS + 1e-9) > expected[0]).mean() > 0.7


@pytest.mark.parametrize("kind", [FlowDetector, PyODFlowDetector])
def test_a_clone_has_the_parameters_and_fits_the_same(kind: type[Any]) -> None:
    options = {
        "configuration": "clean",
        "contamination": 0.2,
        "random_state": 3,
        "kinds": {"x0": "numeric"},
    }
    first = kind().set_params(**options).fit(ROWS)
    other = clone(first)
    assert other.get_params() == options
    assert not hasattr(other, "n_features_in_")
    scores = first.decision_function(NEW)
    np.testing.assert_array_equal(other.fit(ROWS).decision_function(NEW), scores)
    # fitted again, nothing of the first fit is left
    np.testing.assert_array_equal(other.fit(NEW).fit(ROWS).decision_function(NEW), scores)
    assert (other.set_params(random_state=4).fit(ROWS).decision_function(NEW) != scores).any()


def test_what_draws_may_be_given_in_place_of_a_seed() -> None:
    def scores(random_state: Any) -> Any:
        return FlowDetector(random_state=random_state).fit(ROWS).decision_function(NEW)

    first = scores(np.random.RandomState(3))
    np.random.seed(3)  # what None draws by, as in all of scikit-learn  # noqa: NPY002
    np.testing.assert_array_equal(scores(None), first)
    assert (scores(None) != first).any()


OTHER_ROWS = {
    "another array": np.column_stack([np.arange(120) % 3, ROWS[:, 1:]]),
    "another width": ROWS[:, :2],
    "a frame": pa.table({"a": ROWS[:, 0], "b": ROWS[:, 1]}),
}


def test_a_fit_that_ends_early_leaves_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    detector, fresh = FlowDetector().fit(ROWS), FlowDetector()
    before = detector.decision_function(NEW)
    for place in ("to_rows", "fit_detector", "np.percentile"):
        with monkeypatch.context() as patch:
            patch.setattr(f"bijecta_estimators.flow_detector.{place}", stop)
            for rows in OTHER_ROWS.values() if place == "fit_detector" else [NEW]:
                for each in (detector, fresh):
                    with pytest.raises(KeyboardInterrupt):
                        each.fit(rows)
        np.testing.assert_array_equal(detector.decision_function(NEW), before)
        with pytest.raises(NotFittedError):
            fresh.decision_function(NEW)


def test_a_fit_of_pyod_that_ends_early_leaves_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    detector = PyODFlowDetector().fit(ROWS)
    before = detector.decision_function(NEW)
    with monkeypatch.context() as patch:
        patch.setattr(FlowDetector, "score_samples", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            detector.fit(NEW)
    np.testing.assert_array_equal(detector.decision_function(NEW), before)
    np.testing.assert_array_equal(detector.predict(ROWS), detector.labels_)


@pytest.mark.parametrize("kind", [FlowDetector, PyODFlowDetector])
def test_pickles_hold_no_code_of_models(kind: type[Any]) -> None:
    detector = kind().fit(ROWS)
    stored = pickle.dumps(detector)
    texts = {text for _, text, _ in pickletools.genops(stored) if isinstance(text, str)}
    assert not [text for text in texts if text.startswith(("torch", "models."))]
    back = pickle.loads(stored)
    np.testing.assert_array_equal(back.decision_function(NEW), detector.decision_function(NEW))
    assert isinstance(pickle.loads(pickle.dumps(kind())), kind)


@pytest.mark.parametrize(
    ("options", "rows", "said"),
    [
        ({"contamination": 0.7}, ROWS, "contamination"),
        ({"configuration": "dirty"}, ROWS, "configuration"),
        ({"random_state": -1}, ROWS, "random_state"),
        ({"random_state": "a"}, ROWS, "random_state"),
        ({"kinds": {"x3": "numeric"}}, ROWS, "'x3'"),
        ({"kinds": "numeric"}, ROWS, "kinds"),
        ({}, ROWS[:0], "minimum of 10"),
        ({}, ROWS[:1], "minimum of 10"),
        ({}, ROWS[:9], "minimum of 10"),
        ({}, np.full((20, 2), np.nan), "'x1': has no value in any row"),
        ({}, np.where(ROWS > 3, np.inf, ROWS), "infinity"),
        ({}, ROWS[:, 0], "2D"),
    ],
)
@pytest.mark.parametrize("kind", [FlowDetector, PyODFlowDetector])
def test_what_cannot_be_fitted_is_refused(
    kind: type[Any], options: dict[str, Any], rows: Any, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        kind(**options).fit(rows)


def test_values_that_no_training_row_can_have_are_outliers() -> None:
    rows = np.column_stack([ROWS[:, 0], np.arange(120) % 3, np.ones(120)])
    detector = FlowDetector().fit(rows)
    assert np.isfinite(detector.score_samples(rows)).all()
    with pytest.warns(UserWarning, match="1 rows .*'x1' never has, such as 0.5 in row 1: .* -inf"):
        assert detector.score_samples([[0.0, 1.0, 1.0], [0.0, 0.5, 1.0]])[1] == -np.inf
    with pytest.warns(UserWarning, match="2 rows .*'x0' never has, such as None in row 0"):
        assert detector.predict([[np.nan, 0.0, 1.0], [np.nan, 0.0, 1.0]]).tolist() == [-1, -1]
    with pytest.raises(ValueError, match="infinity"):
        detector.predict([[np.inf, 0.0, 1.0]])


def test_values_may_be_missing_where_training_rows_lack_some() -> None:
    rows = ROWS.copy()
    rows[::5, 1] = np.nan
    detector = FlowDetector().fit(rows)
    assert np.isfinite(detector.score_samples(rows)).all()
    new = NEW.copy()
    new[:, 1] = np.nan
    assert np.isfinite(detector.score_samples(new)).all()


def test_pyod_signs_are_the_opposite() -> None:
    ours, pyod = FlowDetector().fit(ROWS), PyODFlowDetector().fit(ROWS)
    np.testing.assert_array_equal(pyod.decision_function(NEW), -ours.score_samples(NEW))
    np.testing.assert_array_equal(pyod.predict(NEW), ours.predict(NEW) == -1)
    np.testing.assert_array_equal(pyod.labels_, pyod.predict(ROWS))
    np.testing.assert_array_equal(pyod.labels_, pyod.fit_predict(ROWS))
    # as of training rows that are all equally far
    pyod.decision_scores_ = np.full(3, pyod.decision_function(NEW)[0])
    for method in ("linear", "unify"):
        assert np.isfinite(pyod.predict_proba(NEW, method)).all()
    with pytest.raises(ValueError, match="'linear' or 'unify'"):
        pyod.predict_proba(NEW, "quadratic")  # type: ignore[arg-type]


def test_pyod_answers_as_its_base_class_does() -> None:
    base = pytest.importorskip("pyod.models.base").BaseDetector
    ours = PyODFlowDetector(0.1).fit(ROWS)

    class Theirs(base):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__(0.1)

        def fit(self, X: Any, y: Any = None) -> Any:  # noqa: N803
            self._set_n_classes(y)
            self.decision_scores_ = self.decision_function(X)
            return self._process_decision_scores()

        def decision_function(self, X: Any) -> Any:  # noqa: N803
            return ours.decision_function(X)

    theirs = Theirs().fit(ROWS)
    assert ours.threshold_ == pytest.approx(theirs.threshold_)
    np.testing.assert_array_equal(ours.labels_, theirs.labels_)
    np.testing.assert_array_equal(ours.predict(NEW), theirs.predict(NEW))
    for method in ("linear", "unify"):
        np.testing.assert_allclose(
            ours.predict_proba(NEW, method), theirs.predict_proba(NEW, method)
        )


@pytest.mark.parametrize(
    "check", [check_no_attributes_set_in_init, check_dict_unchanged, check_fit2d_1sample]
)
def test_a_few_of_scikit_learn_s_checks_pass(check: Callable[[str, FlowDetector], None]) -> None:
    check("FlowDetector", FlowDetector())


@pytest.mark.long
def test_all_of_scikit_learn_s_checks_pass() -> None:
    check_estimator(FlowDetector())
