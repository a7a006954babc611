"""Export of densities over typed columns to verified ONNX graphs."""

from training.export.typed.verify import TypedGraphs, verified_graphs

__all__ = ["TypedGraphs", "verified_graphs"]
