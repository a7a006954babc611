"""Graphs of densities over typed columns: exact values, far tails, rows outside the support."""

from functools import cache
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from models import zoo
from tests.laws.typed_tables import TABLES, context_of, density, rows_of
from training.errors import ExportError
from training.export.typed import TypedGraphs, verified_graphs, verify
from training.export.verify import BARS
from training.preprocessing import fit_columns

FAST = ("discrete context transformer", "one column transformer")
"""Of the tables whose network is a transformer, those that `make test` exports."""

every_table = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.long] * ("transformer" in name and name not in FAST))
        for name in TABLES
    ],
)


@cache
def graphs(name: str) -> TypedGraphs:
    """Graphs of a table's density; exporting checks them against the density."""
    context = context_of(name, len(rows_of(name)))
    # of fewer rows than exports take: of latents as many as fill the largest batch
    with patch.object(verify, "REFERENCE_ROWS", 64):
        return verified_graphs(
            density(name), rows_of(name), None if context is None else context.numpy()
        )


@cache
def session(name: str, direction: str) -> onnxruntime.InferenceSession:
    """A session of a table's graph; loading one takes up to a second."""
    graph: bytes = getattr(graphs(name), direction)
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def run(name: str, direction: str, **feed: NDArray[np.float64]) -> Any:
    return session(name, direction).run(None, feed)


def also(name: str, rows: int) -> dict[str, NDArray[np.float64]]:
    context = context_of(name, rows)
    return {} if context is None else {"context": context.numpy().copy()}


def far_rows(name: str) -> NDArray[np.float64]:
    """Training rows, and rows whose numbers are up to six deviations away, or many steps."""
    x = rows_of(name)[:60].copy()
    for i, column in enumerate(TABLES[name]):
        if column["kind"] != "categorical" and not column.get("closed"):
            step = column.get("step", 1e-3)
            distance = np.linspace(-6, 6, 30) * (np.nanstd(x[:, i]) or 1.0)
            x[30:, i] += np.round(distance / step) * step
    return x


@every_table
def test_graphs_are_within_the_bars_at_any_batch_size(name: str) -> None:
    measured, n = graphs(name).tolerances.model_dump(), len(TABLES[name])
    assert {key: measured[key] <= bar for key, bar in BARS.items()} == dict.fromkeys(BARS, True)
    for rows in (1, 5):
        z = np.random.default_rng(1).normal(size=(rows, n))
        x, log_prob = run(name, "decode", z=z, **also(name, rows))
        assert x.dtype == log_prob.dtype == np.float64
        assert (x.shape, log_prob.shape) == ((rows, n), (rows,))


@every_table
@pytest.mark.parametrize("u", [1e-300, 1e-16, 0.3, 1 - 2**-53])
def test_the_graph_decodes_what_the_graph_encodes(name: str, u: float) -> None:
    x = far_rows(name)
    z, log_prob = run(name, "encode", x=x, u=np.full_like(x, u), **also(name, len(x)))
    again, decoded = run(name, "decode", z=z, **also(name, len(x)))
    for i, column in enumerate(TABLES[name]):
        if column["kind"] == "categorical" or "step" in column:
            np.testing.assert_array_equal(again[:, i], x[:, i], err_msg=str(i))
        else:
            atol = 1e-7 * float(np.nanstd(x[:, i]))
            np.testing.assert_allclose(again[:, i], x[:, i], rtol=1e-9, atol=atol)
            at_mass = np.isin(x[:, i], column.get("point_masses", []))
            np.testing.assert_array_equal(again[at_mass, i], x[at_mass, i])
    np.testing.assert_allclose(decoded, log_prob, rtol=1e-7, atol=1e-7)


def test_the_graph_of_a_transformer_keeps_the_digits_of_float64() -> None:
    name = "discrete context transformer"
    x = torch.from_numpy(rows_of(name))
    with torch.no_grad():
        expected, _ = density(name).encode(x, context_of(name, len(x)))
    feed = {"x": x.numpy(), "u": np.full(x.shape, 0.5)}
    z, _ = run(name, "encode", **feed, **also(name, len(x)))
    np.testing.assert_allclose(z, expected.numpy(), rtol=0, atol=1e-12)


@every_table
def test_the_graph_gives_rows_outside_the_support_no_density(name: str) -> None:
    x = rows_of(name)[:5].copy()
    x[2, 0] = np.inf
    z, log_prob = run(name, "encode", x=x, u=np.full_like(x, 0.5), **also(name, 5))
    assert np.isneginf(log_prob).tolist() == [False, False, True, False, False]
    assert np.isnan(z).all(axis=1).tolist() == [False, False, True, False, False]


@every_table
def test_columns_of_a_group_share_their_functions(name: str) -> None:
    model = onnx.load_from_string(graphs(name).decode)
    # to decode, for features and for log_prob; of a masked network its units, of a transformer the
    # first caches and a step; and the latents' scale
    of_network = 2 if "transformer" in name else 1
    assert len(model.functions) <= 3 * len(density(name).groups) + of_network + 1
    assert b".py" not in graphs(name).decode + graphs(name).encode


def test_a_graph_that_differs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "classes"
    other = graphs(name)
    monkeypatch.setattr(verify, "encode_graph", lambda _: other.encode)
    monkeypatch.setattr(verify, "decode_graph", lambda _: other.decode)
    context = context_of(name, 500)
    changed = density(name, scale=0.31)
    with pytest.raises(ExportError, match="misses the float64 reference"):
        verified_graphs(changed, rows_of(name), None if context is None else context.numpy())


def test_cells_too_small_for_a_latent_of_their_own_do_not_refuse_a_graph() -> None:
    rows = np.exp(np.random.default_rng(0).normal(20, 5, size=(400, 1))).round()
    assert np.ptp(rows) > 1e13
    columns = fit_columns(rows, [{"kind": "lattice", "step": 1.0}])
    made = zoo.build_tabular(columns, len(rows), options={"hidden": (8,), "components": 2})
    measured = verified_graphs(made, rows, None).tolerances
    assert measured.x_relative < BARS["x_relative"]
