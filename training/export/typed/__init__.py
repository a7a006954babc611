"""Export of densities over typed columns to verified ONNX graphs, and to bundles."""

from training.export.typed.bundle import export_table
from training.export.typed.verify import TypedGraphs, verified_graphs

__all__ = ["TypedGraphs", "export_table", "verified_graphs"]
