"""Online conformal p-values in bounded memory are uniform and independent, exactly."""

from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from service.conformal import Urn, urn_of
from service.types import Float64
from service.watching.urns import BLOCK_ROWS, Urns


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def of(number: int, values: Float64, ties: Float64, urns: Urns) -> NDArray[np.int32]:
    """The intervals of values in one urn."""
    return urns.intervals(np.full(len(values), number), values, ties)


@pytest.mark.parametrize("edges", [1, 3])
def test_the_intervals_of_exchangeable_values_have_the_probabilities_of_the_urn(edges: int) -> None:
    # of all orders of three reference values and three of the stream, each is as likely
    seen: dict[tuple[int, ...], float] = {}
    predicted: dict[tuple[int, ...], float] = {}
    orders = list(permutations(range(6)))
    for order in orders:
        values = np.array(order, np.float64)
        urns = Urns([urn_of(np.sort(values[:3]), None, edges, generator())])
        intervals = of(0, values[3:], np.full(3, 0.5), urns)[:, None]
        low = urns.p_values(intervals, np.zeros((3, 1)))
        urns = Urns([urn_of(np.sort(values[:3]), None, edges, generator())])
        high = urns.p_values(intervals, np.ones((3, 1)))
        key = tuple(intervals.ravel().tolist())
        seen[key] = seen.get(key, 0.0) + 1 / len(orders)
        # p is uniform between the two, whose distance is to be the interval's probability
        predicted[key] = float(np.prod(high - low))
    assert sum(predicted.values()) == pytest.approx(1)
    assert seen == pytest.approx(predicted)


def test_p_values_of_a_first_value_cover_the_whole_of_0_to_1_once() -> None:
    reference = np.sort(generator().normal(size=20))
    ends = []
    for value in (-9.0, *(reference + 1e-9)):
        urn = urn_of(reference, None, 7, generator())
        for tie in (0.0, 1.0):
            urns = Urns([urn])
            interval = of(0, np.array([value]), np.array([0.5]), urns)[:, None]
            ends.append(float(urns.p_values(interval, np.array([[tie]]))[0, 0]))
    found = sorted(set(ends))
    assert (found[0], found[-1]) == (0, 1)
    assert len(found) == 7 + 2  # of 8 intervals, each begins where another ends


def test_with_few_distinct_values_they_are_uniform_and_independent() -> None:
    random, streams, rows = np.random.default_rng(3), 2000, 6
    p = np.empty((streams, rows))
    for i in range(streams):
        values = random.choice([0.0, 1.0, 2.0, np.inf], size=8 + rows, p=[0.1, 0.6, 0.2, 0.1])
        urns = Urns([urn_of(np.sort(values[:8]), None, 5, random)])
        intervals = of(0, values[8:], random.random(rows), urns)[:, None]
        p[i] = urns.p_values(intervals, random.random((rows, 1)))[:, 0]
    grid = np.linspace(0.02, 0.98, 49)
    for each in p.T:  # the 99.99 % bound of Kolmogorov and Smirnov
        assert np.abs((each[:, None] <= grid).mean(0) - grid).max() < 2.23 / np.sqrt(streams)
    correlations = np.corrcoef(p.T) - np.eye(rows)
    assert np.abs(correlations).max() < 4.5 / np.sqrt(streams)


def test_however_rows_are_divided_p_values_are_the_same_as_by_definition() -> None:
    random, rows = generator(), 3 * BLOCK_ROWS + 5
    references = [np.sort(random.normal(size=m)) for m in (30, 50)]
    values, ties = random.normal(size=(rows, 2)), random.random((rows, 2))

    def new() -> Urns:
        # as many intervals as there are gaps
        return Urns([urn_of(each, None, 50, generator()) for each in references])

    urns = new()
    intervals = urns.intervals(np.tile([0, 1], (rows, 1)), values, ties)
    whole = urns.p_values(intervals, ties)
    urns = new()
    parts = [urns.p_values(intervals[i : i + 7], ties[i : i + 7]) for i in range(0, rows, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    for column, reference in enumerate(references):
        known = _by_definition(reference, values[:, column], ties[:, column])
        np.testing.assert_allclose(whole[:, column], known, rtol=1e-12)


def _by_definition(reference: Float64, values: Float64, ties: Float64) -> Float64:
    """Values of the stream that lie between the same two of the reference are ties."""
    gap = np.searchsorted(reference, values)
    found = np.empty(len(values))
    for n in range(len(values)):
        larger = (reference > values[n]).sum() + (gap[:n] > gap[n]).sum()
        found[n] = (larger + ties[n] * (1 + (gap[:n] == gap[n]).sum())) / (len(reference) + 1 + n)
    return found


def test_a_sketch_stands_for_all_its_rows() -> None:
    values = np.sort(generator().normal(size=1000))
    urn = urn_of(values[9::10], np.full(100, 10.0), 25, generator())
    assert urn.gaps.sum() == 1001
    assert len(urn.edges) == 25
    assert (np.diff(urn.edges.real) > 0).all()


def test_edges_of_tied_values_are_in_order() -> None:
    values = np.repeat([1.0, 2.0, np.inf], [50, 30, 20])
    edges = urn_of(values, None, 100, generator()).edges
    np.testing.assert_array_equal(edges, np.sort(edges))
    assert ((edges.imag > 0) & (edges.imag < 1)).all()
    assert len(set(edges.imag)) == 100


def test_rows_in_several_urns_are_ranked_within_their_own() -> None:
    urns = Urns([Urn(np.array([1 + 0.5j]), np.ones(2)), Urn(np.array([5 + 0.5j]), np.ones(2))])
    high, low = (of(number, np.array([2.0]), np.array([0.5]), urns) for number in (0, 1))
    p = urns.p_values(np.array([[*high], [*low], [*high]]), np.ones((3, 1)))
    np.testing.assert_allclose(p.ravel(), [1 / 2, 1, 2 / 3])


def test_values_are_found_in_urns_of_any_size_as_by_a_search_of_each() -> None:
    random = generator()
    sizes = [0, 1, 2, 3, 7, 8, 9, 100]
    edges = [np.sort_complex(random.integers(0, 4, m) + 1j * random.random(m)) for m in sizes]
    urns = Urns([Urn(each, np.ones(len(each) + 1)) for each in edges])
    number = random.integers(0, len(sizes), (500, 3))
    values, ties = random.integers(-1, 5, number.shape).astype(float), random.random(number.shape)
    starts = np.append(0, np.cumsum([m + 1 for m in sizes]))
    expected = [
        starts[n] + np.searchsorted(edges[n], value + 1j * tie)
        for n, value, tie in zip(number.flat, values.flat, ties.flat, strict=True)
    ]
    np.testing.assert_array_equal(urns.intervals(number, values, ties).ravel(), expected)
