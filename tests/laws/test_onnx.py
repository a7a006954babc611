"""Exported graphs agree with their flows, at any batch size, for every line of the law table."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from models import zoo
from models.flow import Flow
from service.graphs import check, read_graph
from tests.helpers.bundles import line_flow
from tests.laws.zoo_table import FLOWS, case, every_line, missing_lines

BATCHES = (1, 5, 64)
GRAPHS = {"x": "encode.onnx", "z": "decode.onnx"}


def assert_agrees(flow: Flow, name: str, source: str, content: bytes) -> None:
    check(read_graph(content))  # as servers do before they load it
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


def test_every_family_has_a_line() -> None:
    often = [line for line in FLOWS.values() if not line.slow]
    assert {line.family for line in often} == set(zoo.FAMILIES)
    assert {line.family for line in often if line.context} == set(zoo.FAMILIES)


def test_a_new_family_gets_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(zoo.FAMILIES, "new", zoo.FAMILIES["nice"])
    assert {line.family for line in missing_lines(FLOWS).values()} == {"new"}
    assert {line.family for line in missing_lines({}).values()} == set(zoo.FAMILIES)


@every_line
def test_graphs_agree_with_the_float64_flow(name: str, line_bundle: Callable[[str], Path]) -> None:
    path = line_bundle(name)
    for source, file in GRAPHS.items():
        assert_agrees(line_flow(name), name, source, (path / file).read_bytes())


def test_sequential_directions_have_their_own_nodes_and_leave_no_trace_of_this_machine(
    line_bundle: Callable[[str], Path],
) -> None:
    contents = {
        source: (line_bundle("maf image") / file).read_bytes() for source, file in GRAPHS.items()
    }
    counts = []
    for content in contents.values():
        operators = [node.op_type for node in onnx.load_from_string(content).graph.node]
        counts.append((operators.count("Loop"), operators.count("MaskedInverse")))
    assert dict(zip(contents, counts, strict=True)) == {"x": (0, 0), "z": (2, 0)}
    assert not any(b".py" in content for content in contents.values())


@pytest.mark.parametrize(
    ("name", "loops"),
    [
        pytest.param("mintnet images context", [("Loop", 2)], marks=pytest.mark.long),
        ("mintnet rows context", [("Scan", 1)]),
    ],
)
def test_mintnet_decodes_by_one_loop_a_layer(
    name: str, loops: list[tuple[str, int]], line_bundle: Callable[[str], Path]
) -> None:
    for file, expected in (("encode.onnx", []), ("decode.onnx", loops)):
        nodes = onnx.load(line_bundle(name) / file).graph.node
        counts = Counter(node.op_type for node in nodes)
        assert [(kind, n) for kind, n in counts.items() if kind in ("Loop", "Scan")] == expected


def test_rows_outside_the_support_score_minus_infinity_in_the_graph(
    line_bundle: Callable[[str], Path],
) -> None:
    path = line_bundle("nice logit") / GRAPHS["x"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    rows = np.full((3, 5), 3, np.float32)
    rows[1, 4] = 17
    _, log_prob = session.run(None, {"x": rows})
    assert np.isneginf(log_prob).tolist() == [False, True, False]
