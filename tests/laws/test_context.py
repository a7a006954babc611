"""Raw context to features, and flows that take it, in torch and as graphs."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from models import zoo
from models.bijection import Bijection
from models.context import ContextFeatures
from models.distributions import Normal
from models.flow import Flow
from models.layers.autoregressive.sequential_inverse import Inverse
from tests.laws.zoo_table import randomise
from training.export.graphs import draft

COLUMNS: list[dict[str, Any]] = [
    {"classes": [3, 7, 8]},
    {"mean": 10.0, "scale": 4.0},
    {"classes": [0, 1]},
]
RAW = torch.tensor([[7.0, 14.0, 1.0], [3.0, 10.0, 0.0], [5.0, 2.0, 1.0]])


def flow(embedding: int | None) -> Flow:
    torch.manual_seed(0)
    context = {"columns": COLUMNS, "embedding": embedding}
    made = zoo.build("maf", (2, 2), context=context, options={"transforms": 2, "hidden": (16,)})
    randomise(made, 0.3)
    return made.eval()


def test_numbers_are_standardised_and_labels_one_hot() -> None:
    # a label that is no class is none of them
    expected = [[1, 0, 1, 0, 0, 1], [0, 1, 0, 0, 1, 0], [-2, 0, 0, 0, 0, 1]]
    features = ContextFeatures(COLUMNS)
    assert (features.context_shape, features.size) == ((3,), 6)
    assert features(RAW).tolist() == expected
    assert features(RAW[:0]).shape == (0, 6)
    assert ContextFeatures(COLUMNS[1:2])(RAW[:, 1:2]).tolist() == [[1], [0], [-2]]


def test_an_embedding_is_a_vector_for_each_class_added_up() -> None:
    features = ContextFeatures(COLUMNS, embedding=5)
    assert features.size == 6
    assert features.embedding is not None
    vectors = features.embedding.weight.T
    expected = torch.stack([vectors[1] + vectors[4], vectors[0] + vectors[3], vectors[4]])
    torch.testing.assert_close(features(RAW)[:, 1:], expected)


@pytest.mark.parametrize(
    ("columns", "embedding"),
    [
        ([], None),
        ([{"mean": 0.0}], None),
        ([{"mean": 0.0, "scale": 0.0}], None),
        ([{"classes": []}], None),
        ([{"classes": [1, 1]}], None),
        ([{"classes": [1, 2], "mean": 0.0, "scale": 1.0}], None),
        ([{"mean": 0.0, "scale": 1.0}], 4),
        ([{"classes": [0, 1]}], 0),
    ],
)
def test_what_is_no_context_is_refused(columns: list[dict[str, float]], embedding: int) -> None:
    with pytest.raises(ValueError, match="context"):
        zoo.build("maf", (2,), context={"columns": columns, "embedding": embedding})


def test_shapes_are_checked_and_named() -> None:
    made = flow(None)
    assert (made.context_shape, made.bijection.context_shape) == ((3,), (6,))
    x = torch.zeros(3, 2, 2)
    for context, got in ((None, "None"), (RAW[:, :2], r"\(2,\)")):
        with pytest.raises(ValueError, match=rf"row shape \(3,\), got {got}"):
            made.encode(x, context)
        with pytest.raises(ValueError, match=rf"row shape \(3,\), got {got}"):
            made.decode(x, context)
    with pytest.raises(ValueError, match="the context has 6 features"):
        Flow(Normal((2,)), zoo.build("maf", (2,)).bijection, ContextFeatures(COLUMNS))
    with pytest.raises(ValueError, match="not both"):
        zoo.build("maf", (2,), context_shape=(6,), context={"columns": COLUMNS})


def test_gradients_reach_the_embedding_both_ways() -> None:
    made = flow(4)
    assert made.features is not None
    assert made.features.embedding is not None
    for go in (made.encode, made.decode):
        made.zero_grad()
        sum(part.sum() for part in go(torch.randn(3, 2, 2), RAW)).backward()  # type: ignore[union-attr]
        gradient = made.features.embedding.weight.grad
        assert gradient is not None
        assert torch.isfinite(gradient).all()
        # every class that a row has, and no other
        assert (gradient.abs().sum(0) > 0).tolist() == [True, True, False, True, True]


@pytest.mark.parametrize("embedding", [None, 4])
@pytest.mark.parametrize("source", ["x", "z"])
def test_graphs_take_raw_context(source: str, embedding: int | None) -> None:
    made = flow(embedding)
    content = draft(made, source, "z" if source == "x" else "x").finish(Inverse("sequential", 4))
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    made.double()
    go = made.encode if source == "x" else made.decode
    for n in (1, 5, 64):
        rows, context = torch.randn(n, 2, 2), RAW[torch.arange(n) % 3]
        with torch.no_grad():
            value, log_prob = (t.numpy() for t in go(rows.double(), context.double()))
        got, got_log_prob = session.run(None, {source: rows.numpy(), "context": context.numpy()})
        assert np.abs(got - value).max() <= 1e-4
        assert np.abs(got_log_prob - log_prob).max() <= 4e-4


class Recorder(Bijection):
    """The identity, which keeps what it is started with."""

    def initialize_from_data(self, x: Tensor, context: Tensor | None = None) -> None:
        self.rows = (x, context)
        assert not torch.is_grad_enabled()

    def _encode(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return x, x.sum(1) * 0

    def _decode(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return z, z.sum(1) * 0


def test_layers_are_initialized_from_features() -> None:
    features = ContextFeatures(COLUMNS)
    layer = Recorder((2,), context_shape=(6,))
    x = torch.randn(3, 2)
    Flow(Normal((2,)), layer, features).initialize_from_data(x, RAW)
    assert torch.equal(layer.rows[0], x)
    assert layer.rows[1] is not None
    assert torch.equal(layer.rows[1], features(RAW))
