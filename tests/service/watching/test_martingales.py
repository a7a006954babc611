"""Betting is fair, loses no capital and is the same however rows are divided."""

import math
from itertools import pairwise

import numpy as np
import pytest

from service.watching import martingales
from service.watching.martingales import (
    BLOCK_ROWS,
    DIRECTIONS,
    MIN_P,
    TAIL,
    Martingales,
    betting_factors,
    unbet,
)


def test_every_bet_is_fair() -> None:
    # Gauss and Legendre on pieces: the functions jump at the tail's end, and rise towards 0
    nodes, weights = np.polynomial.legendre.leggauss(60)
    ends = [0, MIN_P, *np.geomspace(1e-8, TAIL / 2, 12), TAIL, 0.1, 1]
    mean = np.zeros(len(DIRECTIONS))
    for low, high in pairwise(ends):
        p = low + (high - low) * (nodes + 1) / 2
        mean += (high - low) / 2 * weights @ betting_factors(p)
    assert (betting_factors(np.linspace(0, 1, 1001)) >= 0).all()
    np.testing.assert_allclose(mean, 1, atol=2e-5)
    assert (mean <= 1 + 1e-12).all()  # a bet on MIN_P in place of less loses


def test_capital_that_no_bet_changes_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        martingales, "betting_factors", lambda p: np.ones((*p.shape, len(DIRECTIONS)))
    )
    bets = Martingales(2)
    np.testing.assert_allclose(bets.bet(np.full((1000, 2), 0.5)), 0, atol=1e-12)
    assert unbet(0) == 1
    assert 0 < unbet(10**9) < unbet(10**6) < unbet(1)


def test_however_rows_are_divided_the_capital_is_the_same() -> None:
    p = np.random.default_rng(0).random((5 * BLOCK_ROWS + 3, 3)) ** [1.0, 1.3, 0.8]
    whole = Martingales(3)
    logs = whole.bet(p)
    parts = Martingales(3)
    divided = [parts.bet(p[i : i + 19]) for i in range(0, len(p), 19)]
    np.testing.assert_allclose(np.concatenate(divided), logs, rtol=1e-9)
    np.testing.assert_allclose(parts.log_capital, whole.log_capital, rtol=1e-9)
    np.testing.assert_allclose(whole.log_capital, logs[-1], rtol=1e-9)


def test_capital_is_the_product_of_the_bets() -> None:
    p = np.random.default_rng(1).random((BLOCK_ROWS, 1))
    begun = (unbet(0) - unbet(1)) / len(DIRECTIONS)
    products = np.cumprod(betting_factors(p[:, 0]), axis=0)
    expected = np.log(unbet(1) + begun * products.sum(1))
    np.testing.assert_allclose(Martingales(1).bet(p)[:, 0], expected, rtol=1e-12)


@pytest.mark.parametrize("p", [0.0, 1e-300, 0.5, 1.0])
def test_the_same_p_value_without_end_stays_finite(p: float) -> None:
    bets = Martingales(1)
    logs = bets.bet(np.full((20_000, 1), p))
    assert np.isfinite(logs).all()
    assert logs[-1, 0] > 1000
    assert np.isfinite(bets.log_capital).all()


def test_what_is_won_by_says_what_has_changed() -> None:
    bets = Martingales(3)
    u = np.random.default_rng(2).random((2000, 1))
    centred = 0.5 + np.sign(u - 0.5) * np.abs(u - 0.5) ** 0.7 * 0.5**0.3
    bets.bet(np.hstack([u**1.3, 1 - u**1.3, centred]))
    assert bets.directions.tolist() == [1, -1, 0]


@pytest.mark.parametrize(
    ("streams", "rows"), [(300, 1000), pytest.param(1000, 10_000, marks=pytest.mark.long)]
)
def test_streams_of_uniform_p_values_raise_few_alarms(streams: int, rows: int) -> None:
    bets, random, largest = Martingales(streams), np.random.default_rng(4), np.zeros(streams)
    for _ in range(0, rows, 500):
        largest = np.maximum(largest, bets.bet(random.random((500, streams))).max(0))
    for threshold in (10, 100):  # of 1,000 streams at most 21 at a threshold of 100
        n = streams / threshold
        assert (largest >= math.log(threshold)).sum() <= n + 3.5 * math.sqrt(n)
