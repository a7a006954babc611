"""Detectors of arrays: what their scores and log-densities promise."""

import functools

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from service.conformal import placements
from training.detectors import (
    ArrayDetector,
    ArrayDetectorSpec,
    Configuration,
    FittedDetector,
    fit_array_detector,
)
from training.detectors.arrays import fit as fitting
from training.detectors.arrays.configurations import FLOW
from training.errors import DataError

SMALL = FLOW.model_copy(update={"options": {"transforms": 2, "hidden": (8,)}, "steps": 2})


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "FLOW", SMALL)


@functools.cache
def digits(without: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images of all digits but one in random order, and those of this one: N × 8 × 8."""
    data = load_digits()
    images = data.images.astype(np.uint8)
    order = np.random.default_rng(0).permutation(np.flatnonzero(data.target != without))
    return images[order], images[data.target == without]


@functools.cache
def fitted(configuration: Configuration = "clean", seed: int = 0) -> FittedDetector[ArrayDetector]:
    return fit_array_detector(digits()[0][:500], configuration, seed)


@pytest.mark.parametrize(("configuration", "auroc"), [("clean", 0.95), ("contaminated", 0.9)])
def test_digits_that_were_never_seen_score_above_others(
    configuration: Configuration, auroc: float
) -> None:
    normal, odd = digits()
    found = fitted(configuration)
    scores = [found.detector.scores(rows) for rows in (normal[500:], odd)]
    assert placements(*scores).auroc > auroc
    # p-values of rows that no training saw: 1 % and 5 % of them raise an alarm
    m = len(found.out_of_sample)
    p = (1 + (found.out_of_sample >= scores[0][:, None]).sum(1)) / (m + 1)
    assert (p <= 0.01).mean() < 0.03
    assert 0.01 < (p <= 0.05).mean() < 0.08


def test_a_detector_is_its_state_and_its_specification() -> None:
    detector, x = fitted().detector, torch.from_numpy(digits()[0][:50]).double()
    same = ArrayDetector(ArrayDetectorSpec.model_validate_json(detector.spec.model_dump_json()))
    same.load_state_dict({name: value.clone() for name, value in detector.state_dict().items()})
    for one, other in zip(detector(x), same(x), strict=True):
        assert torch.equal(one, other)


def test_the_seed_decides() -> None:
    x = digits()[0][:20]
    detectors = (fit_array_detector(digits()[0][:40], seed=seed) for seed in (0, 0, 1))
    ours, same, other = (each.detector.scores(x) for each in detectors)
    assert (ours == same).all()
    assert (ours != other).all()


def test_rows_are_scored_by_the_half_that_did_not_see_them() -> None:
    found, rows = fitted(), digits()[0][:500]
    seen = found.detector.scores(rows)
    new = found.detector.scores(digits()[0][500:])
    assert abs(found.out_of_sample.mean() - new.mean()) < 0.1 * new.std()
    assert (found.out_of_sample > seen).all()  # a row is its own nearest row in its half


# a direction for each value; a direction, a band and a rest; fewer rows than values
@pytest.mark.parametrize(("values", "rows"), [(3, 40), (5, 13), (12, 16)])
def test_log_prob_is_the_log_density_of_rows(
    values: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the definition: a density of a map of rows, whose Jacobian autograd takes."""
    monkeypatch.setattr(fitting, "BANDS", (2, 4))
    random = np.random.default_rng(values)
    data = random.normal(size=(rows, values)) @ random.normal(size=(values, values)) + 5
    detector = fit_array_detector(data).detector
    x = torch.from_numpy(data[:3])
    _, log_probs = detector.members(x)
    for i, member in enumerate(detector.halves):
        space = member.space
        others = torch.linalg.svd(space.directions.T)[2][space.directions.shape[1] :].T
        axes = torch.cat([space.directions, others], 1)

        def whiten(row, space=space, axes=axes):  # type: ignore[no-untyped-def]
            along = (row - space.center) / space.unit @ axes
            deviations = [space.deviation]
            deviations += [
                v.sqrt().repeat(n) for v, n in zip(space.variance, space.sizes, strict=True)
            ]
            return along / torch.cat(deviations)

        for row, found in zip(x, log_probs[:, i], strict=True):
            white = whiten(row)
            jacobian = torch.autograd.functional.jacobian(whiten, row)
            known = torch.full((1, 1), member.condition, dtype=torch.float64)
            expected = member.flow.log_prob(white[None, : space.count], known)[0]
            expected += torch.distributions.Normal(0.0, 1.0).log_prob(white[space.count :]).sum()
            expected += torch.linalg.slogdet(jacobian).logabsdet
            torch.testing.assert_close(found, expected)


def test_densities_integrate_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "BANDS", (2,))
    data = np.random.default_rng(0).normal(size=(14, 2)) @ np.array([[1.0, 0.4], [0.0, 0.3]])
    detector = fit_array_detector(data).detector
    axis = torch.linspace(-8, 8, 160, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    mass = torch.exp(torch.cat([detector(part)[1] for part in grid.split(20_000)])).sum()
    assert float(mass * (axis[1] - axis[0]) ** 2) == pytest.approx(1.0, abs=1e-3)


def test_what_is_no_number_is_outside_and_what_is_far_has_a_score() -> None:
    detector = fitted().detector
    x = torch.from_numpy(digits()[0][:6]).double()
    x[0, 0, 0], x[1, 1, 1], x[2, 2, 2], x[3] = torch.nan, torch.inf, 1e300, -1e9
    score, log_prob = detector(x)
    assert torch.isinf(score).tolist() == [True, True, False, False, False, False]
    assert (log_prob[:4] == -torch.inf).all()
    assert torch.isfinite(log_prob[4:]).all()
    assert (score[2:4] > score[4:].max()).all()


def test_a_pixel_that_is_always_black_is_odd_when_it_is_bright() -> None:
    detector, image = fitted().detector, digits()[0][:1].copy()
    assert not digits()[0][:, :, 0][:, 0].any()
    usual = detector.scores(image)
    image[0, 0, 0] = 16
    usual = np.append(usual, np.quantile(fitted().out_of_sample, 0.99))
    assert (detector.scores(image) > usual).all()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (np.zeros((9, 2, 2)), "at least 10 rows, got 9"),
        (np.ones((20, 2, 2)), "the rows are all alike"),
        (np.zeros((10, 2**9, 2**8)), "131072 values, and a detector takes 65536 at most"),
    ],
)
def test_rows_that_no_detector_fits_are_refused(rows: np.ndarray, said: str) -> None:
    with pytest.raises(DataError, match=said):
        fit_array_detector(rows)
