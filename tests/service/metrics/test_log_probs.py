"""Log-densities are shown as ranks among held-out rows, and as their mean over dimensions."""

import math

import numpy as np
import pytest

from service.metrics import HeldOutLogProb, Metrics, ModelSeries


def shown(metrics: Metrics, name: str) -> dict[str, float]:
    """The series of a name, by `le` where they have one."""
    return {
        sample.labels.get("le", sample.name): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name.startswith(name)
    }


def series(metrics: Metrics, held_out: HeldOutLogProb) -> ModelSeries:
    made = metrics.model_series("moons", 1, held_out)
    made.show()
    return made


@pytest.mark.parametrize("at_once", [1, 1000])
def test_the_share_of_ranks_below_a_level_is_that_level_while_rows_are_like_held_out_ones(
    at_once: int,
) -> None:
    rows = np.random.default_rng(1).normal(size=20_000)
    levels = (0.01, 0.5, 0.99)
    quantiles = dict(zip(np.quantile(rows, levels).tolist(), levels, strict=True))
    metrics = Metrics()
    watched = series(metrics, HeldOutLogProb(quantiles, float(rows.mean()), 2))
    some = rows[:3000]
    for start in range(0, len(some), at_once):
        watched.log_prob.observe_all(some[start : start + at_once])
    found = shown(metrics, "bijecta_log_prob_rank_bucket")
    assert found["+Inf"] == 3000
    for level in levels:
        assert found[str(level)] / 3000 == pytest.approx(level, abs=0.02)
    mean = shown(metrics, "bijecta_log_prob_per_dim")
    assert mean["bijecta_log_prob_per_dim_count"] == 3000
    assert mean["bijecta_log_prob_per_dim_sum"] == pytest.approx(some.sum() / 2)
    (known,) = shown(metrics, "bijecta_held_out_log_prob_per_dim").values()
    assert known == pytest.approx(rows.mean() / 2)


@pytest.mark.parametrize("copies", [1, 20])
def test_infinite_values_are_ranked_and_in_no_mean(copies: int) -> None:
    metrics = Metrics()
    watched = series(metrics, HeldOutLogProb({0.0: 0.5}, 0.0, 1))
    watched.log_prob.observe_all(np.array([-math.inf, math.inf, math.nan, 3.0] * copies))
    assert shown(metrics, "bijecta_log_prob_rank_bucket") == {"0.5": copies, "+Inf": 3 * copies}
    assert shown(metrics, "bijecta_log_prob_per_dim") == {
        "bijecta_log_prob_per_dim_count": copies,
        "bijecta_log_prob_per_dim_sum": 3.0 * copies,
    }


def test_a_mean_that_is_not_known_is_not_shown() -> None:
    metrics = Metrics()
    series(metrics, HeldOutLogProb({}, math.nan, 3))
    assert shown(metrics, "bijecta_held_out_log_prob_per_dim") == {}
    assert shown(metrics, "bijecta_log_prob_rank") == {"+Inf": 0}


def test_what_is_loaded_no_more_is_not_shown() -> None:
    metrics = Metrics()
    series(metrics, HeldOutLogProb({0.0: 0.5}, 0.0, 1)).hide()
    assert not shown(metrics, "bijecta_log_prob")
