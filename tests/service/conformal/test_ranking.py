"""AUROC and its errors, against their definitions."""

import numpy as np
import pytest

from service.conformal import auroc_difference, placements


def test_auroc_is_the_share_of_pairs_and_ties_are_half() -> None:
    random = np.random.default_rng(0)
    normal = random.integers(0, 8, 60).astype(np.float64)
    anomalous = np.append(random.integers(2, 10, 20), np.inf)
    pairs = np.sign(anomalous[:, None] - normal).mean() / 2 + 0.5
    found = placements(normal, anomalous)
    assert found.auroc == pytest.approx(pairs)
    assert 1 - found.auroc == pytest.approx(placements(anomalous, normal).auroc)


def test_errors_are_those_of_repeated_draws() -> None:
    random = np.random.default_rng(1)
    kept = []
    for _ in range(400):
        normal, anomalous = random.normal(size=80), random.normal(1.0, size=40)
        a = placements(normal, anomalous)
        noise = (random.normal(size=80), random.normal(size=40))
        b = placements(normal + noise[0], anomalous + noise[1])
        kept.append((a.auroc, a.error, *auroc_difference(a, b)))
    auroc, error, difference, of_difference = np.array(kept).T
    assert error.mean() == pytest.approx(auroc.std(), rel=0.15)
    assert of_difference.mean() == pytest.approx(difference.std(), rel=0.15)
    same = placements(normal, anomalous)
    assert auroc_difference(same, same) == (0.0, 0.0)
