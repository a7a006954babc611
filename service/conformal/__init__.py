"""Conformal p-values of anomaly scores, and decisions by them. Needs numpy alone."""

from service.conformal.calibration import N_EXACT, Calibration, tie_breakers
from service.conformal.false_discovery import benjamini_hochberg, discovery_limit

__all__ = ["N_EXACT", "Calibration", "benjamini_hochberg", "discovery_limit", "tie_breakers"]
