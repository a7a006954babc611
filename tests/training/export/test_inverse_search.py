"""Exported inverses of masked layers: every way agrees with float64; the fastest is chosen."""

import copy
import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from models import zoo
from models.distributions import Normal
from models.flow import Flow
from models.layers.autoregressive.sequential_inverse import Inverse
from service import bundle
from service.bundle import METHOD_WORDS
from tests.helpers.layers import chain
from tests.helpers.recipes import call_bijecta
from tests.laws.zoo_table import randomise
from training.errors import ExportError
from training.export.graphs import Draft, draft
from training.export.inverse_search import (
    FASTEST,
    RESIDUAL,
    InverseRequest,
    fastest,
    search,
    timing,
)
from training.export.inverse_search.search import one_by_one, sweeps

CONTEXT = 2
INVERSES = [
    Inverse("sequential", 1),
    Inverse("sequential", 4),
    Inverse("jacobi", 4),
    Inverse("jacobi", 9),
]
OPTIONS: dict[str, dict[str, Any]] = {
    "affine, residual": {"hidden": (24, 24), "residual": True},
    # fewer units than coordinates: some have none of their own
    "spline, narrow": {"hidden": (5, 3), "univariate": "spline", "bins": 4},
    "mixture": {"hidden": (12,), "univariate": "logistic-mixture", "components": 2},
    "no hidden layer": {"hidden": ()},
}


def flow_of(name: str) -> Flow:
    torch.manual_seed(0)
    options = {"transforms": 2, "order": "random", "activation": "tanh"} | OPTIONS[name]
    made = zoo.build("maf", (9,), context_shape=(CONTEXT,), options=options)
    randomise(made, 0.3)
    return made.eval()


def feed_of(rows: int) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    noise = np.random.default_rng(0)
    shapes = {"z": (rows, 9), "context": (rows, CONTEXT)}
    return {k: noise.standard_normal(shape).astype(np.float32) for k, shape in shapes.items()}


@cache
def drafted(name: str) -> Draft:
    """The decoding graph of a flow, recorded once."""
    return draft(flow_of(name), "z", "x")


@pytest.mark.parametrize("inverse", INVERSES, ids=str)
@pytest.mark.parametrize("name", OPTIONS)
def test_every_way_agrees_with_the_float64_flow(name: str, inverse: Inverse) -> None:
    content = drafted(name).finish(inverse)
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    reference = copy.deepcopy(flow_of(name)).double()
    for rows in (1, 5, 64):
        feed = feed_of(rows)
        x, log_prob = session.run(None, feed)
        with torch.no_grad():
            expected = reference.decode(*(torch.from_numpy(v).double() for v in feed.values()))
        np.testing.assert_allclose(x, expected[0], rtol=3e-5, atol=2e-5)
        np.testing.assert_allclose(log_prob, expected[1], rtol=2e-5, atol=1e-4)


@pytest.mark.parametrize("inverse", INVERSES, ids=str)
def test_a_row_beyond_all_numbers_leaves_its_neighbours_alone(inverse: Inverse) -> None:
    content = drafted("affine, residual").finish(inverse)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    feed = feed_of(6)
    expected, expected_log_prob = session.run(None, feed)
    feed["z"][1], feed["z"][2], feed["z"][4, 3] = np.inf, np.nan, 1e30
    x, log_prob = session.run(None, feed)
    alone = [0, 3, 5]
    np.testing.assert_allclose(x[alone], expected[alone], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(log_prob[alone], expected_log_prob[alone], rtol=1e-5, atol=1e-4)
    assert np.isnan(x[[1, 2]]).any(1).all()
    assert np.isnan(x[4]).any()


def test_sweeps_may_go_beyond_all_numbers_on_their_way() -> None:
    layer, z = chain()
    content = draft(Flow(Normal((40,)), layer), "z", "x").finish(Inverse("jacobi", 40))
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"z": z.numpy()})[0], 1)


def test_sweeps_stop_at_the_tolerance() -> None:
    feed = feed_of(64)
    errors = []
    for tolerance in (0.0, 1e-4, 1e-1):
        content = drafted("affine, residual").finish(Inverse("jacobi", 9, tolerance))
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        errors.append(session.run(None, feed)[0])
    near, far = (float(np.abs(found - errors[0]).max()) for found in errors[1:])
    assert 0 < near < 1e-3 < far


@pytest.mark.parametrize("n", [1, 2, 9, 64, 784])
def test_widths_grow_and_none_is_wider_than_there_are_coordinates(n: int) -> None:
    inverses = sweeps(n, tolerance=1e-3)
    widths = [inverse.width for inverse in inverses]
    assert widths == sorted(set(widths))
    assert 1 <= widths[0] <= widths[-1] <= n
    assert {(inverse.method, inverse.tolerance) for inverse in inverses} == {("jacobi", 1e-3)}
    assert one_by_one(n).method == "sequential"


class Graph:
    """A graph whose runs take a time, on a clock of its own.

    Args:
        inverse: how it inverts.
        seconds: of a run by its number of rows.
    """

    threads, batch_rows, full_load = 2, 256, 512

    def __init__(self, inverse: Inverse, seconds: Callable[[int], float]) -> None:
        self.inverse, self._seconds = inverse, seconds
        self.runs: list[int] = []
        self.now = 0.0

    def run_in_batches(self, feed: Mapping[str, np.ndarray[Any, Any]]) -> None:
        rows = len(feed["z"])
        self.runs.append(rows)
        self.now += self._seconds(rows)


class Graphs:
    """What a search makes, in place of real graphs.

    Args:
        coordinates: of each masked layer.
        costs: of a run of a row by the width of exact sweeps; `sequential` has width 0.
        early: the same of sweeps that stop early; those that are not there take long.
        tokens: of each transformer, and their values.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        coordinates: list[int],
        costs: Mapping[int, float],
        early: Mapping[int, float] | None = None,
        tokens: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.coordinates, self._costs, self._early = coordinates, costs, early or {}
        self.tokens = self.stepwise = list(tokens)
        self.nodes_one_by_one = 21 * sum(coordinates)
        self.made: list[Graph] = []
        monkeypatch.setattr(search, "ServedGraph", self._load)
        monkeypatch.setattr(time, "process_time", lambda: self.made[-1].now)

    def finish(self, inverse: Inverse) -> Inverse:
        return inverse

    def _load(self, inverse: Inverse) -> Graph:
        width = inverse.width if inverse.method == "jacobi" else 0
        cost = self._early.get(width, 1.0) if inverse.tolerance else self._costs[width]
        self.made.append(Graph(inverse, lambda rows: cost * rows))
        return self.made[-1]

    def fastest(
        self,
        method: Literal["auto", "sequential", "jacobi"] = "auto",
        tolerance: float = 0.0,
        verify: Callable[[Any], Any] | None = None,
    ) -> Inverse:
        """What is chosen; the report says what was tried."""
        found = fastest(
            cast(Draft, self),
            {"z": np.zeros((4, 1), np.float32)},
            InverseRequest(method, tolerance),
            verify=verify,
        )
        inverse = cast(Inverse, found.content)
        assert inverse == found.inverse == cast(Graph, found.graph).inverse
        report = found.report
        assert report is not None
        assert (report.method, report.width) == (METHOD_WORDS[inverse.method], inverse.width)
        assert report.tolerance == inverse.tolerance
        return inverse

    def chosen(self, method: Literal["auto", "sequential", "jacobi"] = "auto") -> int:
        """The width of the exact sweeps that are chosen, 0 for `sequential`."""
        inverse = self.fastest(method)
        assert not inverse.tolerance
        return inverse.width if inverse.method == "jacobi" else 0

    @property
    def tried(self) -> list[int]:
        """Widths of exact sweeps in the order in which they were made; 0 for `sequential`."""
        methods = [graph.inverse for graph in self.made if not graph.inverse.tolerance]
        return [each.width if each.method == "jacobi" else 0 for each in methods]

    @property
    def tried_early(self) -> list[int]:
        """Widths of sweeps that stop early, in the order in which they were made."""
        return [graph.inverse.width for graph in self.made if graph.inverse.tolerance]


WIDTHS = (10, 20, 40)
SLOW = {100: 1e-3}


@pytest.mark.parametrize("best", range(len(WIDTHS)))
def test_where_times_fall_and_rise_with_the_width_the_fastest_is_found(
    best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for below, above in itertools.product((0.1, 3.0), repeat=2):  # hardly slower, and much
        slower = [1 + (below if i < best else above) * abs(i - best) for i in range(len(WIDTHS))]
        costs = dict(zip(WIDTHS, (1e-5 * each for each in slower), strict=True))
        graphs = Graphs(monkeypatch, [100] * 5, costs | SLOW)
        assert graphs.chosen() == WIDTHS[best]
        assert len(graphs.tried) == 2 + best
        assert graphs.tried_early == [WIDTHS[best], 100]


def test_many_coordinates_are_not_written_out_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    few = Graphs(monkeypatch, [16] * 5, {0: 1e-6, 4: 1e-5, 8: 1e-5, 16: 1e-5})
    assert few.chosen() == 0
    assert few.tried[-1] == 0  # the slowest to load comes last
    costs = {0: 1e-6, 8: 1e-5, 16: 1e-5, 32: 1e-5}
    many = Graphs(monkeypatch, [63] * 10, costs)
    assert many.chosen() != 0
    assert 0 not in many.tried
    assert Graphs(monkeypatch, [63] * 10, costs).chosen("sequential") == 0
    assert Graphs(monkeypatch, [2], {0: 1.0}).chosen() == 0
    assert Graphs(monkeypatch, [2], {2: 1.0}).chosen("jacobi") == 2


@pytest.mark.parametrize("width", [20, 100])
def test_sweeps_that_stop_early_are_chosen_where_they_are_faster_and_pass(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs, early = {10: 3e-5, 20: 2e-5, 40: 3e-5}, {width: 1e-5}

    def miss(graph: Graph) -> None:
        assert graph.inverse.tolerance  # all others are looked at in the end
        raise ExportError("x_relative")

    graphs = Graphs(monkeypatch, [100] * 5, costs, early)
    assert graphs.fastest(verify=lambda _: None) == Inverse("jacobi", width, RESIDUAL)
    assert Graphs(monkeypatch, [100] * 5, costs, early).fastest(verify=miss).width == 20
    asked = Graphs(monkeypatch, [100] * 5, {}, {20: 1e-5})
    assert asked.fastest("jacobi", 1e-3) == Inverse("jacobi", 20, 1e-3)
    with pytest.raises(ExportError, match="x_relative"):
        Graphs(monkeypatch, [100] * 5, {}, {20: 1e-5}).fastest("jacobi", 1e-3, miss)


def test_transformers_go_token_by_token_or_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = [(64, 3)] * 4
    steps = Graphs(monkeypatch, [], {0: 1e-6}, {24: 1e-5, 48: 1e-5}, tokens)
    assert steps.fastest() == Inverse("sequential", 3)
    assert steps.tried_early == [48, 24, 96]  # of 16 tokens first
    swept = Graphs(monkeypatch, [], {0: 1e-4}, {48: 3e-5, 96: 2e-5, 192: 1e-5}, tokens)
    assert swept.fastest() == Inverse("jacobi", 192, RESIDUAL)
    few = Graphs(monkeypatch, [], {0: 1e-6}, tokens=[(8, 1)])
    assert few.fastest() == Inverse("sequential", 1)
    assert len(few.made) == 1
    exact = Graphs(monkeypatch, [], {24: 1e-5, 48: 1e-6, 96: 1e-5}, tokens=tokens)
    assert exact.fastest("jacobi") == Inverse("jacobi", 48)


def test_the_nodes_of_steps_are_about_as_many_as_are_written() -> None:
    for name in ("affine, residual", "spline, narrow", "mixture"):
        made = drafted(name)
        model = onnx.load_from_string(made.finish(Inverse("sequential", 9)))
        sizes = {function.name: len(function.node) for function in model.functions}
        bodies = [node.attribute[0].g for node in model.graph.node if node.op_type == "Loop"]
        written = sum(sizes.get(node.op_type, 1) for body in bodies for node in body.node)
        assert 0.7 <= made.nodes_one_by_one / written <= 1.4


def test_graphs_run_with_as_many_rows_as_servers_meet_and_hopeless_ones_few_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graphs = Graphs(monkeypatch, [100] * 5, {10: 4e-5, 20: 1.9e-5, 40: 1e-5} | SLOW)
    assert graphs.chosen() == 40
    exact = [graph for graph in graphs.made if not graph.inverse.tolerance]
    runs = {graph.inverse.width: Counter(graph.runs) for graph in exact}
    assert runs[20] == runs[40] == dict.fromkeys((1, 17, 512), timing.MAX_RUNS)
    assert runs[10] == dict.fromkeys((1, 17, 512), timing.FIRST_RUNS)
    # what 43 coordinates take in blocks of 14 and of 27
    narrow, wide = {"1": 2.11, "17": 3.46, "512": 26.9}, {"1": 1.47, "17": 3.73, "512": 37.5}
    assert timing.cost_of(narrow) < 0.8 * timing.cost_of(wide)
    # of heavy rows as many as fill all threads are fewer
    assert timing.cost_of({"1": 3.0, "512": 512.0}) == timing.cost_of({"1": 3.0, "350": 350.0})
    slow = Graphs(monkeypatch, [2], {0: 1.1e-1})
    slow.chosen()
    assert Counter(slow.made[0].runs) == {1: 3, 17: 1, 512: 1}


def test_blocks_that_are_written_out_are_graphs_of_their_own() -> None:
    content = drafted("affine, residual").finish(Inverse("sequential", 3))
    nodes = onnx.load_from_string(content).graph.node
    bodies = [node.attribute[0].g.node for node in nodes if node.op_type == "Loop"]
    assert len(bodies) == 2 * 3  # two layers, nine coordinates
    largest, whole = max(map(len, bodies)), sum(map(len, bodies))
    assert len(nodes) < whole
    assert largest < whole / 4


def test_a_flow_without_masked_layers_has_no_inverse_to_choose() -> None:
    flow = zoo.build("nice", (3,), options={"transforms": 2, "hidden": (4,)})
    assert fastest(draft(flow, "z", "x"), {}, FASTEST).report is None


@pytest.mark.long
def test_the_manifest_says_how_and_export_takes_orders(
    store: Path, runs: Path, tmp_path: Path
) -> None:
    for name, direction in (("moons-maf", "decode"), ("moons-iaf", "encode")):
        inverse = bundle.read_flow(store / name / "1").inverse
        assert set(inverse) == {direction}
        how = inverse[direction]  # type: ignore[index]
        assert (how.method, how.width, how.tolerance, how.others) == ("ordered", 2, 0.0, [])
        assert how.residual <= 1e-4
        assert {"1", "17"} < set(how.milliseconds)
        assert max(map(int, how.milliseconds)) >= 256
        assert min(how.milliseconds.values()) > 0
    assert bundle.read_flow(store / "digits-nice" / "1").inverse == {}

    def export(*options: str) -> tuple[int, str]:
        done = call_bijecta("export", runs / "moons-maf", "--store", tmp_path, *options, cwd=runs)
        return done.returncode, done.stderr + done.stdout

    code, said = export("--inverse", "jacobi", "--tolerance", "1e-6")
    assert code == 0, said
    assert "decode by jacobi blocks of 2" in said
    manifest = json.loads((tmp_path / "moons-maf" / "1" / "manifest.json").read_text())
    assert manifest["inverse"]["decode"]["tolerance"] == 1e-6
    for same in (("--inverse", "jacobi", "--tolerance", "1e-6"), ()):
        code, said = export(*same)
        assert (code, "1 holds these weights already: " in said) == (0, True), said
    for other in (("--inverse", "ordered"), ("--inverse", "jacobi", "--tolerance", "1e-5")):
        code, said = export(*other)
        assert code == 1
        assert "1 holds these weights already, without --" in said
    # the former name of `sequential`; manifests of format 1 keep it
    code, said = export("--inverse", "ordered", "--next-version")
    assert code == 0, said
    assert "decode by sequential blocks of 2" in said
    manifest = json.loads((tmp_path / "moons-maf" / "2" / "manifest.json").read_text())
    assert manifest["inverse"]["decode"]["method"] == "ordered"
    for options, message in (
        (("--tolerance", "1e-6"), "a tolerance is of jacobi"),
        (("--inverse", "jacobi", "--tolerance", "nan"), "at least 0, got nan"),
        (("--inverse", "newton"), "invalid choice: 'newton'"),
        # sweeps that stop so early miss the flow, and nothing is written
        (("--inverse", "jacobi", "--tolerance", "10", "--next-version"), "x_relative"),
    ):
        code, said = export(*options)
        assert code != 0
        assert message in said
    assert bundle.versions(tmp_path / "moons-maf") == [1, 2]
