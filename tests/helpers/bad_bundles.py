"""Bundles that do their worst."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from service.bundle import files as bundle
from tests.helpers.stores import edit
from tests.helpers.tiny import write_tiny_bundle


def write_endless_bundle(folder: Path, name: str) -> Path:
    """Write folder/<name>/1, whose graph to encode never comes to an end."""
    path = write_tiny_bundle(folder, name)
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go_on"], ["goes_on"]),
            helper.make_node("Identity", ["value"], ["next"]),
        ],
        "body",
        [
            info("turn", TensorProto.INT64, []),
            info("go_on", TensorProto.BOOL, []),
            info("value", TensorProto.FLOAT, ["N", 2]),
        ],
        [info("goes_on", TensorProto.BOOL, []), info("next", TensorProto.FLOAT, ["N", 2])],
    )
    nodes = [
        helper.make_node("Loop", ["", "true", "x"], ["z"], body=body),
        helper.make_node("ReduceSum", ["z", "axes"], ["log_prob"], keepdims=0),
    ]
    true = helper.make_tensor("true", TensorProto.BOOL, [], [True])
    replace_graph(path, "encode.onnx", nodes, {"x": ["N", 2]}, {"z": ["N", 2]}, [true])
    return path


def replace_graph(
    path: Path,
    file: str,
    nodes: list[Any],
    inputs: dict[str, Sequence[str | int]],
    outputs: dict[str, Sequence[str | int]],
    constants: list[Any],
    values: dict[str, Sequence[str | int]] | None = None,
) -> None:
    """Write another graph in a tiny bundle's place, which sums `axes` 1 to log_prob."""

    def info(shapes: dict[str, Sequence[str | int]]) -> list[Any]:
        make = helper.make_tensor_value_info
        return [make(key, TensorProto.FLOAT, list(shape)) for key, shape in shapes.items()]

    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(
        nodes,
        "bad",
        info(inputs),
        info({**outputs, "log_prob": ["N"]}),
        [axes, *constants],
        value_info=info(values or {}),
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path / file)
    files = json.loads((path / "manifest.json").read_text())["files"]
    edit(path, files=files | {file: bundle.sha256(path / file)})
