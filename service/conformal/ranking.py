"""How well scores tell anomalies from normal rows, by ranks alone.

The errors are DeLong's (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988).
"""

from typing import NamedTuple

import numpy as np

from service.types import Float64


class Placements(NamedTuple):
    """Of each row, the share of the rows of the other kind that it is on the right side of.

    Args:
        normal, anomalous: of these rows; a tie is half a row.
    """

    normal: Float64
    anomalous: Float64

    @property
    def auroc(self) -> float:
        """The probability that an anomaly scores above a normal row."""
        return float(self.anomalous.mean())

    @property
    def error(self) -> float:
        """The standard error of that."""
        return float(np.sqrt(_variance_of_mean(self.anomalous) + _variance_of_mean(self.normal)))


def placements(normal: Float64, anomalous: Float64) -> Placements:
    """The placements of scores, of which larger ones are more anomalous; at least one each."""
    return Placements(1 - _below(normal, anomalous), _below(anomalous, normal))


def auroc_difference(a: Placements, b: Placements) -> tuple[float, float]:
    """AUROC of a less that of b, of the same rows, and the standard error of the difference."""
    difference = Placements(a.normal - b.normal, a.anomalous - b.anomalous)
    return difference.auroc, difference.error


def _below(scores: Float64, others: Float64) -> Float64:
    """For each score, the share of the others below it, and half of those that are equal."""
    ascending = np.sort(others)
    left, right = (np.searchsorted(ascending, scores, side) for side in ("left", "right"))
    return (left + right) / (2 * len(others))


def _variance_of_mean(values: Float64) -> float:
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.0
