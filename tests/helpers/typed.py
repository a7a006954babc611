"""A bundle of typed columns with simple formulas: no training, and it loads in milliseconds.

Four columns, independent of each other. `amount` is standard normal, and z is its value, less the
context where there is one. `count` (0, 0.1 … 1), `country` (DE, FR, all others, missing) and
`seen` (the days of 2024) are uniform; z is the number of the value, from 0, plus u, less half of
how many there are. So whatever is lost on the way shows.
"""

import json
import math
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from service.bundle import TableManifest
from service.bundle import files as bundle

ROW: list[Any] = [0.1, 0.3, None, "2024-02-29"]

TABLE: dict[str, list[Any]] = {
    "amount": [0.1, 0.1],
    "count": [0.3, 0.3],
    "country": ["FR", None],
    "seen": ["2024-02-29", "2024-02-29"],
}
"""Two rows as columns."""

DAY = 86400.0
FIRST_DAY = 1704067200.0
DAYS = 366

STEPS = [1.0, 0.1, 1.0, DAY]
ORIGINS = [0.0, 0.0, 0.0, FIRST_DAY]
VALUES = [1, 11, 4, DAYS]
"""How many values each column has; 1 of a number."""
MISSING = 3.0
"""The number of a country that is missing."""

COLUMNS: list[dict[str, Any]] = [
    {"kind": "numeric", "name": "amount", "low": -3.0, "high": 3.0, "point_masses": [0.1]},
    {
        "kind": "lattice",
        "name": "count",
        "low": 0.0,
        "high": 1.0,
        "step": 0.1,
        "closed": True,
    },
    {"kind": "categorical", "name": "country", "classes": ["DE", "FR"], "missing": True},
    {
        "kind": "datetime",
        "name": "seen",
        "low": FIRST_DAY,
        "high": FIRST_DAY + (DAYS - 1) * DAY,
        "step": DAY,
        "format": "%Y-%m-%d",
    },
]


def typed_manifest() -> TableManifest:
    """The manifest of such a bundle, of no files."""
    content = _manifest("typed", 1, context=False)
    return TableManifest.model_validate(content | {"files": {}, "checksum": ""})


def log_prob(amount: float) -> float:
    """Of a row within the support, in nats."""
    return -(amount**2) / 2 - 0.5 * math.log(2 * math.pi) - math.log(math.prod(VALUES))


def write_typed_bundle(
    folder: Path, name: str = "typed", version: int = 1, context: bool = False
) -> Path:
    """Write folder/<name>/<version>.

    Args:
        folder: the store.
        name: of the model.
        version: its number.
        context: whether it is conditional, on the mean of `amount`.
    """
    path = folder / name / str(version)
    path.mkdir(parents=True)
    for direction in ("encode", "decode"):
        onnx.save(_model(direction, context), path / f"{direction}.onnx")
    content = _manifest(name, version, context)
    content["files"] = {f: bundle.sha256(path / f) for f in ("decode.onnx", "encode.onnx")}
    content["checksum"] = bundle.checksum(content)
    (path / "manifest.json").write_text(json.dumps(content))
    return path


def _model(direction: str, context: bool) -> onnx.ModelProto:
    constants: dict[str, Any] = {
        "steps": STEPS,
        "tenths": [1.0, 10.0, 1.0, 1.0],
        "days": [1.0, 1.0, 1.0, DAY],
        "origins": ORIGINS,
        "halves": [n / 2 for n in VALUES],
        "last": [n - 1.0 for n in VALUES],
        "is_amount": [1.0, 0.0, 0.0, 0.0],
        "is_discrete": [0.0, 1.0, 1.0, 1.0],
        "is_country": [0.0, 0.0, 1.0, 0.0],
        "missing": [MISSING],
        "nan": [math.nan],
        "zero": [0.0],
        "half": [0.5],
        "log_p0": [log_prob(0.0)],
    }
    nodes = _encode() if direction == "encode" else _decode()
    nodes.insert(0, _node(f"Mul {'context' if context else 'zero'} is_amount > mean"))
    nodes += [
        _node("Mul a a > squares"),
        helper.make_node("ReduceSum", ["squares", "axes"], ["sum"], keepdims=0),
        _node("Mul sum half > loss"),
        _node("Sub log_p0 loss > log_prob"),
    ]
    source, result = ("x", "z") if direction == "encode" else ("z", "x")
    inputs = [source, *["u"] * (direction == "encode")]
    given = [_tensor(each, 4) for each in inputs] + [_tensor("context", 1)] * context
    tensors = [helper.make_tensor(k, TensorProto.DOUBLE, [len(v)], v) for k, v in constants.items()]
    tensors.append(helper.make_tensor("axes", TensorProto.INT64, [1], [1]))
    graph = helper.make_graph(
        nodes, "typed", given, [_tensor(result, 4), _tensor("log_prob")], tensors
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def _encode() -> list[onnx.NodeProto]:
    return [
        _node("IsNaN x > gaps"),
        _node("Where gaps missing x > values"),
        _node("Sub values mean > centred"),
        _node("Mul centred is_amount > a"),
        _node("Sub values origins > offsets"),
        _node("Div offsets steps > ratios"),
        _node("Round ratios > counts"),
        _node("Add counts u > places"),
        _node("Sub places halves > codes"),
        _node("Mul codes is_discrete > discrete"),
        _node("Add a discrete > z"),
    ]


def _decode() -> list[onnx.NodeProto]:
    return [
        _node("Mul z is_amount > a"),
        _node("Add z halves > places"),
        _node("Floor places > floors"),
        _node("Max floors zero > above"),
        _node("Min above last > cells"),
        _node("Mul cells days > scaled"),
        _node("Div scaled tenths > offsets"),
        _node("Add offsets origins > values"),
        _node("Mul values is_discrete > discrete"),
        _node("Add a mean > amounts"),
        _node("Add amounts discrete > rows"),
        _node("Mul cells is_country > countries"),
        _node("Equal countries missing > gaps"),
        _node("Where gaps nan rows > x"),
    ]


def _node(text: str) -> onnx.NodeProto:
    """A node of a line: operation, inputs, > and outputs."""
    left, _, right = text.partition(" > ")
    operation, *inputs = left.split()
    return helper.make_node(operation, inputs, right.split())


def _tensor(name: str, *row: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["N", *row])


def _manifest(name: str, version: int, context: bool) -> dict[str, Any]:
    row, number = {"type": "float64", "row_shape": [4]}, {"type": "float64", "row_shape": []}
    given = {"context": {"type": "float64", "row_shape": [1]}} if context else {}
    mean = {"name": "mean", "mean": 0.0, "scale": 1.0, "low": -1.0, "high": 1.0}
    figure = {"mean": 0.0, "se": 0.0}
    return {
        "format_version": 2,
        "kind": "table",
        "name": name,
        "version": version,
        "family": "tabular",
        "columns": COLUMNS,
        "left_out": [{"name": "id", "reason": "identifier", "detail": "distinct in all rows"}],
        "context": [mean] if context else None,
        "graphs": {
            "encode": {
                "inputs": {"x": row, "u": row, **given},
                "outputs": {"z": row, "log_prob": number},
                "cost": "parallel",
            },
            "decode": {
                "inputs": {"z": row, **given},
                "outputs": {"x": row, "log_prob": number},
                "cost": "sequential",
            },
        },
        "dtype": "float64",
        "arithmetic": "float64",
        "base": "normal",
        "raw_values": ["classes", "point_masses", "ranges", "self_test"],
        "data": {"name": "none", "sha256": "0" * 64, "noise": 0.0},
        "held_out": {
            "log_prob": 0.0,
            "se": 0.0,
            "rows": 1,
            "independent": figure,
            "gain": figure,
        },
        "calibration": {"rows": 1, "levels": [0.0, 1.0], "log_prob": [0.0, 0.0]},
        "tolerances": {
            "log_prob_per_dim_p99": 0.0,
            "log_prob_per_dim_max": 0.0,
            "z_relative": 0.0,
            "x_relative": 0.0,
            "batch_sizes": [1],
        },
        "self_test": {
            "row": ROW,
            "context": [0.0] if context else None,
            "log_prob": log_prob(ROW[0]),
        },
        "made_with": {"by": "test"},
    }
