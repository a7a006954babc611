"""The graphs of a detector as ONNX files."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from onnx import helper

from models.numerics import fold
from training.detectors import Detector
from training.export.recorded import Axes, recorded
from training.export.torch_export import IR_VERSION, OPSET


def score_graph(detector: Detector) -> bytes:
    """An ONNX file: x, N × D, and context, if there is one → score, N; log_prob, N; in float64."""
    folded = copy.deepcopy(detector).cpu()
    fold(folded)
    return _graph(detector, folded, ["score", "log_prob"])


def neighbours_graph(detector: Detector) -> bytes:
    """An ONNX file: x, N × D, and context, if there is one → values, N × D × K; in float64."""
    return _graph(detector, detector.neighbours, ["values"])


def _graph(detector: Detector, function: Callable[..., Any], outputs: list[str]) -> bytes:
    """The file of a function of x and context.

    Recorded: torch's exporter takes 20 to 60 s for what takes half a second here.
    """
    row, d = detector.references[0], len(detector.columns)
    rows = {"x": row[:d]}
    if detector.context is not None:
        rows["context"] = row[d:]
    shapes: dict[str, Axes] = {name: ["batch", len(values)] for name, values in rows.items()}
    graph = recorded(function, shapes, outputs, torch.float64, rows)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    content: bytes = model.SerializeToString()
    return content
