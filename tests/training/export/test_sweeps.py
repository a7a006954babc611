"""Exported sweeps: they answer as torch does, each row by itself, and manifests say how many."""

from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from models import zoo
from models.flow import Flow
from models.layers.autoregressive import Autoregressive, Inverse
from service.graphs import check, read_graph
from tests.laws.zoo_table import randomise
from training.export.graphs import Draft, draft
from training.export.sweeps import measured_sweeps

D, CONTEXT = 16, 2
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "masked": ("maf", {"hidden": (24, 24), "residual": True}),
    "masked spline": ("nsf-ar", {"hidden": (24,), "bins": 4}),
    "masked mixture": ("maf-logistic", {"hidden": (12,), "components": 2}),
    "transformer": ("transformer", {"hidden": (8, 8), "heads": 2, "patch": 2}),
    "transformer spline": (
        "transformer",
        {"hidden": (8,), "heads": 2, "univariate": "spline", "bins": 4},
    ),
    "wavenet": ("wavenet", {"hidden": (8, 8)}),
}
FAST = ("masked", "transformer")
every_kind = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] * (name not in FAST)) for name in FAMILIES]
)
Array = np.ndarray[Any, np.dtype[np.float32]]


def flow_of(name: str, context: int = CONTEXT) -> Flow:
    torch.manual_seed(0)
    family, options = FAMILIES[name]
    shape = (context,) if context else None
    made = zoo.build(family, (D,), context_shape=shape, options={"transforms": 2} | options)
    randomise(made, 0.2)
    return made.eval()


def set_inverse(flow: Flow, inverse: Inverse) -> None:
    for layer in flow.modules():
        if isinstance(layer, Autoregressive):
            layer.inverse = inverse


@cache
def drafted(name: str) -> Draft:
    """The decoding graph of a flow, recorded once."""
    return draft(flow_of(name), "z", "x")


def session_of(content: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def feed_of(rows: int, scale: float = 1.0) -> dict[str, Array]:
    noise = np.random.default_rng(rows)
    return {
        "z": (scale * noise.standard_normal((rows, D))).astype(np.float32),
        "context": noise.standard_normal((rows, CONTEXT)).astype(np.float32),
    }


@pytest.mark.parametrize("tolerance", [0.0, 1e-5])
@pytest.mark.parametrize("width", [6, D])
@every_kind
def test_graphs_of_sweeps_are_those_of_torch(name: str, width: int, tolerance: float) -> None:
    content = drafted(name).finish(Inverse("jacobi", width, tolerance))
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    check(read_graph(content))
    session, flow = session_of(content), flow_of(name).double()
    steps = flow_of(name).double()
    set_inverse(flow, Inverse("jacobi", width, tolerance))
    set_inverse(steps, Inverse("sequential", 1))
    for rows in (1, 7, 64):
        feed = feed_of(rows)
        x, log_prob = session.run(None, feed)
        given = [torch.from_numpy(values).double() for values in feed.values()]
        with torch.no_grad():
            for expected in (flow.decode(*given), steps.decode(*given)):
                np.testing.assert_allclose(x, expected[0], rtol=1e-4, atol=1e-4)
                np.testing.assert_allclose(log_prob, expected[1], rtol=1e-4, atol=1e-3)


@every_kind
def test_a_row_has_the_same_answer_whatever_its_companions(name: str) -> None:
    mine = [1, 4, 6]
    feed, others = feed_of(8), feed_of(8, scale=3.0)
    for key, values in feed.items():
        others[key][mine] = values[mine]
    for width in (6, D):
        session = session_of(drafted(name).finish(Inverse("jacobi", width, 1e-2)))
        for found, again in zip(session.run(None, feed), session.run(None, others), strict=True):
            np.testing.assert_array_equal(found[mine], again[mine])


@every_kind
def test_a_tolerance_ends_sweeps_early_and_within_it(name: str) -> None:
    feed, answers = feed_of(64), []
    for tolerance in (0.0, 1e-5, 0.3):
        content = drafted(name).finish(Inverse("jacobi", D, tolerance))
        answers.append(session_of(content).run(["x"], feed)[0])
    scale = np.maximum(1, np.abs(answers[0]))
    near, far = (float((np.abs(found - answers[0]) / scale).max()) for found in answers[1:])
    assert near < 1e-3
    assert near < far


@every_kind
def test_a_row_beyond_all_numbers_leaves_its_neighbours_alone(name: str) -> None:
    session = session_of(drafted(name).finish(Inverse("jacobi", D, 1e-5)))
    feed = feed_of(6)
    expected, expected_log_prob = session.run(None, feed)
    feed["z"][1], feed["z"][2] = np.inf, np.nan
    x, log_prob = session.run(None, feed)
    alone = [0, 3, 4, 5]
    np.testing.assert_array_equal(x[alone], expected[alone])
    np.testing.assert_array_equal(log_prob[alone], expected_log_prob[alone])
    assert not np.isfinite(x[[1, 2]]).all(1).any()


def test_the_sweeps_of_rows_are_counted_over_layers_and_blocks() -> None:
    flow, feed = flow_of("masked"), feed_of(70)
    exact = measured_sweeps(flow, "decode", Inverse("jacobi", D), feed)
    early = measured_sweeps(flow, "decode", Inverse("jacobi", D, 1e-2), feed)
    narrow = measured_sweeps(flow, "decode", Inverse("jacobi", 1), feed)
    assert exact.rows == early.rows == 70
    assert 1 < early.median < exact.median <= exact.max <= D
    assert early.max < exact.max
    assert (narrow.median, narrow.max) == (1, 1)
    assert exact.guess is None


def test_layers_that_go_step_by_step_are_recorded_anew_for_sweeps() -> None:
    made = drafted("transformer")
    assert made.coordinates == []
    assert made.tokens == [(D // 2, 2)] * 2
    operators = {}
    for inverse in (Inverse("sequential", 2), Inverse("jacobi", D), Inverse("jacobi", 4)):
        model = onnx.load_from_string(made.finish(inverse))
        kinds = [node.op_type for node in model.graph.node]
        # a loop of each layer, and of its last block; sweeps alone compute whether they go on
        text = onnx.printer.to_text(model)
        operators[inverse] = kinds.count("Loop"), text.count("ReduceMax")
    assert [loops for loops, _ in operators.values()] == [2, 2, 4]
    assert [bool(sweeps) for _, sweeps in operators.values()] == [False, True, True]
    # one pass is never recorded anew
    encoding = draft(flow_of("transformer"), "x", "z")
    assert encoding.stepwise == []
