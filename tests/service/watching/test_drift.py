"""Drift of scores and of columns is found soon, and none where there is none."""

import math

import numpy as np
import pytest

from service.bundle import MAX_WATCHED_COLUMNS
from service.conformal import Calibration, column_urns, hour_classes
from service.types import Float64
from service.watching.drift import REFERENCE_ROWS, DriftTest
from service.watching.open_hours import Rows

COLUMNS = ["amount", "age", "hour", "distance"]


def score_of(x: Float64) -> Float64:
    return np.asarray((x * x).sum(1) / 2)


def new_test(
    seed: int,
    width: int = 4,
    m: int = 1000,
    has_reference: bool = False,
    threshold: float = 100,
) -> DriftTest:
    rows = np.random.default_rng(seed).normal(size=(m, width))
    calibration = Calibration.of(score_of(rows))
    reference = column_urns(rows, np.random.default_rng(seed)) if has_reference else None
    columns = COLUMNS if width == 4 else [str(i) for i in range(width)]
    random = np.random.default_rng(seed + 10**6)
    return DriftTest(calibration, columns, reference, threshold, random)


def stream(seed: int, rows: int, width: int = 4) -> Float64:
    return np.random.default_rng(seed + 10**9).normal(size=(rows, width))


def take(test: DriftTest, x: Float64) -> DriftTest:
    for start in range(0, len(x), 500):
        part = x[start : start + 500]
        test.take(Rows(score_of(part), None, part))
    return test


@pytest.mark.parametrize("before", [1000, pytest.param(20_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("column", [0, 3])
def test_half_a_deviation_in_one_column_is_found_within_2000_rows(before: int, column: int) -> None:
    delays = []
    for seed in range(5):
        x = stream(seed, before + 2000)
        x[before:, column] -= 0.5
        alarm = take(new_test(seed), x).alarm
        assert alarm is None or (alarm.column, alarm.direction) == (COLUMNS[column], -1)
        delays.append(math.inf if alarm is None else alarm.rows - before)
    assert 0 < np.median(delays) <= 400  # 130 to 200, measured


def test_with_a_reference_a_change_is_found_that_was_there_from_the_first_row() -> None:
    delays = []
    for seed in range(5):
        x = stream(seed, 2000)
        x[:, 2] += 0.5
        alarm = take(new_test(seed, has_reference=True), x).alarm
        assert alarm is None or (alarm.column, alarm.direction) == ("hour", 1)
        delays.append(math.inf if alarm is None else alarm.rows)
    assert 0 < np.median(delays) <= 300
    assert take(new_test(0), x).alarm is None  # the stream alone cannot know


def test_scores_that_become_larger_are_found_at_the_stream_s_begin() -> None:
    delays = []
    for seed in range(5):
        test = new_test(seed)
        scores = score_of(stream(seed, 2000) * 1.25)
        test.take(Rows(scores, None, None))
        assert test.alarm is not None
        assert (test.alarm.column, test.alarm.direction) == (None, 1)
        delays.append(test.alarm.rows)
    assert np.median(delays) <= 300


@pytest.mark.parametrize(
    ("streams", "rows", "most"),
    [(5, 3000, 1), pytest.param(100, 10_000, 5, marks=pytest.mark.long)],
)
def test_streams_without_a_change_raise_few_alarms(streams: int, rows: int, most: int) -> None:
    tests = [take(new_test(seed, m=300), stream(seed, rows)) for seed in range(streams)]
    assert sum(test.alarm is not None for test in tests) <= most


def test_values_that_go_missing_are_a_change_of_their_column() -> None:
    x = stream(0, 3000)
    x[:, 1] = np.round(x[:, 1])
    x[1500:, 1][np.random.default_rng(5).random(1500) < 0.2] = np.nan
    test = new_test(0)
    test.take(Rows(score_of(stream(1, 3000)), None, x))
    assert test.alarm is not None
    assert test.alarm.column == "age"


def test_within_classes_other_shares_of_them_are_no_change() -> None:
    random = np.random.default_rng(0)
    classes = np.repeat([0.0, 3.0], 500)
    calibration = Calibration.of(random.normal(size=1000) + 5 * classes, classes)
    test = DriftTest(calibration, [], None, 100, random)
    others = random.choice([0.0, 3.0], size=3000, p=[0.05, 0.95])
    others[::20] = 7.0  # a class without a calibration
    test.take(Rows(random.normal(size=3000) + 5 * others, others, None))
    assert test.alarm is None
    # the same scores, all taken for one class, have changed
    test.take(Rows(random.normal(size=1000), np.full(1000, 3.0), None))
    assert test.alarm is not None


def test_rows_without_a_score_are_passed_over() -> None:
    x = stream(0, 50)
    scores = score_of(x)
    scores[::5] = np.nan
    test = new_test(0)
    test.take(Rows(scores, None, x))
    test.take(Rows(np.full(3, np.nan), None, x[:3]))
    assert test.rows == 40


def test_of_rows_with_many_columns_the_score_alone_is_watched() -> None:
    test = take(new_test(0, MAX_WATCHED_COLUMNS + 1), stream(0, 10, MAX_WATCHED_COLUMNS + 1))
    assert len(test.changes()) == 1
    assert test.changes()[0].column is None


@pytest.mark.parametrize("has_reference", [False, True])
@pytest.mark.parametrize("rows", [0, 10, REFERENCE_ROWS, REFERENCE_ROWS + 70])
def test_a_test_goes_on_from_its_state(rows: int, has_reference: bool) -> None:
    before = take(new_test(0, has_reference=has_reference), stream(0, rows))
    after = new_test(1, has_reference=has_reference)
    after.restore(before.state())
    assert after.changes() == before.changes()
    assert (after.rows, after.largest) == (before.rows, before.largest)
    for key, array in after.state().items():
        np.testing.assert_array_equal(array, before.state()[key])
    x = stream(2, 3000)
    x[:, 0] += 0.5
    x[1500:, 0] += 1
    assert (take(after, x[:1500]).alarm is None) == (not has_reference)
    assert take(after, x[1500:]).alarm is not None


@pytest.mark.parametrize("has_reference", [False, True])
@pytest.mark.parametrize("rows", [REFERENCE_ROWS - 1, REFERENCE_ROWS + 70])
def test_no_value_of_a_row_is_in_a_state(rows: int, has_reference: bool) -> None:
    x = stream(0, rows)
    state = take(new_test(0, has_reference=has_reference), x).state()
    reference = np.random.default_rng(0).normal(size=(1000, 4))
    for name, array in state.items():
        assert not np.isin(array.real, np.concatenate([x, reference])).any(), name


def test_capital_goes_on_where_the_reference_begins_anew() -> None:
    x = stream(0, REFERENCE_ROWS + 100)
    x[REFERENCE_ROWS:, 1] += 0.5
    before = take(new_test(0), x)

    def of_columns(test: DriftTest) -> dict[str | None, float]:
        return {each.column: each.log_martingale for each in test.changes() if each.column}

    after = new_test(1)
    after.restore(before.state())
    then = of_columns(before)
    assert then["age"] > max(then["amount"], then["hour"], then["distance"]) + 1
    take(after, stream(1, REFERENCE_ROWS))
    assert of_columns(after) == then
    take(after, stream(2, 64))
    assert of_columns(after) == pytest.approx(then, abs=3)
    assert of_columns(after) != then


def test_a_reference_of_the_first_rows_does_not_keep_them_in_memory() -> None:
    test = take(new_test(0), stream(0, REFERENCE_ROWS))
    kept = test._first_values
    assert kept.size == 0
    assert kept.base is None or kept.base.size == 0


def test_with_a_lower_threshold_after_a_restart_an_alarm_is_of_rows_that_reach_it() -> None:
    before = take(new_test(0, has_reference=True), stream(0, 200))
    before.largest = math.log(50)  # reached once, and lost since
    after = new_test(1, has_reference=True, threshold=20)
    after.restore(before.state())
    assert take(after, stream(1, 10)).alarm is None
    x = stream(2, 1000)
    x[:, 2] += 1
    alarm = take(after, x).alarm
    assert alarm is not None
    assert alarm.log_martingale >= math.log(20)
    assert (alarm.column, alarm.direction) in [("hour", 1), (None, 1)]
    assert after.largest >= math.log(50)


@pytest.mark.parametrize("has_reference", [False, True])
def test_a_state_of_another_bundle_changes_nothing(has_reference: bool) -> None:
    def tested(width: int = 4, m: int = 1000) -> DriftTest:
        return take(new_test(0, width, m, has_reference), stream(0, 1200, width))

    test = tested()
    state, kept = test.state(), {key: np.copy(array) for key, array in test.state().items()}
    wrong = [
        tested(m=500).state(),
        tested(5).state(),
        {key: array for key, array in state.items() if key != "scores.bets"},
        {key: array for key, array in state.items() if key != "values.rows"},
        state | {"scores.counts": state["scores.counts"] * np.nan},
        state | {"scores.counts": state["scores.counts"] * 0},
        state | {"scores.bets": -state["scores.bets"]},
        state | {"values.scale": state["values.scale"].astype(np.float32)},
        state | {"rows": np.array(3)},
        state | {"rows": np.array("many")},
        state | {"largest": np.array([1.0, 2.0])},
    ]
    if has_reference:
        wrong.append(state | {"values.counts": state["values.counts"] * np.inf})
        wrong.append({key: array for key, array in state.items() if key != "values.counts"})
    for each in wrong:
        with pytest.raises((KeyError, ValueError, TypeError)):
            test.restore(each)
        for key, array in test.state().items():
            np.testing.assert_array_equal(array, kept[key])


HOURS = (8, 9, 10, 14, 20)
MEANS = np.array([-3.0, -1.0, 0.0, 2.0, 4.0])
"""Of the first column, in each of these hours; it goes on to rise within each."""


def course(seed: int, days: int, a_day: int, first: int = 0) -> tuple[Float64, Float64]:
    """Rows of days in the order of their times, and their times."""
    random = np.random.default_rng(seed)
    hour = random.integers(0, len(HOURS), (days, a_day))
    within = random.random(hour.shape)
    day = 86400.0 * (first + np.arange(days)[:, None])
    times = (day + 3600 * (np.array(HOURS)[hour] + within)).ravel()
    x = random.normal(size=(days * a_day, 4))
    x[:, 0] += MEANS[hour.ravel()] + within.ravel()
    order = np.argsort(times)
    return x[order], times[order]


def by_hour(seed: int, columns: int = 4, threshold: float = 100) -> DriftTest:
    x, times = course(seed, 30, 60)
    random = np.random.default_rng(seed)
    values = np.column_stack([score_of(x), x[:, :columns]])
    hours = hour_classes(9, times, None, values, random)
    assert hours is not None
    assert hours.cycle == 168
    reference = column_urns(x, random)
    return DriftTest(Calibration.of(score_of(x)), COLUMNS, reference, threshold, random, hours)


def take_in_order(test: DriftTest, x: Float64, times: Float64) -> DriftTest:
    for start in range(0, len(x), 100):
        part = slice(start, start + 100)
        test.take(Rows(score_of(x[part]), None, x[part], times[part]), float(times[part][-1]))
    return test


@pytest.mark.parametrize(
    ("streams", "days", "a_day", "most"),
    [
        (2, 30, 60, 0),
        (1, 2, 3000, 0),  # the course within an hour would show
        pytest.param(100, 90, 60, 4, marks=pytest.mark.long),
        pytest.param(20, 7, 3000, 2, marks=pytest.mark.long),
    ],
)
def test_a_daily_course_is_no_change_by_the_hour(
    streams: int, days: int, a_day: int, most: int
) -> None:
    alarms = 0
    for seed in range(streams):
        x, times = course(seed + 1000, days, a_day, first=35)
        alarms += take_in_order(by_hour(seed), x, times).alarm is not None
    assert alarms <= most
    assert take(new_test(0), x[:1000]).alarm is not None  # of all hours together it is one


@pytest.mark.parametrize("column", [0, 2])
def test_half_a_deviation_in_one_column_is_found_by_the_hour(column: int) -> None:
    delays = []
    for seed in range(3):
        x, times = course(seed + 1000, 60, 60, first=35)
        x[1000:, column] += 0.5
        alarm = take_in_order(by_hour(seed), x, times).alarm
        assert alarm is None or (alarm.column, alarm.direction) == (COLUMNS[column], 1)
        delays.append(math.inf if alarm is None else alarm.rows - 1000)
    assert 0 < np.median(delays) <= 500


def test_rows_of_hours_that_the_calibration_lacks_change_nothing() -> None:
    x, times = course(1, 30, 60, first=35)
    test = take_in_order(by_hour(0), 5 + x, times + 4 * 3600 + 86400 * 1000)
    known = np.isin((times + 4 * 3600) // 3600 % 24, HOURS)
    assert known.any()
    other = by_hour(0)
    of = ~known
    assert take_in_order(other, 5 + x[of], times[of] + 4 * 3600).alarm is None
    assert 500 < other.unknown_rows == other.rows
    assert 0 < test.unknown_rows < test.rows
    assert test.alarm is not None
    again = by_hour(0)
    again.restore(other.state())
    assert again.unknown_rows == other.unknown_rows
    before = other.state()
    del before["unknown_rows"]
    again.restore(before)
    assert again.unknown_rows == 0
    with pytest.raises(ValueError, match="do not add up"):
        again.restore(before | {"unknown_rows": np.array(1 + other.rows)})


def test_by_the_hour_columns_are_watched_where_their_values_are_known() -> None:
    assert [change.column for change in by_hour(0, columns=0).changes()] == [None]
    x, times = course(1, 2, 60, first=35)
    assert take_in_order(by_hour(0, columns=0), x, times).alarm is None


def test_a_test_by_the_hour_goes_on_from_its_state_without_the_rows_that_wait() -> None:
    x, times = course(1, 40, 60, first=35)
    before = take_in_order(by_hour(0), x[:1000], times[:1000])
    assert before.waiting_rows > 0
    assert before.rows + before.waiting_rows == 1000
    state = before.state()
    for name, array in state.items():
        assert not np.isin(array, x).any(), name
    after = by_hour(0)
    after.restore(state)
    assert after.changes() == before.changes()
    assert (after.rows, after.waiting_rows) == (before.rows, 0)
    x[1000:, 1] += 1
    assert take_in_order(after, x[1000:], times[1000:]).alarm is not None


def test_states_by_the_hour_and_by_none_are_told_apart() -> None:
    for test, other in [(by_hour(0), new_test(0)), (new_test(0), by_hour(0))]:
        with pytest.raises(ValueError, match="by the hour"):
            test.restore(other.state())


def test_the_clock_ends_an_hour() -> None:
    x, times = course(1, 1, 60, first=35)
    test = by_hour(0)
    test.take(Rows(score_of(x[:5]), None, x[:5], np.full(5, times[0])), 0.0)
    assert (test.rows, test.is_due(10.0)) == (0, False)
    test.take_over(10.0)
    assert test.rows == 0
    assert test.is_due(400.0)
    test.take_over(400.0)
    assert (test.rows, test.waiting_rows) == (5, 0)
