"""Conformal p-values of anomaly scores, and decisions by them. Needs numpy alone."""

from service.conformal.calibration import N_EXACT, Calibration, tie_breakers
from service.conformal.false_discovery import benjamini_hochberg, discovery_limit
from service.conformal.hours import (
    HOUR,
    WEEK_HOURS,
    HourClasses,
    hour_classes,
    hours_from_array,
    hours_to_array,
)
from service.conformal.ranking import Placements, auroc_difference, placements
from service.conformal.urn import Urn, column_urns, urn_of, urns_from_array, urns_to_array

__all__ = [
    "HOUR",
    "N_EXACT",
    "WEEK_HOURS",
    "Calibration",
    "HourClasses",
    "Placements",
    "Urn",
    "auroc_difference",
    "benjamini_hochberg",
    "column_urns",
    "discovery_limit",
    "hour_classes",
    "hours_from_array",
    "hours_to_array",
    "placements",
    "tie_breakers",
    "urn_of",
    "urns_from_array",
    "urns_to_array",
]
