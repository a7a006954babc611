"""How a graph is compared with its flow: all misses are found, and surely missed ones early."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.errors import ExportError
from training.export.reference import Expected
from training.export.served_graph import Feed, Outputs, ServedGraph
from training.export.verify import BARS, P99, _is_missed, preview, verify
from training.export.verify import Errors as VerifiedErrors

ROWS, DIMENSIONS = 512, 4


class Planted(ServedGraph):
    """A graph that copies rows, but for errors planted in some.

    Args:
        value_errors, log_prob_errors: N × D and N, by the rows of the feed.
        rows: of a run, at most.
    """

    def __init__(
        self,
        value_errors: NDArray[np.float64],
        log_prob_errors: NDArray[np.float64],
        rows: int = 256,
    ) -> None:
        self._errors = value_errors, log_prob_errors
        self.threads = 2
        self.batch_rows = rows
        self.runs = 0
        self._answers = {}

    def batches(self, feed: Feed, size: int) -> Iterator[tuple[slice, Outputs]]:
        """Rows, and what this makes of them."""
        for start in range(0, len(feed["x"]), size):
            part = slice(start, start + size)
            self.runs += 1
            rows = feed["x"][part]
            values, log_prob = (errors[part][: len(rows)] for errors in self._errors)
            yield part, [rows + values, rows.sum(1) + log_prob]


def expected() -> Expected:
    x = np.random.default_rng(0).normal(size=(ROWS, DIMENSIONS))
    return Expected({"x": x}, x, x.sum(1))  # type: ignore[dict-item]


def nothing() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.zeros((ROWS, DIMENSIONS)), np.zeros(ROWS)


@pytest.mark.parametrize("rows", [1, 2, 16, 256])
@pytest.mark.parametrize("row", [0, 100, ROWS - 1])
@pytest.mark.parametrize("error", [2e-3, np.nan, np.inf])
def test_an_error_of_any_row_is_found_whatever_the_batches(
    rows: int, row: int, error: float
) -> None:
    for wrong in range(2):
        errors = nothing()
        errors[wrong][row] = error
        with pytest.raises(ExportError, match=("x_relative", "log_prob_per_dim_max")[wrong]):
            verify("decode", expected(), Planted(*errors, rows))
    exact = verify("decode", expected(), Planted(*nothing(), rows))
    assert exact.relative < 1e-12
    assert sorted(exact.batch_sizes) == sorted({1, min(17, rows), rows})


@pytest.mark.parametrize("row", [0, 67, 68, ROWS - 1])
def test_where_memory_limits_batches_all_rows_are_run_in_the_largest(row: int) -> None:
    errors = nothing()
    errors[0][row] = 2e-3
    with pytest.raises(ExportError, match="x_relative"):
        verify("decode", expected(), Planted(*errors, 18))
    graph = Planted(*nothing(), 18)
    assert verify("decode", expected(), graph).batch_sizes == [17, 18, 1]
    assert graph.rows_at_each_size({"x": np.zeros((ROWS, 4), np.float32)})[17] == 4 * 17


def test_what_surely_misses_is_found_in_few_runs() -> None:
    values, log_prob = nothing()
    log_prob += DIMENSIONS * 2 * BARS["log_prob_per_dim_p99"]
    graph = Planted(values, log_prob)
    with pytest.raises(ExportError, match="p99"):
        preview("encode", expected(), graph)
    assert graph.runs <= 4
    fine = Planted(*nothing())
    preview("encode", expected(), fine)
    assert fine.runs <= 4


def test_rows_of_the_largest_batches_are_not_run_again() -> None:
    graph, x = Planted(*nothing(), 64), expected().feed["x"]
    list(graph.at_each_size({"x": x}))
    runs = graph.runs
    values, sums = graph.answers({"x": x[[300, 5, 300]]})
    assert graph.runs == runs
    np.testing.assert_array_equal(values, x[[300, 5, 300]])
    np.testing.assert_array_equal(sums, x[[300, 5, 300]].sum(1))
    mixed = np.stack([x[7], x[7] + 1, x[8], x[8] + 1])
    values, _ = graph.answers({"x": mixed})
    assert graph.runs == runs + 1
    np.testing.assert_array_equal(values, mixed)


@given(
    st.lists(st.sampled_from([0.0, 5e-6, 2e-5, 2e-4]), min_size=1, max_size=300), st.integers(0, 9)
)
def test_it_is_given_up_only_where_the_rest_cannot_change_it(seen: list[float], rest: int) -> None:
    checks = len(seen) + rest
    if not _is_missed(VerifiedErrors(0.0, np.array(seen), [1]), checks):
        return
    best = np.array(seen + [0.0] * rest)  # if all that follow are exact
    assert (
        best.max() > BARS["log_prob_per_dim_max"]
        or np.quantile(best, P99) > BARS["log_prob_per_dim_p99"]
    )
