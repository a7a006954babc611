"""Detectors of other libraries, on columns that are standardised by the training rows."""

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.covariance import MinCovDet
from sklearn.ensemble import IsolationForest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from tests.benchmarks.anomaly.data import Array, Rows

Peer = Callable[[Array, Array | None, int], Array]
"""Training rows, rows to score (None: the training rows, where possible without themselves) and a
seed → scores, of which larger ones are more anomalous."""


def scores_of(peer: str, rows: Rows, seed: int) -> Array:
    """The scores of the test rows of a task.

    Raises:
        ValueError: the peer cannot do with these rows.
    """
    mean, deviation = rows.train.mean(0), rows.train.std(0)
    deviation = np.where(deviation > 1e-12 * np.maximum(1, np.abs(mean)), deviation, 1.0)
    train, test = ((values - mean) / deviation for values in (rows.train, rows.test))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PEERS[peer](train, None if rows.test is rows.train else test, seed)


def _nearest(train: Array, test: Array | None, _: int) -> Array:
    distances: Array = NearestNeighbors(n_neighbors=5).fit(train).kneighbors(test)[0]
    return np.asarray(distances.mean(1))


def _forest(train: Array, test: Array | None, seed: int) -> Array:
    forest = IsolationForest(random_state=seed).fit(train)
    return np.asarray(-forest.score_samples(train if test is None else test))


def _mixture(train: Array, test: Array | None, seed: int) -> Array:
    components = min(10, len(train) // 2)
    mixture = GaussianMixture(components, reg_covar=1e-4, random_state=seed).fit(train)
    return np.asarray(-mixture.score_samples(train if test is None else test))


def _local(train: Array, test: Array | None, _: int) -> Array:
    factor = LocalOutlierFactor(n_neighbors=20, novelty=test is not None).fit(train)
    if test is None:
        return np.asarray(-factor.negative_outlier_factor_)
    return np.asarray(-factor.score_samples(test))


def _tails(train: Array, test: Array | None, _: int) -> Array:
    """ECOD (Li et al. 2022), of which scikit-learn has none: tails of all rows, test included."""
    scored = train if test is None else test
    whole = train if test is None else np.concatenate([train, test])
    left, right, chosen = np.zeros((3, *scored.shape))
    for j, column in enumerate(whole.T):
        ordered = np.sort(column)
        below = np.searchsorted(ordered, scored[:, j], "right")
        above = len(ordered) - np.searchsorted(ordered, scored[:, j], "left")
        left[:, j], right[:, j] = (-np.log(count / len(ordered)) for count in (below, above))
        skew = np.mean((column - column.mean()) ** 3)
        chosen[:, j] = left[:, j] if skew < 0 else right[:, j]
    return np.asarray(np.max([side.sum(1) for side in (left, right, chosen)], axis=0))


def _covariance(train: Array, test: Array | None, seed: int) -> Array:
    robust = MinCovDet(random_state=seed).fit(train)
    return np.asarray(robust.mahalanobis(train if test is None else test))


PEERS: dict[str, Peer] = {
    "kNN": _nearest,
    "IForest": _forest,
    "GMM-10": _mixture,
    "LOF": _local,
    "ECOD": _tails,
    "MCD": _covariance,
}
