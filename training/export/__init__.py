"""Export: from a run to a verified bundle in a store."""

from training.export.bundle import export
from training.export.inverse_search import FASTEST, InverseRequest
from training.export.next_version import exported_already

__all__ = [
    "FASTEST",
    "InverseRequest",
    "export",
    "exported_already",
]
