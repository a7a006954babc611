"""p-values keep their promise exactly: by enumeration, with ties, within classes, of sketches."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.conformal import Calibration, tie_breakers
from tests.helpers.examples import examples

SCORES = st.lists(st.integers(0, 4), min_size=2, max_size=8)
"""Few values, so that most lists have ties."""


def array(values: list[int] | list[float]) -> np.ndarray:
    return np.array(values, np.float64)


def each_in_turn(scores: list[int]) -> list[tuple[Calibration, np.ndarray]]:
    """Each score as the row that is asked about, the others as the calibration."""
    return [
        (Calibration.of(array(scores[:i] + scores[i + 1 :])), array(scores[i : i + 1]))
        for i in range(len(scores))
    ]


@examples(25)
@given(SCORES)
def test_p_values_are_superuniform(scores: list[int]) -> None:
    # each row is as likely to be the last: the share of those with p ≤ k / n is at most k / n
    n = len(scores)
    p = [calibration.p_values(s)[0] for calibration, s in each_in_turn(scores)]
    for k in range(1, n + 1):
        assert sum(each <= Fraction(k, n) for each in p) <= k


@examples(25)
@given(SCORES)
def test_with_ties_drawn_p_values_are_uniform(scores: list[int]) -> None:
    n, draws = len(scores), math.lcm(*range(1, len(scores) + 1))
    # the middles of equal parts of (0, 1), which stand for a draw
    ties = (np.arange(draws) + 0.5) / draws
    p = np.concatenate(
        [calibration.p_values(np.repeat(s, draws), ties) for calibration, s in each_in_turn(scores)]
    )
    for k in range(n + 1):
        assert (p <= k / n).sum() == k * draws


@examples(25)
@given(SCORES, SCORES)
def test_p_values_count_as_they_say_and_fall_with_the_score(
    scores: list[int], asked: list[int]
) -> None:
    calibration, s = Calibration.of(array(scores)), array(sorted(asked))
    p = calibration.p_values(s)
    m = len(scores)
    assert p.tolist() == [(1 + sum(c >= each for c in scores)) / (m + 1) for each in s]
    assert (np.diff(p) <= 0).all()
    with_ties = calibration.p_values(s, np.ones(len(s)))
    assert with_ties.tolist() == p.tolist()  # the largest draw is what no draw is
    outside, unanswered = calibration.p_values(array([math.inf, math.nan]))
    assert outside == 1 / (m + 1)
    assert math.isnan(unanswered)


@examples(25)
@given(SCORES, SCORES, SCORES)
def test_classes_are_compared_within(of_a: list[int], of_b: list[int], asked: list[int]) -> None:
    scores, classes = array(of_a + of_b), array([3] * len(of_a) + [5] * len(of_b))
    order = np.argsort(scores[::-1], kind="stable")
    both = Calibration.of(scores[order], classes[order])
    s, ties = array(asked), tie_breakers(1, len(asked))
    for c, own in ((3.0, of_a), (5.0, of_b)):
        alone = Calibration.of(array(own))
        of = np.full(len(s), c)
        assert both.p_values(s, classes=of).tolist() == alone.p_values(s).tolist()
        assert both.p_values(s, ties, of).tolist() == alone.p_values(s, ties).tolist()
    unknown = np.full(len(s), 4.0)
    assert both.p_values(s, classes=unknown).tolist() == [1.0] * len(s)
    assert both.p_values(s, ties, unknown).tolist() == ties.tolist()


def test_classes_are_needed_where_there_are_some() -> None:
    alone, both = Calibration(array([1.0])), Calibration(array([1.0]), array([0.0]))
    with pytest.raises(ValueError, match="classes"):
        alone.p_values(array([1.0]), classes=array([0.0]))
    with pytest.raises(ValueError, match="classes"):
        both.p_values(array([1.0]))


def largest_error(sketch: Calibration) -> float:
    """By how much a p-value is above that of all rows, at most."""
    scores = len(sketch.scores)
    counts = np.ones(scores) if sketch.counts is None else sketch.counts
    classes = np.zeros(scores) if sketch.classes is None else sketch.classes
    of_class = [counts[classes == c] for c in np.unique(classes)]
    return max(float((each.max() - 1) / (each.sum() + 1)) for each in of_class)


@examples(25)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=60),
    st.integers(2, 16),
    st.booleans(),
    st.data(),
)
def test_a_sketch_is_off_by_less_than_two_of_its_scores(
    scores: list[int], most: int, has_classes: bool, data: st.DataObject
) -> None:
    n = len(scores)
    drawn = data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    classes = array(drawn) if has_classes else None
    exact = Calibration.of(array(scores), classes)
    sketch = Calibration.of(array(scores), classes, most)
    assert sketch.rows == exact.rows == n
    assert len(sketch.scores) <= most * (1 + has_classes)
    asked = np.arange(-1.0, 32)
    for ties in (None, tie_breakers(7, len(asked))):
        for c in (0.0, 1.0):
            of = np.full(len(asked), c) if has_classes else None
            more = sketch.p_values(asked, ties, of) - exact.p_values(asked, ties, of)
            assert (more >= -1e-15).all()
            assert (more <= largest_error(sketch) + 1e-15).all()
    assert largest_error(sketch) < 2 / most
    assert [sketch.rows_of(c) for c in (0, 1)] == [exact.rows_of(c) for c in (0, 1)]
    again = Calibration.from_array(sketch.to_array(), sketch.has_classes)
    assert again.to_array().tolist() == sketch.to_array().tolist()
    # of the largest ones nothing is left out; one that is as large as another below stands for more
    if not has_classes:
        ordered, first = sorted(scores), max(n - most // 2, 0)
        largest = array([s for s in ordered[first:] if first == 0 or s > ordered[first - 1]])
        assert sketch.p_values(largest).tolist() == exact.p_values(largest).tolist()


def test_ties_are_drawn_by_the_number_of_the_row() -> None:
    long = tie_breakers(11, 1000)
    assert tie_breakers(11, 10).tolist() == long[:10].tolist()
    for first in (0, 1, 3, 4, 5, 998):
        assert tie_breakers(11, 1000 - first, first).tolist() == long[first:].tolist()
    assert (long > 0).all()
    assert (long <= 1).all()
    assert tie_breakers(12, 10).tolist() != long[:10].tolist()


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(0),
        np.zeros((1, 3)),
        np.zeros((4, 3)),
        np.zeros((2, 2, 2)),
        array([1.0, 0.0]),
        array([0.0, math.nan]),
        np.zeros(3, np.float32),
        np.array([[0.0, 1.0], [0.0, math.inf]]),
        np.array([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]]),
        np.array([[0.0, 1.0], [0.0, 0.0], [1.0, 1.5]]),
        np.array([[0.0, 1.0], [0.0, 0.0], [1.0, 1e300]]),
    ],
)
def test_arrays_that_are_no_calibration_are_refused(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        Calibration.from_array(values, has_classes=True)
