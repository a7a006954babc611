"""Ranks among draws are uniform where a model is right, and leave the band where it is not."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from tests.helpers.recipes import call_bijecta
from training.coverage import (
    BARS,
    DRAWS_OF_EACH,
    LEVELS,
    SHARED_DRAWS,
    Coverage,
    coverage_of,
)
from training.coverage.ranks import ranks_among, ranks_of_distances
from training.plots import open_subject
from training.plots.tables.coverage import draw_coverage
from training.reporting import print_coverage
from training.runs import Run

N, SEEDS = 200, 25


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def found(seed: int, shared: bool, scale: float = 1.0, correlation: float = 0.0) -> Coverage:
    """Rows of two normal columns, of a correlation, among draws of another scale that have none."""
    draw, count = rng(seed), SHARED_DRAWS if shared else DRAWS_OF_EACH
    rows = draw.standard_normal((N, 2))
    rows[:, 1] = correlation * rows[:, 0] + np.sqrt(1 - correlation**2) * rows[:, 1]
    draws = scale * draw.standard_normal((count, 2) if shared else (N, count, 2))
    return coverage_of(rows, draws, ["a", "b"], True, seed)


@pytest.mark.parametrize("shared", [True, False])
def test_of_right_models_about_five_in_a_hundred_leave_the_band(shared: bool) -> None:
    histograms = [
        histogram
        for seed in range(SEEDS)
        for one in [found(seed, shared)]
        for histogram in (*one.columns, one.joint)
    ]
    assert all(sum(one.counts) == N for one in histograms if one)
    beyond = sum(not one.in_band for one in histograms if one)
    # as many as 99.9 % of binomials have at most
    assert beyond <= stats.binom(3 * SEEDS, 0.05).ppf(0.999)
    for place, _ in enumerate(LEVELS):
        right = sum(one.shares[place].is_right for one in histograms if one)
        assert right >= stats.binom(3 * SEEDS, 0.95).ppf(0.001)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("scale", "is_too_wide"), [(1.5, True), (0.7, False)])
def test_draws_of_another_width_leave_it(shared: bool, scale: float, is_too_wide: bool) -> None:
    one = found(1, shared, scale)
    for column in one.columns:
        assert not column.in_band
        share = column.shares[LEVELS.index(0.8)]
        assert not share.is_right
        assert (share.share > 0.8) == is_too_wide


def test_distances_of_whole_rows_see_a_correlation_that_no_column_shows() -> None:
    one = found(3, shared=True, correlation=0.9)
    assert one.joint is not None
    assert not one.joint.in_band
    assert [column.in_band for column in one.columns] == [True, True]


@pytest.mark.parametrize("shared", [True, False])
def test_ranks_count_the_draws_below_and_equal_ones_are_ordered_at_random(shared: bool) -> None:
    values = np.array([[np.nan, 2.0], [1.0, 1.0], [3.0, np.nan]])
    drawn = np.array([[np.nan, 1.0], [1.0, 1.0], [1.0, 2.0], [2.0, 5.0]])
    draws = drawn if shared else np.repeat(drawn[None], 3, 0)
    seen = np.stack([ranks_among(values, draws, rng(seed)) for seed in range(60)])
    expected: list[tuple[int, int, set[int]]] = [
        (0, 0, {0, 1}),  # missing is below all that is not, and equal to what is missing
        (0, 1, {2, 3}),
        (1, 0, {1, 2, 3}),
        (1, 1, {0, 1, 2}),
        (2, 0, {4}),
        (2, 1, {0}),
    ]
    for row, column, ranks in expected:
        assert set(seen[:, row, column].tolist()) == ranks


def test_distances_do_not_depend_on_units() -> None:
    rows, draws = rng(1).standard_normal((20, 2)), rng(2).standard_normal((99, 2))
    units = np.array([1e-3, 1e6])
    one, other = (ranks_of_distances(rows * u, draws * u, rng(3)) for u in (1.0, units))
    assert np.array_equal(one, other)


def test_a_constant_column_is_right_where_all_draws_are_that() -> None:
    rows, draws = np.full((N, 1), 7.0), np.full((SHARED_DRAWS, 1), 7.0)
    one = coverage_of(rows, draws, ["a"], True, 0)
    assert one.columns[0].in_band
    assert one.joint is not None
    assert one.joint.in_band


def test_bars_and_levels_have_whole_numbers_of_ranks() -> None:
    for draws in (SHARED_DRAWS, DRAWS_OF_EACH):
        assert (draws + 1) % BARS == 0
        tails: NDArray[np.float64] = (1 - np.array(LEVELS)) / 2 * (draws + 1)
        np.testing.assert_allclose(tails, np.round(tails), atol=1e-9)


@pytest.mark.parametrize(("name", "with_context"), [("moons-maf", False), ("moons-context", True)])
def test_evaluate_writes_and_prints_it(runs: Path, name: str, with_context: bool) -> None:
    done = call_bijecta("evaluate", runs / name, "--coverage", cwd=runs)
    assert done.returncode == 0, done.stderr
    assert "widths: central 90 % intervals" in done.stdout
    assert "places and shapes: histograms of ranks" in done.stdout
    assert "either test finds 0.1 columns by chance" in done.stdout
    assert "ranks of distances of whole rows" in done.stdout
    coverage = Coverage.model_validate(json.loads((runs / name / "coverage.json").read_text()))
    assert coverage.with_context == with_context
    assert len(coverage.columns) == 2
    # three epochs come near enough for most rows to lie where draws do
    for column in coverage.columns:
        assert 0.5 < column.shares[LEVELS.index(0.8)].share <= 1
    # the picture is of the same figures, whatever its seed
    figure = draw_coverage(open_subject(runs / name), 7)
    assert coverage.joint is not None
    for axes, histogram in zip(figure.axes, [coverage.joint, *coverage.columns], strict=True):
        assert [bar.get_height() for bar in axes.containers[0]] == histogram.counts


def test_columns_that_are_off_are_named_by_the_test_that_finds_them(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(SHARED_DRAWS, 3))
    rows = rng.normal(size=(N, 3))
    rows[:, 1] *= 0.7  # drawn too wide
    # as wide as it is drawn, and another shape: half of the middle lies at its edges
    rows[:, 2] = np.where(np.abs(rows[:, 2]) < 1.6, np.sign(rows[:, 2]), rows[:, 2])
    coverage = coverage_of(rows, draws, ["right", "wide", "shape"], True, 0)
    print_coverage(Run.open(runs / "moons-maf"), coverage)
    widths, shapes, *_ = capsys.readouterr().out.splitlines()
    assert "; beyond these: 1 of 3 columns (wide " in widths
    assert shapes.endswith("in 2 of 3 columns (wide, shape)")
