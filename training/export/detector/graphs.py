"""The graphs of a detector as ONNX files."""

import copy
from collections.abc import Callable
from typing import Any

import torch

from models.numerics import fold
from training.detectors import Detector
from training.export.recorded import Axes, onnx_model, recorded


def score_graph(detector: Detector) -> bytes:
    """An ONNX file: x, N × D, and context, if there is one → score, N; log_prob, N; in float64."""
    folded = copy.deepcopy(detector).cpu()
    fold(folded)
    return _graph(detector, folded, ["score", "log_prob"])


def neighbours_graph(detector: Detector) -> bytes:
    """An ONNX file: x, N × D, and context, if there is one → values, N × D × K; in float64."""
    return _graph(detector, detector.neighbours, ["values"])


def _graph(detector: Detector, function: Callable[..., Any], outputs: list[str]) -> bytes:
    """The file of a function of x and context."""
    d = len(detector.columns)
    shapes: dict[str, Axes] = {"x": ("batch", d)}
    if detector.context is not None:
        shapes["context"] = ("batch", len(detector.references[0]) - d)
    content: bytes = onnx_model(
        recorded(function, shapes, outputs, torch.float64)
    ).SerializeToString()
    return content
