"""Export: from a run to a verified bundle in a store."""

from training.export.bundle import export
from training.export.inverse_search import FASTEST, InverseRequest
from training.export.next_version import check_name, check_store, exported_already
from training.export.typed import TypedGraphs, export_table, verified_graphs

__all__ = [
    "FASTEST",
    "InverseRequest",
    "TypedGraphs",
    "check_name",
    "check_store",
    "export",
    "export_table",
    "exported_already",
    "verified_graphs",
]
