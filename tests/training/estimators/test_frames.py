"""Data frames: columns of any kind, by name."""

import pickle
import warnings
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bijecta_estimators import FlowDetector, PyODFlowDetector
from tests.helpers.fitted_detectors import small_parts

N = 60
RANDOM = np.random.default_rng(2)
SIZES = RANDOM.normal(size=N).tolist()
COLUMNS: dict[str, list[Any]] = {
    "id": list(range(7000, 7000 + N)),
    "when": [datetime(2026, 1, 1) + timedelta(minutes=int(m)) for m in RANDOM.integers(0, 9**6, N)],
    "colour": [["red", "green", "blue"][i] for i in RANDOM.integers(0, 3, N)],
    "count": [None if i % 7 == 0 else int(i) for i in RANDOM.integers(0, 9, N)],
    "open": [bool(i) for i in RANDOM.integers(0, 2, N)],
    "currency": [978] * N,
    "size": SIZES,
}
MODELLED = ["when", "colour", "count", "open", "size"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    small_parts(monkeypatch)


def frame(rows: slice = slice(None), **columns: Any) -> pa.Table:
    return pa.table({k: v[rows] for k, v in (COLUMNS | columns).items() if v is not None})


@pytest.fixture(scope="module")
def fitted() -> FlowDetector:
    with pytest.MonkeyPatch.context() as patch:
        small_parts(patch)
        with pytest.warns(UserWarning, match="is left out"):
            return FlowDetector().fit(frame())


def test_columns_of_every_kind_are_fitted_and_those_that_tell_nothing_are_named() -> None:
    with pytest.warns(UserWarning, match="is left out") as said:
        detector = FlowDetector().fit(frame())
    assert [str(each.message).partition(":")[0] for each in said] == [
        "column 'currency' is left out",
        "column 'id' is left out",
    ]
    assert [each.name for each in detector.columns_] == MODELLED
    assert sorted(each.name for each in detector.left_out_) == ["currency", "id"]
    assert detector.feature_names_in_.tolist() == list(COLUMNS)
    assert np.isfinite(detector.score_samples(frame())).all()
    assert (detector.predict(frame()) == -1).sum() == 6


def test_kinds_say_what_a_column_is_and_keep_it() -> None:
    with pytest.warns(UserWarning, match="'currency' is left out"):
        detector = FlowDetector(kinds={"count": "categorical", "id": "numeric"}).fit(frame())
    kinds = {each.name: each.kind for each in detector.columns_}
    assert (kinds["count"], kinds["id"]) == ("categorical", "numeric")


def test_the_types_of_columns_do_not_matter(fitted: FlowDetector) -> None:
    rows = slice(5, 25)
    other = frame(
        rows,
        when=[f"{time:%Y-%m-%dT%H:%M:%S}" for time in COLUMNS["when"]],
        count=[None if n is None else float(n) for n in COLUMNS["count"]],
        open=["true" if is_open else "false" for is_open in COLUMNS["open"]],
    )
    place = other.column_names.index("colour")
    other = other.set_column(place, "colour", other["colour"].dictionary_encode())
    scores = fitted.score_samples(frame(rows))
    np.testing.assert_array_equal(fitted.score_samples(other), scores)
    # so of new rows
    sizes = [size + 0.01 for size in SIZES]
    scores = fitted.score_samples(frame(rows, size=sizes))
    place = other.column_names.index("size")
    other = other.set_column(place, "size", [sizes[rows]])
    np.testing.assert_array_equal(fitted.score_samples(other), scores)


def test_a_frame_of_numbers_is_as_its_array() -> None:
    x = np.random.default_rng(3).normal(size=(40, 2))
    table = pa.table({"a": x[:, 0], "b": x[:, 1]})
    by_array, by_frame = PyODFlowDetector().fit(x), PyODFlowDetector().fit(table)
    np.testing.assert_array_equal(by_array.decision_scores_, by_frame.decision_scores_)
    with pytest.warns(UserWarning, match="valid feature names"):
        new = by_frame.decision_function(x + 1)
    np.testing.assert_array_equal(by_array.decision_function(x + 1), new)


def test_pickles_score_frames_as_before(fitted: FlowDetector) -> None:
    new = frame(size=SIZES[::-1])
    back = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(back.score_samples(new), fitted.score_samples(new))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"size": [None, *SIZES[1:]]}, "1 rows .*'size' never has, such as None in row 0"),
        ({"count": [0, 0.5, *[1] * (N - 2)]}, "1 rows .*'count' never has, such as 0.5 in row 1"),
        ({"currency": [978, 840, *[978] * (N - 2)]}, "1 rows .*'currency' .* 840 in row 1"),
    ],
)
def test_a_row_that_cannot_occur_is_an_outlier_and_its_value_named(
    fitted: FlowDetector, columns: dict[str, Any], said: str
) -> None:
    with pytest.warns(UserWarning, match=said):
        assert np.isneginf(fitted.score_samples(frame(**columns))).sum() == 1


def test_an_unknown_class_is_scored(fitted: FlowDetector) -> None:
    assert np.isfinite(fitted.score_samples(frame(colour=["violet"] * N))).all()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (frame(slice(0)), "0 rows: expected a minimum of 1"),
        (frame(size=None), "yet now missing:\n- size"),
        (frame(price=SIZES), "unseen at fit time:\n- price"),
        (frame().select([*MODELLED, "currency", "id"]), "same order"),
        (pa.table([SIZES] * 7, names=list("aabcdef")), "'a'"),
        (frame(size=["large"] * N), "row 0, column 'size': .*got 'large'"),
        (frame(size=[*SIZES[1:], np.inf]), f"row {N - 1}, column 'size': .*got inf"),
        (frame(when=[0] * N), "row 0, column 'when': .*got 0"),
        (np.zeros((3, 2)), "2 features"),
        (np.array([["a"] * 7]), "'a'"),
    ],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_what_cannot_be_scored_is_refused(fitted: FlowDetector, table: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fitted.predict(table)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (frame(slice(0)), "0 rows: expected a minimum of 10"),
        (frame(slice(9)), "9 rows: expected a minimum of 10"),
        (frame(size=[float("inf"), *SIZES[1:]]), "'size', row 0: expected finite numbers"),
        (frame(size=[[1.0]] * N), "'size' is of list"),
        (frame().select(["currency"]), "no column can be modelled; column 'currency': is 978"),
    ],
)
@pytest.mark.parametrize("kind", [FlowDetector, PyODFlowDetector])
def test_what_cannot_be_fitted_is_refused(kind: type[Any], table: pa.Table, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        kind().fit(table)


def test_frames_of_pandas_are_taken_without_their_index(fitted: FlowDetector) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(COLUMNS).astype({"colour": "category", "count": "Int64"})
    rows = table[table["open"]].sample(frac=1, random_state=0).set_index("size", drop=False)
    scores = fitted.score_samples(rows)
    taken = rows["id"].to_numpy() - 7000
    np.testing.assert_array_equal(scores, fitted.score_samples(frame())[taken])


@pytest.mark.parametrize("kind", [FlowDetector, PyODFlowDetector])
def test_warnings_name_the_line_that_asked(kind: type[Any]) -> None:
    detector = kind()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        detector.fit_predict(frame())
        detector.predict(frame(size=[None, *SIZES[1:]]))
        detector.decision_function(frame(size=[None, *SIZES[1:]]))
    assert [str(each.message)[:6] for each in caught] == ["column"] * 2 + ["1 rows"] * 2
    assert {each.filename for each in caught} == {__file__}
