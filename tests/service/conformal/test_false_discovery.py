"""Benjamini and Hochberg's procedure against its definition, and its promise by enumeration."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.conformal import benjamini_hochberg, discovery_limit
from tests.helpers.examples import examples


def by_definition(p: list[float], rate: float) -> list[bool]:
    """The k smallest p-values, k the largest with p_(k) ≤ rate k / n."""
    n = len(p)
    order = sorted(range(n), key=p.__getitem__)
    k = max((i for i in range(1, n + 1) if p[order[i - 1]] <= rate * i / n), default=0)
    limit = p[order[k - 1]] if k else -1.0
    return [each <= limit for each in p]


@examples(25)
@given(
    st.lists(st.sampled_from([i / 40 for i in range(1, 41)]), max_size=30),
    st.sampled_from([0.01, 0.05, 0.1, 0.25, 0.5]),
)
def test_discoveries_are_those_of_the_definition(p: list[float], rate: float) -> None:
    assert benjamini_hochberg(np.array(p), rate).tolist() == by_definition(p, rate)


@examples(25)
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20))
def test_what_is_no_row_counts_for_nothing(p: list[float]) -> None:
    found = benjamini_hochberg(np.array([np.nan, *p, np.nan]), 0.2)
    assert not found[[0, -1]].any()
    assert found[1:-1].tolist() == benjamini_hochberg(np.array(p), 0.2).tolist()


def test_the_share_of_false_discoveries_is_the_rate_times_the_share_of_normal_rows() -> None:
    # three normal rows, each p of tenths as likely, and an anomaly whose p is the smallest there is
    grid, rate, total = [i / 10 for i in range(1, 11)], 0.4, 0.0
    for normal in product(grid, repeat=3):
        found = benjamini_hochberg(np.array([*normal, 0.0]), rate)
        total += found[:3].sum() / max(found.sum(), 1)
    # an equality for uniform p-values whose grid holds every limit (Benjamini and Yekutieli, 2001)
    assert total / len(grid) ** 3 == pytest.approx(rate * 3 / 4)


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0, np.nan])
def test_other_rates_are_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        benjamini_hochberg(np.array([0.5]), rate)


@examples(50)
@given(
    p_values=st.lists(st.floats(1e-6, 1) | st.sampled_from([0.001, 0.01, 0.02, 0.05, 1.0])),
    rate=st.sampled_from([0.01, 0.1, 0.5]),
    size=st.integers(1, 5),
)
def test_rows_in_pieces_are_decided_on_as_all_at_once(
    p_values: list[float], rate: float, size: int
) -> None:
    p = np.array(p_values)
    limit = discovery_limit(lambda: (p[i : i + size] for i in range(0, len(p), size)), rate)
    np.testing.assert_array_equal(p <= limit, benjamini_hochberg(p, rate))


def test_many_rows_in_pieces_are_decided_on_as_all_at_once() -> None:
    rng = np.random.default_rng(0)
    p = np.concatenate([rng.random(50_000), rng.random(5_000) ** 8])
    for rate in (0.01, 0.1, 0.9):
        limit = discovery_limit(lambda: iter(np.split(p, 5)), rate)
        np.testing.assert_array_equal(p <= limit, benjamini_hochberg(p, rate))
