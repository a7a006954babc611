"""A bundle whose graphs copy their input: no training, and it loads in milliseconds."""

import json
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from service.bundle import files as bundle

GRAPHS = {"encode.onnx": ("x", "z"), "decode.onnx": ("z", "x")}

ROW = [0.5, -2.0]


def write_tiny_bundle(folder: Path, name: str, version: int = 1) -> Path:
    """Write folder/<name>/<version>: two dimensions, z = x, and log_prob is the sum of a row."""
    path = folder / name / str(version)
    path.mkdir(parents=True)
    for file, (source, copy) in GRAPHS.items():
        onnx.save(_graph(source, copy), path / file)
    manifest = _manifest(name, version, {file: bundle.sha256(path / file) for file in GRAPHS})
    manifest["checksum"] = bundle.checksum(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


def _graph(source: str, copy: str) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Identity", [source], [copy]),
        helper.make_node("ReduceSum", [source, "axes"], ["log_prob"], keepdims=0),
    ]
    shapes: dict[str, list[str | int]] = {source: ["N", 2], copy: ["N", 2], "log_prob": ["N"]}
    tensors = {k: helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in shapes.items()}
    outputs = [tensors[copy], tensors["log_prob"]]
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(nodes, "tiny", [tensors[source]], outputs, [axes])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def _manifest(name: str, version: int, files: dict[str, str]) -> dict[str, Any]:
    return {
        "format_version": 1,
        "name": name,
        "version": version,
        "family": "maf",
        "event_shape": [2],
        "latent_shape": [2],
        "dtype": "float32",
        "base": "normal",
        "context_shape": None,
        "cost": {"encode": "parallel", "decode": "parallel"},
        "preprocessing": [],
        "support": None,
        "dequantization": None,
        "data": {"name": "none", "sha256": "0" * 64, "noise": 0.0},
        "held_out": {
            "log_prob": 0.0,
            "se": 0.0,
            "rows": 1,
            "noise_copies": 1,
            "bits_per_dim": None,
            "bits_per_dim_se": None,
        },
        "calibration": {"rows": 1, "levels": [0.0, 1.0], "log_prob": [0.0, 0.0]},
        "tolerances": {
            "log_prob_per_dim_p99": 0.0,
            "log_prob_per_dim_max": 0.0,
            "z_relative": 0.0,
            "x_relative": 0.0,
            "batch_sizes": [1],
        },
        "self_test": {"x": ROW, "context": None, "log_prob": sum(ROW)},
        "files": files,
        "made_with": {"by": "test"},
    }
