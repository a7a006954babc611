"""Conformal p-values of anomaly scores, and decisions by them. Needs numpy alone."""

from service.conformal.calibration import N_EXACT, Calibration, tie_breakers
from service.conformal.false_discovery import benjamini_hochberg

__all__ = ["N_EXACT", "Calibration", "benjamini_hochberg", "tie_breakers"]
