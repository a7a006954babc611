"""Export of detectors to verified ONNX graphs, and to bundles."""

from training.export.detector.bundle import HeldOutScores, check_without_values, export_detector
from training.export.detector.verify import DetectorGraphs, verified_detector

__all__ = [
    "DetectorGraphs",
    "HeldOutScores",
    "check_without_values",
    "export_detector",
    "verified_detector",
]
