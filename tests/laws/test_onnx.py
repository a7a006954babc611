"""Exported graphs agree with their flows, at any batch size, for every line of the law table."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import models.loops
from models.flow import Flow
from tests.laws.zoo_table import FLOWS, case, randomise
from training.export import graph

BATCHES = (1, 5, 64)


def exported(name: str) -> tuple[Flow, dict[str, bytes]]:
    torch.manual_seed(0)
    flow = FLOWS[name]().eval()
    randomise(flow, 0.15)
    return flow, {"x": graph(flow, "x", "z"), "z": graph(flow, "z", "x")}


def assert_agrees(flow: Flow, name: str, source: str, content: bytes) -> None:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    reference = flow.double()
    for batch in BATCHES:
        one = case(name, torch.float32, rows=batch)
        rows = one.x if source == "x" else torch.randn(batch, *flow.bijection.latent_shape)
        context = None if one.context is None else one.context.double()
        with torch.no_grad():
            go = reference.encode if source == "x" else reference.decode
            value, log_prob = (t.numpy() for t in go(rows.double(), context))
        feed = {source: rows.numpy()}
        if one.context is not None:
            feed["context"] = one.context.numpy()
        got, got_log_prob = session.run(None, feed)
        assert got.dtype == got_log_prob.dtype == np.float32
        assert got.shape == value.shape
        assert np.abs(got - value).max() <= 1e-4 * max(1, np.ptp(value))
        assert np.abs(got_log_prob - log_prob).max() <= 1e-4 * value[0].size
    flow.float()


@pytest.mark.parametrize("name", FLOWS)
def test_graphs_agree_with_the_float64_flow(name: str) -> None:
    flow, graphs = exported(name)
    for source, content in graphs.items():
        assert_agrees(flow, name, source, content)


def test_sequential_directions_are_one_scan_a_layer_and_leave_no_trace_of_this_machine() -> None:
    _, graphs = exported("maf")
    operators = [node.op_type for node in onnx.load_from_string(graphs["z"]).graph.node]
    assert operators.count("Scan") == 3
    assert "Scan" not in [node.op_type for node in onnx.load_from_string(graphs["x"]).graph.node]
    assert not any(b".py" in content for content in graphs.values())


def test_without_the_private_scan_the_loop_is_unrolled_and_agrees(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(models.loops, "scan", None)
    flow, graphs = exported("maf 2-D")
    assert b"Scan" not in graphs["z"]
    assert_agrees(flow, "maf 2-D", "z", graphs["z"])


def test_rows_outside_the_support_score_minus_infinity_in_the_graph() -> None:
    _, graphs = exported("maf logit")
    session = onnxruntime.InferenceSession(graphs["x"], providers=["CPUExecutionProvider"])
    rows = np.full((3, 5), 3, np.float32)
    rows[1, 4] = 17
    _, log_prob = session.run(None, {"x": rows})
    assert np.isneginf(log_prob).tolist() == [False, True, False]
