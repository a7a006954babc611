"""Bundles of detectors with simple formulas: no training, and they load in milliseconds.

The score of a row is the sum over its columns of weight × distance from the first reference value,
in steps; of `amount` from the code of the context's group, where there is one. So the score is 0 of
the first reference row, replacing a column by its reference takes its summand away, and log_prob is
the score's negative. The columns are those of `tests.helpers.typed`; of arrays, 2 × 3 numbers.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from service import bundle
from service.conformal import Calibration
from tests.helpers.typed import COLUMNS, DAY, FIRST_DAY, MISSING

WEIGHTS = [1.0, 0.5, 2.0, 0.01]
"""Of each column."""
STEPS = [1.0, 0.1, 1.0, DAY]
REFERENCES = [[0.0, 1.0], [0.0, 0.1], [0.0, math.nan], [FIRST_DAY, FIRST_DAY + DAY]]
"""The values that `neighbours.onnx` gives of each column, whatever the row."""

LEFT_OUT: list[dict[str, Any]] = [
    {"name": "id", "reason": "identifier", "detail": "distinct in all rows"},
    {
        "name": "currency",
        "reason": "constant",
        "detail": "is 'EUR' in every row",
        "constant": {"kind": "categorical", "name": "currency", "classes": ["EUR"], "other": False},
    },
    {
        "name": "code",
        "reason": "constant",
        "detail": "is 978 in every row",
        "constant": {"kind": "lattice", "name": "code", "low": 978, "high": 978, "step": 1},
    },
    {"name": "note", "reason": "constant", "detail": "is missing", "constant": "missing"},
]

SCORES = [0.25 * k for k in range(1, 20)]
"""Of the calibration rows: the smallest p-value is 0.05."""

SHAPE = [2, 3]
"""Of a row of arrays."""

ROW: list[Any] = [1.5, 0.3, "FR", "2024-01-11"]
SCORE = 1.5 + 0.5 * 3 + 2.0 + 0.01 * 10
"""Of this row, without a context."""


def write_detector_bundle(
    folder: Path,
    name: str = "detector",
    version: int = 1,
    *,
    context: bool = False,
    arrays: bool = False,
    neighbours: bool = True,
    scores: Sequence[float] | None = SCORES,
    classes: Sequence[float] | None = None,
    most: int = 2**17,
) -> Path:
    """Write folder/<name>/<version>.

    Args:
        folder: the store.
        name: of the model.
        version: its number.
        context: whether it is conditional, on `group`, a or b, by which `amount` is moved.
        arrays: whether rows are arrays of `SHAPE`.
        neighbours: whether it has reasons.
        scores: of the calibration rows; None for no calibration.
        classes: of each calibration row, 0 or 1; needs a context.
        most: scores of a class that are kept; of more there is a sketch.
    """
    path = folder / name / str(version)
    path.mkdir(parents=True)
    graphs = {"score": _score(context, arrays)}
    if neighbours:
        graphs["neighbours"] = _neighbours(context, arrays)
    for graph, model in graphs.items():
        onnx.save(model, path / f"{graph}.onnx")
    content = detector_content(name, version, context, arrays, neighbours)
    if scores is not None:
        of = None if classes is None else np.array(classes, np.float64)
        calibration = Calibration.of(np.array(scores, np.float64), of, most)
        (path / bundle.CALIBRATION).write_bytes(bundle.calibration_bytes(calibration))
        by = None if classes is None else "group"
        content["calibration"] = calibrated(scores, by)
    content["files"] = {file.name: bundle.sha256(file) for file in sorted(path.iterdir())}
    content["checksum"] = bundle.checksum(content)
    (path / "manifest.json").write_text(json.dumps(content))
    return path


def detector_manifest() -> bundle.DetectorManifest:
    """The manifest of such a bundle, of no files."""
    content = detector_content("detector", 1, context=False, arrays=False, neighbours=True)
    return bundle.DetectorManifest.model_validate(content | {"files": {}, "checksum": ""})


def calibrated(scores: Sequence[float], by: str | None) -> dict[str, Any]:
    """What a manifest says of these scores."""
    levels = [0.0, 0.25, 0.5, 0.75, 1.0]
    quantiles = np.quantile(scores, levels).tolist()
    return {
        "method": "folds",
        "rows": len(scores),
        "by": by,
        "levels": levels,
        "score": quantiles,
        "log_prob": [-each for each in quantiles[::-1]],
    }


def detector_content(
    name: str, version: int, context: bool, arrays: bool, neighbours: bool
) -> dict[str, Any]:
    """What its manifest says, but for calibration, files and checksum."""
    shape = SHAPE if arrays else [len(COLUMNS)]
    number = {"type": "float64", "row_shape": []}
    inputs = {"x": {"type": "float64", "row_shape": shape}}
    if context:
        inputs["context"] = {"type": "float64", "row_shape": [1]}
    outputs = {"score": number, "log_prob": number}
    graphs = {"score": {"inputs": inputs, "outputs": outputs, "cost": "parallel"}}
    if neighbours:
        values = {"type": "float64", "row_shape": [*shape, 2]}
        graphs["neighbours"] = {"inputs": inputs, "outputs": {"values": values}, "cost": "parallel"}
    group = {"name": "group", "classes": [0, 1], "labels": ["a", "b"]}
    raw_values = [] if arrays else ["classes", "constants", "point_masses", "ranges"]
    row: list[Any] = [0.5] * math.prod(SHAPE) if arrays else ROW
    score = 0.5 * math.prod(SHAPE) if arrays else SCORE
    return {
        "format_version": 2,
        "kind": "detector",
        "name": name,
        "version": version,
        "family": "reference",
        "columns": None if arrays else COLUMNS,
        "left_out": [] if arrays else LEFT_OUT,
        "context": [group] if context else None,
        "event_shape": shape,
        "graphs": graphs,
        "dtype": "float64",
        "arithmetic": "float64",
        "configuration": "clean",
        "parts": [{"name": "distance", "detail": "from one row", "weight": 1.0, "indexed_rows": 1}],
        "raw_values": sorted([*raw_values, "indexed_rows", "self_test"]),
        "data": {"name": "none", "sha256": "0" * 64, "noise": 0.0},
        "held_out": {"log_prob": 0.0, "se": 0.0, "rows": 1},
        "calibration": None,
        "tolerances": {"score": 0.0, "log_prob_per_dim": 0.0, "batch_sizes": [1]},
        "self_test": {
            "row": row,
            "context": [0.0] if context else None,
            "score": score,
            "log_prob": -score,
        },
        "made_with": {"by": "test"},
    }


def _score(context: bool, arrays: bool) -> onnx.ModelProto:
    constants: dict[str, Any] = {"missing": [MISSING], "zero": [0.0]}
    if arrays:
        constants |= {"steps": [1.0], "weights": [1.0], "origins": [0.0]}
        constants["is_moved"] = [1.0, 0.0, 0.0]
    else:
        origins = [values[0] for values in REFERENCES]
        constants |= {"steps": STEPS, "origins": origins, "weights": WEIGHTS}
        constants["is_moved"] = [1.0, 0.0, 0.0, 0.0]
    given = "moves" if arrays and context else "context" if context else "zero"
    nodes = [
        _node("IsNaN x > gaps"),
        _node("Where gaps missing x > values"),
        _node(f"Mul {given} is_moved > moved"),
        _node("Sub values origins > offsets"),
        _node("Sub offsets moved > centred"),
        _node("Div centred steps > counts"),
        _node("Abs counts > distances"),
        _node("Mul distances weights > summands"),
        helper.make_node("ReduceSum", ["summands", "axes"], ["score"], keepdims=0),
        _node("Neg score > log_prob"),
    ]
    if given == "moves":
        nodes.insert(0, helper.make_node("Unsqueeze", ["context", "second"], ["moves"]))
    axes = [1, 2] if arrays else [1]
    tensors = [_constant(name, values) for name, values in constants.items()]
    tensors.append(helper.make_tensor("axes", TensorProto.INT64, [len(axes)], axes))
    tensors.append(helper.make_tensor("second", TensorProto.INT64, [1], [2]))
    return _model(nodes, context, arrays, [_tensor("score"), _tensor("log_prob")], tensors)


def _neighbours(context: bool, arrays: bool) -> onnx.ModelProto:
    values = np.broadcast_to([0.0, 1.0], (*SHAPE, 2)) if arrays else np.array(REFERENCES)
    table = helper.make_tensor(
        "table", TensorProto.DOUBLE, [1, *values.shape], values.ravel().tolist()
    )
    sides = [1] * values.ndim
    tensors = [
        table,
        helper.make_tensor("sides", TensorProto.INT64, [len(sides)], sides),
    ]
    nodes = [
        helper.make_node("Shape", ["x"], ["rows"], start=0, end=1),
        helper.make_node("Concat", ["rows", "sides"], ["shape"], axis=0),
        helper.make_node("Expand", ["table", "shape"], ["values"]),
    ]
    return _model(nodes, context, arrays, [_tensor("values", *values.shape)], tensors)


def _model(
    nodes: list[onnx.NodeProto],
    context: bool,
    arrays: bool,
    outputs: list[onnx.ValueInfoProto],
    tensors: list[onnx.TensorProto],
) -> onnx.ModelProto:
    inputs = [_tensor("x", *(SHAPE if arrays else [len(COLUMNS)]))]
    inputs += [_tensor("context", 1)] * context
    graph = helper.make_graph(nodes, "detector", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def _node(text: str) -> onnx.NodeProto:
    """A node of a line: operation, inputs, > and outputs."""
    left, _, right = text.partition(" > ")
    operation, *inputs = left.split()
    return helper.make_node(operation, inputs, right.split())


def _constant(name: str, values: list[float]) -> onnx.TensorProto:
    return helper.make_tensor(name, TensorProto.DOUBLE, [len(values)], values)


def _tensor(name: str, *row: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["N", *row])
