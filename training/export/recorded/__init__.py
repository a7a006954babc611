"""Functions of tensors as ONNX graphs, by recording the operators that they run."""

from training.export.recorded.operators import recorded
from training.export.recorded.recording import Axes, RecordingError

__all__ = ["Axes", "RecordingError", "recorded"]
