"""A bundle whose rows take memory: 1.6 MB each while they are encoded."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from tests.helpers.bad_bundles import replace_graph
from tests.helpers.stores import edit
from tests.helpers.tiny import write_tiny_bundle

WIDTH = 100_000


def write_heavy_bundle(folder: Path) -> Path:
    """A bundle whose graph to encode has four values of `WIDTH` numbers alive at once, 1.6 MB."""
    path = write_tiny_bundle(folder, "heavy")
    edit(path, self_test=None)
    weights = np.full((2, WIDTH), 0.01, np.float32)
    constant = helper.make_tensor(
        "w", TensorProto.FLOAT, weights.shape, weights.tobytes(), raw=True
    )
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Exp", ["h"], ["a"]),
        helper.make_node("Tanh", ["h"], ["b"]),
        helper.make_node("Concat", ["a", "b"], ["c"], axis=1),
        helper.make_node("ReduceMean", ["c", "axes"], ["log_prob"], keepdims=0),
        helper.make_node("Identity", ["x"], ["z"]),
    ]
    shapes: dict[str, Sequence[str | int]] = {name: ["N", WIDTH] for name in "hab"}
    shapes["c"] = ["N", 2 * WIDTH]
    sides: dict[str, Sequence[str | int]] = {"x": ["N", 2]}
    replace_graph(path, "encode.onnx", nodes, sides, {"z": ["N", 2]}, [constant], shapes)
    return path
