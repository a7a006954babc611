"""Classes by the hour: which are taken, which class a row is of, and what is refused."""

import numpy as np
import pytest

from service.conformal import hour_classes, hours_from_array, hours_to_array
from service.conformal.hours import DAY_HOURS, HOUR, MIN_CLASS_ROWS, WEEK_HOURS
from service.types import Float64

DAY = 86400.0
MONDAY = 4 * DAY  # 1970-01-05


def times_of(days: int, a_day: int, hours: tuple[int, ...] = (7, 8, 20)) -> Float64:
    """Times of so many rows a day, in so many days, all in some hours."""
    random = np.random.default_rng(0)
    of_day = random.choice(hours, size=(days, a_day)) * HOUR + random.uniform(0, HOUR)
    return np.asarray((MONDAY + DAY * np.arange(days)[:, None] + of_day).ravel())


@pytest.mark.parametrize(
    ("times", "cycle"),
    [
        (times_of(28, 40), WEEK_HOURS),
        (times_of(28, 20), DAY_HOURS),  # too few rows of an hour of the week
        (times_of(8, 400), DAY_HOURS),  # one of most weekdays
        (times_of(28, 3), None),  # too few of an hour of the day
        (times_of(1, 400), None),  # one day
        (times_of(28, 40, (7,)) // DAY * DAY, WEEK_HOURS),  # dates, of different weekdays
        (times_of(28, 40, (7,))[::7] // (7 * DAY) * 7 * DAY, None),  # all of one hour of the week
        (np.full(500, np.nan), None),
    ],
)
def test_the_longest_cycle_is_taken_whose_classes_have_rows(
    times: Float64, cycle: int | None
) -> None:
    found = hour_classes(3, times, None, np.zeros((len(times), 1)), np.random.default_rng(0))
    assert (None if found is None else found.cycle) == cycle
    if found is not None:
        assert found.column == 3
        assert len(times) / len(found.hours) >= MIN_CLASS_ROWS
        assert sum(urns[0].gaps.sum() - 1 for urns in found.urns) == len(times)


def test_each_class_of_a_calibration_has_hours_of_its_own() -> None:
    times = times_of(28, 40)
    classes = np.random.default_rng(1).choice([0.0, 2.0], size=len(times))
    values = np.column_stack([times, classes])
    found = hour_classes(0, times, classes, values, np.random.default_rng(0))
    assert found is not None
    assert found.cycle == DAY_HOURS  # of the week, classes would be too small
    assert len(found.hours) == 6
    number = found.number(times, classes)
    for i, (hour, its_class) in enumerate(zip(found.hours, found.classes, strict=True)):
        of = number == i
        assert set(times[of] // HOUR % DAY_HOURS) == {hour}
        assert set(classes[of]) == {its_class}
        assert found.urns[i][0].gaps.sum() == of.sum() + 1
        assert np.isin(found.urns[i][0].edges.real, times[of]).all()


def test_rows_of_no_class_are_told_and_those_without_a_time() -> None:
    times = times_of(28, 40)
    times[::10] = np.nan
    found = hour_classes(0, times, None, times[:, None], np.random.default_rng(0))
    assert found is not None
    of_week = found.number(np.array([MONDAY + 7.5 * HOUR, MONDAY + 10 * HOUR, np.nan]), None)
    assert found.hours[of_week[0]] == (MONDAY + 7 * HOUR) // HOUR % found.cycle
    assert of_week[1] == len(found.hours)
    assert of_week[2] == len(found.hours)
    again = found.number(np.array([MONDAY + 21 * DAY + 7.1 * HOUR, 1e300, -1e300]), None)
    assert again[0] == of_week[0]
    other_class = found.number(np.array([MONDAY + 7.5 * HOUR]), np.array([3.0]))
    assert other_class[0] == len(found.hours)


@pytest.mark.parametrize(("whole", "span"), [(3600.0, 3600.0), (DAY, DAY)])
def test_dates_are_of_a_day(whole: float, span: float) -> None:
    times = times_of(56, 40) // whole * whole
    times[::10] = np.nan
    found = hour_classes(0, times, None, times[:, None], np.random.default_rng(0))
    assert found is not None
    assert found.span == span


TIMES = times_of(28, 20)
RANDOM = np.random.default_rng(0)
VALUES = np.column_stack(
    [RANDOM.normal(size=len(TIMES)), RANDOM.choice([0, 1, np.nan], len(TIMES))]
)
CLASSES = hour_classes(2, TIMES, None, VALUES, RANDOM)
assert CLASSES is not None
ARRAY = hours_to_array(CLASSES)


def test_classes_are_read_as_they_were_written() -> None:
    assert CLASSES is not None
    found = hours_from_array(ARRAY)
    assert (found.column, found.cycle) == (CLASSES.column, CLASSES.cycle)
    np.testing.assert_array_equal(found.hours, CLASSES.hours)
    np.testing.assert_array_equal(found.classes, CLASSES.classes)
    for of, expected in zip(found.urns, CLASSES.urns, strict=True):
        for urn, other in zip(of, expected, strict=True):
            np.testing.assert_array_equal(urn.edges, other.edges)
            np.testing.assert_array_equal(urn.gaps, other.gaps)


def altered(row: int, value: float, place: int | slice = 0) -> Float64:
    array = ARRAY.copy()
    array[row, place] = value
    return array


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (ARRAY[:6], "expected 4"),
        (ARRAY[0], "expected 4"),
        (ARRAY[:, :0], "expected 4"),
        (ARRAY[:-1], "expected 3 D"),
        (altered(0, 0.5, slice(None)), "number of one column"),
        (altered(0, np.nan, slice(None)), "number of one column"),
        (altered(0, 3.0), "number of one column"),
        (altered(1, 24.5, slice(None)), "hours of a day"),
        (altered(1, np.nan), "hours of a day"),
        (altered(1, 168.0, 1), "hours of a day"),
        (altered(2, 24.0, -1), "whole hours"),
        (altered(2, np.nan), "whole hours"),
        (altered(2, 23.0), "ascending"),
        (altered(3, np.inf), "finite classes"),
        (altered(4, np.inf), "ascending"),
        (altered(-1, 0.0), "whole numbers from 1"),
    ],
)
def test_what_holds_no_classes_is_refused(array: Float64, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        hours_from_array(array)
