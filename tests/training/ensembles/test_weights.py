"""Fitted weights are the most likely ones, and never worse than equal ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import logsumexp

from training.ensembles.weights import fitted_weights, log_mixture


def drawn(seed: int, k: int, rows: int, scale: float) -> np.ndarray:
    return np.random.default_rng(seed).normal(-50, scale, (k, rows))


@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(1, 40), st.floats(0, 300))
def test_fitted_weights_are_never_worse_than_equal_ones(
    seed: int, k: int, rows: int, scale: float
) -> None:
    log_probs = drawn(seed, k, rows, scale)
    weights = fitted_weights(log_probs)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    fitted = log_mixture(log_probs, weights).mean()
    assert fitted >= log_mixture(log_probs, np.full(k, 1 / k)).mean() - 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_no_other_weights_are_better(seed: int) -> None:
    log_probs = drawn(seed, 3, 500, 1.5) + np.array([[0.0], [0.3], [-2.0]])
    weights = fitted_weights(log_probs)

    def loss(logits: np.ndarray) -> float:
        log_weights = logits - logsumexp(logits)
        return -float(logsumexp(log_probs + log_weights[:, None], axis=0).mean())

    best = minimize(loss, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-6}).fun
    assert -log_mixture(log_probs, weights).mean() <= best + 1e-6


def test_a_mixture_of_two_normals_finds_its_weights() -> None:
    rng = np.random.default_rng(0)
    chosen = rng.random(20_000) < 0.8
    x = rng.normal(np.where(chosen, -1, 2), 1)
    log_probs = np.stack([-0.5 * (x + 1) ** 2, -0.5 * (x - 2) ** 2])
    assert fitted_weights(log_probs)[0] == pytest.approx(0.8, abs=0.01)


def test_rows_beyond_every_member_do_not_count() -> None:
    log_probs = drawn(0, 2, 30, 1.0)
    with_impossible = np.concatenate([log_probs, np.full((2, 4), -np.inf)], axis=1)
    np.testing.assert_allclose(fitted_weights(with_impossible), fitted_weights(log_probs))
    np.testing.assert_array_equal(fitted_weights(np.full((2, 3), -np.inf)), [0.5, 0.5])


def test_a_member_without_weight_adds_nothing() -> None:
    log_probs = drawn(0, 2, 30, 1.0)
    np.testing.assert_array_equal(log_mixture(log_probs, np.array([1.0, 0.0])), log_probs[0])
