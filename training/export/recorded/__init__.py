"""Functions of tensors as ONNX graphs, by recording the operators that they run."""

from training.export.recorded.models import IR_VERSION, OPSET, onnx_model, recorded
from training.export.recorded.recorder import custom_node
from training.export.recorded.recording import Axes, CustomNode, RecordingError

__all__ = [
    "IR_VERSION",
    "OPSET",
    "Axes",
    "CustomNode",
    "RecordingError",
    "custom_node",
    "onnx_model",
    "recorded",
]
