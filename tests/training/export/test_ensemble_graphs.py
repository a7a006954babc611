"""Graphs of ensembles that are not the mixture in float64 are not written."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from service.graphs import check, read_graph
from tests.helpers.recipes import call_bijecta
from training.export.ensemble import bundle as exported

RUNS = ["moons-maf", "moons-iaf"]
MISSED = "to decode misses the float64 reference"


def spoilt(content: bytes, change: Any) -> bytes:
    model = onnx.load_model_from_string(content)
    change(model.graph)
    spoilt: bytes = model.SerializeToString()
    return spoilt


def heavier(graph: onnx.GraphProto) -> None:
    """Give the members other weights, by a thousandth."""
    (tensor,) = [
        each
        for each in graph.initializer
        if each.data_type == onnx.TensorProto.DOUBLE and list(each.dims) == [1, len(RUNS)]
    ]
    values = numpy_helper.to_array(tensor) + np.log([1.001, 0.999])
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def exchanged(graph: onnx.GraphProto) -> None:
    """Let each member decode the rows of the other."""
    first, second = [node for node in graph.node if node.op_type == "If"]
    first.output[0], second.output[0] = second.output[0], first.output[0]


@pytest.mark.parametrize(
    ("graph", "change", "words"),
    [
        ("encode_graph", heavier, "to encode misses the float64 reference"),
        pytest.param("decode_graph", heavier, MISSED, marks=pytest.mark.long),
        pytest.param("decode_graph", exchanged, MISSED, marks=pytest.mark.long),
    ],
)
def test_a_graph_that_is_off_is_refused(
    ensembles: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    graph: str,
    change: Any,
    words: str,
) -> None:
    make = getattr(exported, graph)
    monkeypatch.setattr(exported, graph, lambda *args: spoilt(make(*args), change))
    done = call_bijecta("ensemble", *RUNS, "--store", tmp_path / "s", cwd=ensembles)
    assert done.returncode == 1
    assert words in done.stderr
    assert not (tmp_path / "s").exists()


def test_a_member_without_rows_does_not_run(ensembles: Path) -> None:
    """Each member's decoding is a branch; both directions share the weights of couplings."""
    folder = ensembles / "store" / "context-mixture" / "1"
    encode, decode = (
        onnx.load_model(folder / f"{name}.onnx").graph for name in ("encode", "decode")
    )
    assert sum(node.op_type == "If" for node in decode.node) == 2
    stored = [sum(t.ByteSize() for t in graph.initializer) for graph in (encode, decode)]
    assert stored[1] < 1.5 * stored[0]
    for name in ("encode", "decode"):
        graph = read_graph((folder / f"{name}.onnx").read_bytes())
        check(graph)
        assert graph.has_control_flow == (name == "decode")
