"""The graphs of a detector as ONNX files."""

import copy
from collections.abc import Callable
from typing import Any

import torch

from models.numerics import fold
from training.detectors import ArrayDetector, Detector
from training.export.recorded import Axes, onnx_model, recorded


def score_graph(detector: Detector | ArrayDetector) -> bytes:
    """An ONNX file: x, N × event shape, and context, if any → score, N; log_prob, N; in float64."""
    folded = copy.deepcopy(detector).cpu()
    fold(folded)
    return _graph(detector, folded, ["score", "log_prob"])


def neighbours_graph(detector: Detector) -> bytes:
    """An ONNX file: x, N × D, and context, if there is one → values, N × D × K; in float64."""
    return _graph(detector, detector.neighbours, ["values"])


def _graph(
    detector: Detector | ArrayDetector, function: Callable[..., Any], outputs: list[str]
) -> bytes:
    """The file of a function of x and context."""
    shapes: dict[str, Axes] = {"x": ("batch", *detector.event_shape)}
    if detector.context_columns:
        shapes["context"] = ("batch", detector.context_columns)
    content: bytes = onnx_model(
        recorded(function, shapes, outputs, torch.float64)
    ).SerializeToString()
    return content
