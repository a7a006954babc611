"""A bundle of two graphs that copy: it loads in a moment."""

import hashlib
import json
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from service.bundle import files as bundle

NAME = "tiny"


def write_tiny_bundle(folder: Path, like: Path, name: str = NAME, version: int = 1) -> Path:
    """Write folder/<name>/<version>, of two dimensions.

    Args:
        folder: the store.
        like: a bundle of two dimensions without a context, whose manifest is taken.
        name, version: of the bundle.
    """
    path = folder / name / str(version)
    path.mkdir(parents=True)
    files = {}
    for file, source, copy in (("encode.onnx", "x", "z"), ("decode.onnx", "z", "x")):
        graph = helper.make_graph(
            [
                helper.make_node("Identity", [source], [copy]),
                helper.make_node("ReduceSum", [source, "axes"], ["log_prob"], keepdims=0),
            ],
            "tiny",
            [helper.make_tensor_value_info(source, TensorProto.FLOAT, ["N", 2])],
            [
                helper.make_tensor_value_info(copy, TensorProto.FLOAT, ["N", 2]),
                helper.make_tensor_value_info("log_prob", TensorProto.FLOAT, ["N"]),
            ],
            [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        model.ir_version = 10
        onnx.save(model, path / file)
        files[file] = hashlib.sha256((path / file).read_bytes()).hexdigest()
    manifest = json.loads((like / "manifest.json").read_text())
    manifest |= {"name": name, "version": version, "files": files, "self_test": None}
    manifest["checksum"] = bundle.checksum(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path
