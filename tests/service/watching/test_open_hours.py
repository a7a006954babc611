"""Rows wait until their hour is over, and come in random order; what waits is bounded."""

import numpy as np
import pytest

from service.types import Float64
from service.watching.open_hours import (
    LATE_SECONDS,
    MAX_HOUR_ROWS,
    MAX_IDLE_SECONDS,
    MAX_OPEN_HOURS,
    MAX_WAITING_ROWS,
    OpenHours,
    Rows,
)

HOUR = 3600.0


def rows(times: Float64, first: int = 0) -> Rows:
    """Rows that can be told apart by their scores."""
    numbers = np.arange(first, first + len(times), dtype=np.float64)
    return Rows(numbers, None, np.stack([numbers, -numbers], axis=1), times)


def new() -> OpenHours:
    return OpenHours(np.random.default_rng(0))


def take(hours: OpenHours, times: Float64, now: float = 0.0, first: int = 0) -> list[float]:
    """Scores of the rows that come out."""
    hours.add(rows(times, first), now)
    if (found := hours.over(now)) is None:
        return []
    assert found.values is not None
    np.testing.assert_array_equal(found.values[:, 1], -found.scores)
    scores: list[float] = found.scores.tolist()
    return scores


def test_rows_of_an_hour_come_in_random_order_once_two_later_hours_have_begun() -> None:
    hours = new()
    assert take(hours, np.linspace(0, HOUR - 1, 100)) == []
    assert take(hours, np.full(3, 1.5 * HOUR), first=100) == []
    found = take(hours, np.array([2.5 * HOUR]), first=103)
    assert sorted(found) == list(range(100))
    # exchangeable: neither half of the hour comes first
    assert 20 < sum(score < 50 for score in found[:50]) < 30
    assert len(hours) == 4


def test_a_late_row_is_taken_and_the_hour_of_now_goes_on() -> None:
    hours = new()
    take(hours, np.full(5, 10.5 * HOUR))
    assert take(hours, np.array([3.5 * HOUR, 10.6 * HOUR, 4.5 * HOUR]), first=5) == [5]
    assert take(hours, np.array([10.7 * HOUR, 1e9 * HOUR]), first=8) == [7]
    found = take(hours, np.array([11.5 * HOUR, 12.5 * HOUR]), first=10)
    assert sorted(found) == [*range(5), 6, 8]
    assert len(hours) == 3  # and the one whose time is wrong waits for the clock


@pytest.mark.parametrize("are_late", [True, False])
def test_rows_that_come_late_or_by_another_clock_end_no_hour(are_late: bool) -> None:
    random, hours = np.random.default_rng(0), new()
    times = 1000 * HOUR + np.linspace(0, 3 * HOUR, 3000, endpoint=False)
    of_hour = [set(range(i, i + 1000)) for i in (0, 1000, 2000)]
    is_other = random.random(3000) < 0.05
    times[is_other] += -200 * HOUR * random.random(is_other.sum()) if are_late else 7 * HOUR
    others = set(np.flatnonzero(is_other).tolist())
    found = [take(hours, times[at : at + 20], first=at) for at in range(0, 3000, 20)]
    found.append(hours.over(1e9).scores.tolist())  # type: ignore[union-attr]
    parts = [part for each in found if (part := set(each) - others)]
    assert parts[0] == of_hour[0] - others
    assert set.union(*parts[1:]) == (of_hour[1] | of_hour[2]) - others
    assert len(parts) <= 3


def test_hours_end_whatever_their_order() -> None:
    hours = new()
    for i in range(100):
        take(hours, np.full(2, (200.5 - i) * HOUR), first=2 * i)
        assert len(hours) <= 2 * MAX_OPEN_HOURS


def test_of_hours_with_many_rows_few_wait() -> None:
    hours, random = new(), np.random.default_rng(0)
    for _ in range(40):
        take(hours, HOUR * (30 - np.arange(10).repeat(300) + random.random(3000)))
        assert len(hours) <= MAX_WAITING_ROWS


def test_rows_without_a_time_do_not_wait() -> None:
    assert sorted(take(new(), np.array([np.nan, 5.0, np.nan]))) == [0, 2]


def test_an_hour_ends_by_the_clock() -> None:
    hours = new()
    take(hours, np.array([5.0]), now=100.0)
    take(hours, np.array([6.0]), now=200.0)
    assert not hours.is_due(200 + MAX_IDLE_SECONDS - 1)
    assert hours.over(200 + MAX_IDLE_SECONDS - 1) is None
    assert hours.is_due(200 + MAX_IDLE_SECONDS)
    found = hours.over(200 + MAX_IDLE_SECONDS)
    assert found is not None
    assert sorted(found.scores) == [0, 0]
    assert not hours.is_due(1e9)
    assert len(hours) == 0
    for now in np.arange(0, HOUR + LATE_SECONDS, MAX_IDLE_SECONDS / 2):
        assert take(hours, np.array([7.0]), now=1e6 + now) == []
    assert len(take(hours, np.array([7.0]), now=1e6 + HOUR + LATE_SECONDS)) > 20


def test_rows_of_dates_wait_for_the_end_of_their_day() -> None:
    hours, day = OpenHours(np.random.default_rng(0), 24 * HOUR), np.zeros(1)
    for now in np.arange(0, 24 * HOUR, MAX_IDLE_SECONDS / 2):
        assert take(hours, day, now=now) == []
    assert len(take(hours, day, now=24 * HOUR + LATE_SECONDS)) > 500


def test_of_an_hour_with_too_many_rows_some_are_drawn_wherever_they_stand() -> None:
    hours, number = new(), 10 * MAX_HOUR_ROWS
    for start in range(0, number, 500):
        part = np.arange(start, min(number, start + 500))
        take(hours, HOUR * part / number, first=start)
        assert len(hours) <= MAX_WAITING_ROWS
    found = take(hours, np.array([1.5 * HOUR, 2.5 * HOUR]), first=number)
    assert len(set(found)) == MAX_HOUR_ROWS
    tenths = np.bincount((10 * np.array(found) / number).astype(int), minlength=10)
    expected = MAX_HOUR_ROWS / 10
    assert ((tenths - expected) ** 2 / expected).sum() < 33.7  # 99.99 % of χ² of 9 degrees


@pytest.mark.parametrize("number", [1, 300])
def test_all_rows_come_once_whatever_their_order(number: int) -> None:
    hours, random, found, total = new(), np.random.default_rng(1), [], 300 + 5 * number
    for start in range(0, total, number):
        times = random.uniform(0, 100 * HOUR, number)
        found += take(hours, times, first=start)
    assert len(hours) < 600
    assert sorted(found + list(hours.over(1e9).scores)) == list(range(total))  # type: ignore[union-attr]
