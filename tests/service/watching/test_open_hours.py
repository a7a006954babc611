"""Rows wait until their hour is over, and come in random order; what waits is bounded."""

import numpy as np
import pytest

from service.types import Float64
from service.watching.open_hours import (
    MAX_HOUR_ROWS,
    MAX_IDLE_SECONDS,
    MAX_OPEN_SECONDS,
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
    found = hours.over(now)
    assert found is not None
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
    assert sorted(take(hours, np.array([11.5 * HOUR, 12.5 * HOUR]), first=10)) == [
        0,
        1,
        2,
        3,
        4,
        6,
        8,
        9,
    ]


def test_rows_without_a_time_do_not_wait() -> None:
    assert sorted(take(new(), np.array([np.nan, 5.0, np.nan]))) == [0, 2]


def test_an_hour_ends_by_the_clock() -> None:
    hours = new()
    take(hours, np.array([5.0]), now=100.0)
    take(hours, np.array([6.0]), now=200.0)
    assert not hours.is_due(200 + MAX_IDLE_SECONDS - 1)
    assert hours.over(200 + MAX_IDLE_SECONDS - 1).scores.size == 0  # type: ignore[union-attr]
    assert hours.is_due(200 + MAX_IDLE_SECONDS)
    found = hours.over(200 + MAX_IDLE_SECONDS)
    assert found is not None
    assert sorted(found.scores) == [0, 0]
    assert not hours.is_due(1e9)
    assert len(hours) == 0
    for now in np.arange(0, MAX_OPEN_SECONDS, MAX_IDLE_SECONDS / 2):
        assert take(hours, np.array([7.0]), now=1e6 + now) == []
    assert len(take(hours, np.array([7.0]), now=1e6 + MAX_OPEN_SECONDS)) > 20


def test_of_an_hour_with_too_many_rows_some_are_drawn_wherever_they_stand() -> None:
    hours, number = new(), 10 * MAX_HOUR_ROWS
    for start in range(0, number, 500):
        part = np.arange(start, min(number, start + 500))
        take(hours, HOUR * part / number, first=start)
        assert len(hours) <= 2 * MAX_HOUR_ROWS + 500
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
