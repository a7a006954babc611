"""Members of a part: which rows each of them sees, and that rows it did not see are as new ones."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from service.tables import RawTable, decide, from_array
from tests.helpers.examples import examples
from training.detectors import fit_detector
from training.detectors.configurations import CONFIGURATIONS
from training.detectors.parts.gaussianized import fit_gaussianized
from training.detectors.parts.latents import fit_latents
from training.detectors.parts.members import (
    MAX_GROUP,
    all_but_folds,
    groups_of,
    halves,
    log_mean_of_unseen,
    mean_of_unseen,
)
from training.detectors.parts.principal import MAX_FEATURES
from training.detectors.specification import GaussianizedPart, LatentPart, NearestPart, TypedPart

WIDE = {
    "gaussianized": (
        fit_gaussianized,
        GaussianizedPart(space="standard", members=2, rows=400, deviation=0.3, steps=1, knots=4),
    ),
    "latents": (
        fit_latents,
        LatentPart(
            space="standard",
            members=2,
            rows=400,
            options={"transforms": 1, "hidden": [8]},
            steps=5,
            batch_size=64,
        ),
    ),
}


def test_every_row_is_unseen_by_some_member() -> None:
    generator = torch.Generator().manual_seed(0)
    for n in (10, 11):
        groups = torch.arange(n)
        for seen in (halves(groups, 4, generator), all_but_folds(groups, 3, generator)):
            scores = torch.arange(1, len(seen) + 1).repeat(n, 1).double()
            means = mean_of_unseen(scores, seen)
            logs = log_mean_of_unseen(scores.log(), seen)
            for row in range(n):
                unseen = [i for i, rows in enumerate(seen, 1) if row not in rows]
                assert means[row] == np.mean(unseen)
                assert logs[row] == pytest.approx(np.log(np.mean(unseen)))


@examples(50)
@given(st.lists(st.integers(0, 30), min_size=10, max_size=60), st.integers(2, 4), st.integers(0))
def test_no_division_tears_equal_rows_apart(values: list[int], members: int, seed: int) -> None:
    rows = np.array(values, np.float64)[:, None] / 7
    groups = groups_of(rows, are_discrete=False)
    n, largest = len(rows), int(torch.bincount(groups).max())
    shares = {value: values.count(value) / n for value in values}
    for value, share in shares.items():
        alike = groups[torch.tensor([v == value for v in values])]
        assert len(set(alike.tolist())) == (1 if share <= MAX_GROUP else len(alike))
    generator = torch.Generator().manual_seed(seed % 2**63)
    drawn = halves(groups, 2, generator)
    folds = all_but_folds(groups, members, generator)
    for seen, sizes in ((drawn, [n / 2] * 2), (folds, [n * (1 - 1 / members)] * members)):
        for rows_seen, size in zip(seen, sizes, strict=True):
            assert len(set(rows_seen.tolist())) == len(rows_seen)
            assert abs(len(rows_seen) - size) <= largest
            unseen = set(range(n)) - set(rows_seen.tolist())
            assert not {*groups[rows_seen].tolist()} & {*groups[[*unseen]].tolist()}
    assert sorted([*drawn[0].tolist(), *drawn[1].tolist()]) == list(range(n))


def test_rows_that_repeat_by_nature_are_divided_one_by_one() -> None:
    rows = np.random.default_rng(0).integers(0, 3, (200, 2)).astype(np.float64)
    assert len(groups_of(rows, are_discrete=True).unique()) == 200
    few = np.arange(200.0)[:, None]
    few[7] = few[3]
    assert len(groups_of(few, are_discrete=True).unique()) == 199


def test_copies_of_training_rows_make_no_false_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = TypedPart(members=2, rows=300, options={"hidden": (8,), "components": 2}, steps=5)
    parts = [NearestPart(space="standard", members=6, rows=300), typed]
    monkeypatch.setitem(CONFIGURATIONS, "clean", parts)
    alarms = []
    for seed in range(4):
        random = np.random.default_rng(seed)
        rows, new = (random.normal(size=(n, 3)) for n in (150, 500))
        rows = random.permutation(np.concatenate([rows, rows]))
        raw = RawTable({name: from_array(rows[:, i]) for i, name in enumerate("abc")}, len(rows))
        found = fit_detector(rows, decide(raw).columns)
        scores = found.detector.scores(new)
        p_values = (1 + (found.out_of_sample[:, None] >= scores).sum(0)) / (1 + len(rows))
        alarms.append((p_values <= 0.05).mean())
    assert 0.02 <= np.mean(alarms) <= 0.08  # 0.27 where copies are torn apart


@pytest.mark.parametrize("part", WIDE)
def test_principal_directions_leave_of_unseen_rows_what_they_leave_of_new_ones(part: str) -> None:
    fit, options = WIDE[part]
    torch.manual_seed(0)
    rows, new = torch.randn(2, 100, MAX_FEATURES + 50, dtype=torch.float64)
    fitted = fit(options, rows, None, torch.arange(100), torch.Generator().manual_seed(0))  # type: ignore[operator]
    assert fitted.part.directions == 50 // 4
    unseen = mean_of_unseen(fitted.module(rows, None), fitted.seen)
    scores = fitted.module(new, None)  # each row by one member, as of unseen rows
    of_new = torch.cat([scores[:50, 0], scores[50:, 1]])
    assert ks_2samp(unseen, of_new).pvalue > 0.01
