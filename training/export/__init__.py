"""Export: from a run to a verified bundle in a store."""

from training.export.bundle import export
from training.export.inverse_search import InverseRequest

__all__ = [
    "InverseRequest",
    "export",
]
