"""What the graphs of a flow are compared with: the flow itself, in float64."""

from training.export.reference.expected import Expected, Feed, Float64, GraphName
from training.export.reference.reference import REFERENCE_ROWS, Reference

__all__ = ["REFERENCE_ROWS", "Expected", "Feed", "Float64", "GraphName", "Reference"]
