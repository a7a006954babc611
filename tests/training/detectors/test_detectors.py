"""Detectors: what their scores, log-densities, neighbours and out-of-sample scores promise."""

import functools

import numpy as np
import pytest
import torch

from service.tables import Column, RawTable, decide, from_array, from_values, to_rows
from training.config import ContextSpec
from training.detectors import ContextRows, Detector, DetectorSpec, FittedDetector, fit_detector
from training.detectors.configurations import CONFIGURATIONS
from training.detectors.parts.typed import fit_typed
from training.detectors.specification import (
    AnyPart,
    Configuration,
    GaussianizedPart,
    LatentPart,
    NearestPart,
    TypedPart,
)
from training.detectors.tails import Tails
from training.errors import DataError

TYPED = TypedPart(members=2, rows=200, options={"hidden": (8,), "components": 2}, steps=5)
SMALL: dict[Configuration, list[AnyPart]] = {
    "clean": [
        NearestPart(space="standard", members=4, rows=64, weight=2.0),
        LatentPart(
            space="standard",
            members=2,
            rows=64,
            options={"transforms": 1, "hidden": [8]},
            steps=20,
            batch_size=64,
        ),
        TYPED,
    ],
    "contaminated": [
        GaussianizedPart(space="standard", members=2, rows=100, deviation=0.3, steps=3),
        NearestPart(space="normal", members=4, rows=16),
        NearestPart(space="robust", members=2, rows=16),
        TYPED,
    ],
}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, parts in SMALL.items():
        monkeypatch.setitem(CONFIGURATIONS, name, parts)


def table(n: int = 200) -> tuple[np.ndarray, list[Column]]:
    """Rows of numbers, a lattice with missing values, times and classes."""
    random = np.random.default_rng(0)
    size = random.normal(size=n)
    count = np.round(3 * size + random.normal(size=n))
    count[::7] = np.nan
    start = np.datetime64("2026-01-01T08:00", "s")
    hours = random.integers(0, 10, n) + 24 * random.integers(0, 300, n)
    raw = RawTable(
        {
            "size": from_array(100 + 20 * size),
            "count": from_array(count),
            "when": from_array(start + hours * np.timedelta64(3600, "s")),
            "colour": from_values([["red", "green", "blue"][i] for i in random.integers(0, 3, n)]),
        },
        n,
    )
    columns = decide(raw).columns
    assert [column.kind for column in columns] == ["numeric", "lattice", "datetime", "categorical"]
    return to_rows(raw.columns, columns).rows, list(columns)


@functools.cache
def fitted(configuration: Configuration = "clean", seed: int = 0) -> FittedDetector[Detector]:
    return fit_detector(*table(), configuration=configuration, seed=seed)


def score(detector: Detector, rows: np.ndarray) -> np.ndarray:
    values: np.ndarray = detector(torch.from_numpy(rows))[0].numpy()
    return values


@pytest.mark.parametrize("configuration", ["clean", "contaminated"])
def test_what_is_far_in_any_column_scores_above_every_normal_row(
    configuration: Configuration,
) -> None:
    rows, _ = table()
    detector = fitted(configuration).detector
    strange = np.tile(rows[1], (4, 1))
    strange[0, 0] += 500  # 25 deviations
    strange[1, 1] = 90
    strange[2, 3] = 3  # a class that was never seen
    strange[3, 0] = -1.7e308
    scores = score(detector, strange)
    assert scores.min() > np.quantile(score(detector, rows), 0.9)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("configuration", ["clean", "contaminated"])
def test_a_date_is_no_anomaly_and_an_hour_is_one(configuration: Configuration) -> None:
    rows, _ = table()
    detector = fitted(configuration).detector

    def by_density(seconds: float) -> np.ndarray:
        moved = torch.from_numpy(rows + np.array([0, 0, seconds, 0]))
        values: np.ndarray = detector.members(moved)[detector.typed_part].mean(1).numpy()
        return values

    week = 7 * 86400.0
    np.testing.assert_allclose(by_density(0.0), by_density(500 * week), rtol=1e-9)
    assert np.median(by_density(12 * 3600.0) - by_density(0.0)) > 1


def test_a_detector_is_its_state_and_its_specification() -> None:
    rows, _ = table()
    detector = fitted().detector
    same = Detector(DetectorSpec.model_validate_json(detector.spec.model_dump_json()))
    same.load_state_dict({name: value.clone() for name, value in detector.state_dict().items()})
    for ours, theirs in zip(
        detector(torch.from_numpy(rows)), same(torch.from_numpy(rows)), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_the_seed_decides() -> None:
    rows, _ = table()
    detectors = fitted(), fit_detector(*table()), fitted(seed=1)
    ours, same, other = (score(each.detector, rows) for each in detectors)
    assert (ours == same).all()
    assert (ours != other).all()


def test_rows_outside_the_support_have_infinite_scores() -> None:
    rows, _ = table()
    detector = fitted().detector
    wrong = np.tile(rows[1], (5, 1))
    wrong[0, 0], wrong[1, 0], wrong[2, 3], wrong[3, 3] = np.nan, np.inf, 9, 0.5
    values, log_prob = detector(torch.from_numpy(wrong))
    assert torch.isinf(values).tolist() == [True] * 4 + [False]
    assert (log_prob[:4] == -torch.inf).all()
    assert torch.isfinite(log_prob[4])
    assert torch.isfinite(detector.neighbours(torch.from_numpy(wrong))[:, 0]).all()


@pytest.mark.parametrize("configuration", ["clean", "contaminated"])
def test_other_units_move_log_densities_and_sums_of_scores_by_their_logarithm(
    configuration: Configuration,
) -> None:
    random = np.random.default_rng(1)
    rows = random.standard_t(3, size=(150, 2))
    raw = RawTable({name: from_array(rows[:, i]) for i, name in enumerate("ab")}, len(rows))
    columns = decide(raw).columns
    answers = []
    for unit in (1.0, 1024.0):
        detector = fit_detector(unit * rows, columns, configuration=configuration).detector
        answers.append(detector(torch.from_numpy(unit * rows)))
    (scores, log_prob), (other_scores, other) = answers
    # tails of scores have no unit
    moved = 0 if configuration == "clean" else 2 * np.log(1024)
    torch.testing.assert_close(scores + moved, other_scores)
    torch.testing.assert_close(log_prob - 2 * np.log(1024), other)


@pytest.mark.parametrize("configuration", ["clean", "contaminated"])
def test_training_rows_are_scored_by_members_that_did_not_see_them(
    configuration: Configuration,
) -> None:
    rows, _ = table()
    found = fitted(configuration)
    assert np.isfinite(found.out_of_sample).all()
    # seen rows are nearer to themselves: out-of-sample scores are those of new rows
    assert (found.out_of_sample > score(found.detector, rows)).mean() > 0.6
    assert np.isfinite(found.log_prob).all()
    assert found.log_prob.mean() < found.detector(torch.from_numpy(rows))[1].mean()


def test_neighbours_are_the_values_of_the_nearest_rows_by_the_other_columns() -> None:
    random = np.random.default_rng(2)
    rows = random.normal(size=(60, 3))
    raw = RawTable({name: from_array(rows[:, i]) for i, name in enumerate("abc")}, len(rows))
    detector = fit_detector(rows, decide(raw).columns).detector
    x = rows[:5] + 0.01
    found = detector.neighbours(torch.from_numpy(x)).numpy()
    z, q = (v / rows.std(0) for v in (rows, x))
    for i in range(5):
        for j in range(3):
            others = [k for k in range(3) if k != j]
            order = np.square(z[:, others] - q[i, others]).sum(1).argsort()
            np.testing.assert_allclose(found[i, j], rows[order[:4], j])


@pytest.mark.parametrize("configuration", ["clean", "contaminated"])
def test_a_context_decides_what_is_normal(configuration: Configuration) -> None:
    random = np.random.default_rng(3)
    label = np.arange(300) % 2
    rows = (6.0 * label + random.normal(size=300))[:, None].repeat(2, 1)
    rows += 0.3 * random.normal(size=rows.shape)
    raw = RawTable({name: from_array(rows[:, i]) for i, name in enumerate("ab")}, len(rows))
    spec = ContextSpec.model_validate({"columns": [{"classes": [0, 1]}]})
    context = ContextRows(label[:, None].astype(np.float32), spec)
    detector = fit_detector(
        rows, decide(raw).columns, context=context, configuration=configuration
    ).detector
    x = torch.from_numpy(rows)
    own, other = (detector(x, torch.from_numpy(c)) for c in (context.values, 1 - context.values))
    assert (own[0] < other[0]).double().mean() > 0.9
    assert own[1].mean() > other[1].mean()
    assert detector.neighbours(x[:2], torch.from_numpy(context.values[:2])).shape == (2, 2, 4)


def test_the_largest_numbers_are_measured() -> None:
    rows = np.random.default_rng(4).normal(size=(60, 2)) * [1e307, 1e-300]
    raw = RawTable({name: from_array(rows[:, i]) for i, name in enumerate("ab")}, len(rows))
    found = fit_detector(rows, decide(raw).columns)
    assert np.isfinite(found.out_of_sample).all()
    far = rows[:1] * [1, -1e4]
    assert score(found.detector, far) > found.out_of_sample.max()


def test_tails_make_scores_of_any_law_the_negative_logs_of_their_p_values() -> None:
    random = np.random.default_rng(5)
    rarity = random.exponential(size=(20_000, 1))
    # one part has an exponential law, the other a law of its own
    both = torch.from_numpy(np.concatenate([3 * rarity - 7, rarity**0.5], 1))
    tails = Tails([1.0, 3.0])
    tails.fit(both)
    p = np.array([0.3, 0.07, 0.03, 0.01])
    at = torch.from_numpy(-np.log(p))[:, None]
    found = tails(torch.cat([3 * at - 7, at.sqrt()], 1))
    np.testing.assert_allclose(found, -np.log(p), rtol=0.08)


def test_what_one_part_alone_finds_rare_is_rare_and_no_score_loses_its_order() -> None:
    normal = torch.from_numpy(np.random.default_rng(6).normal(size=(500, 5)))
    normal[:, 4] = 0.25  # a part that says nothing
    tails = Tails([1.0] * 5)
    tails.fit(normal)
    scores = tails(normal)
    row = normal[:1].repeat(200, 1)
    row[:, 0] = torch.linspace(-9, 30, 200)
    rising = tails(row)
    assert (rising.diff() >= 0).all()
    assert (rising[100:].diff() > 0).all()  # beyond every normal row, too
    row = torch.zeros(1, 5).double() + 0.25
    row[0, 2] = 4.0
    assert tails(row) > scores.quantile(0.98)
    assert torch.isfinite(scores).all()


@pytest.mark.parametrize("n", [10, 11, 40])
def test_tails_of_few_rows_rise(n: int) -> None:
    tails = Tails([1.0, 1.0])
    values = torch.arange(n).double()
    tails.fit(torch.stack([values, values.clamp(max=5)], 1))
    beyond = torch.arange(n + 5).double()
    assert (tails(torch.stack([beyond, beyond], 1)).diff() > 0).all()


def test_steps_of_a_part_grow_with_its_rows_between_bounds() -> None:
    part = TYPED.model_copy(update={"epochs": 4.0, "batch_size": 10, "max_steps": 60})
    assert [part.steps_of(rows) for rows in (5, 100, 100_000)] == [5, 40, 60]
    assert [TYPED.steps_of(rows) for rows in (5, 100_000)] == [5, 5]
    rows, columns = table()
    found = fit_typed(
        part, rows, columns, None, torch.arange(len(rows)), torch.Generator().manual_seed(0)
    )
    assert found.part.steps == found.part.steps_of(100_000) == 40


def test_too_few_rows_are_refused() -> None:
    rows, columns = table()
    with pytest.raises(DataError, match="at least 10 rows, got 9"):
        fit_detector(rows[:9], columns)
