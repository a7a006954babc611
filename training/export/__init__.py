"""Export: from a run to a verified bundle in a store."""

from training.export.bundle import export
from training.export.detector import HeldOutScores, check_without_values, export_detector
from training.export.ensemble import Ensemble, export_ensemble
from training.export.inverse_search import FASTEST, InverseRequest, inverse_request
from training.export.layers import check_layers
from training.export.next_version import (
    Asked,
    check_name,
    check_store,
    ensemble_exported_already,
    exported_already,
)
from training.export.sweeps import check_student
from training.export.typed import TypedGraphs, export_table, verified_graphs

__all__ = [
    "FASTEST",
    "Asked",
    "Ensemble",
    "HeldOutScores",
    "InverseRequest",
    "TypedGraphs",
    "check_layers",
    "check_name",
    "check_store",
    "check_student",
    "check_without_values",
    "ensemble_exported_already",
    "export",
    "export_detector",
    "export_ensemble",
    "export_table",
    "exported_already",
    "inverse_request",
    "verified_graphs",
]
