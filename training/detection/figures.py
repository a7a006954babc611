"""What labels say of anomaly scores: they evaluate, and never train."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

from service.bundle import Figure, LabelledFigures
from service.conformal import placements

Float64 = NDArray[np.float64]

ALARM_SHARES = (0.01, 0.05)
"""Shares of the normal rows at whose alarms recall is measured."""

BOOTSTRAPS = 200


def labelled_figures(normal: Float64, anomalous: Float64, seed: int = 0) -> LabelledFigures:
    """Figures of the scores of labelled rows, of which larger ones are more anomalous.

    Args:
        normal, anomalous: scores of these rows, at least one each.
        seed: of the bootstrap.
    """
    ranked = placements(normal, anomalous)
    return LabelledFigures(
        rows=len(normal) + len(anomalous),
        anomalies=len(anomalous),
        auroc=Figure(mean=ranked.auroc, se=ranked.error),
        auprc=_auprc(normal, anomalous, seed),
        recall={f"{share:g}": _recall(normal, anomalous, share) for share in ALARM_SHARES},
    )


def _auprc(normal: Float64, anomalous: Float64, seed: int) -> Figure:
    """Average precision; its error by a bootstrap of rows of each kind."""
    random = np.random.default_rng(seed)
    truth = np.repeat([False, True], [len(normal), len(anomalous)])

    def precision(a: Float64, b: Float64) -> float:
        # ranks, as scores outside the support are infinite
        return float(average_precision_score(truth, rankdata(np.concatenate([a, b]))))

    drawn = [
        precision(*(random.choice(each, len(each)) for each in (normal, anomalous)))
        for _ in range(BOOTSTRAPS)
    ]
    return Figure(mean=precision(normal, anomalous), se=float(np.std(drawn)))


def _recall(normal: Float64, anomalous: Float64, share: float) -> Figure:
    """The share of anomalies above a score that at most this share of normal rows reaches."""
    allowed = int(share * len(normal))
    limit = np.sort(normal)[::-1][allowed]
    found = float((anomalous > limit).mean())
    return Figure(mean=found, se=float(np.sqrt(found * (1 - found) / len(anomalous))))
