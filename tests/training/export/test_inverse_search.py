"""Exported inverses of masked layers: every way agrees with float64; the fastest is chosen."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from models import zoo
from models.distributions import Normal
from models.flow import Flow
from models.layers.sequential_inverse import Inverse
from service import bundle
from service.bundle import METHOD_WORDS
from tests.helpers.layers import chain
from tests.helpers.recipes import call_bijecta
from tests.laws.zoo_table import randomise
from training.export import inverse_search as choice
from training.export.graphs import Draft, draft
from training.export.inverse_search import InverseRequest, candidates, fastest

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


@pytest.fixture(scope="module")
def drafts() -> Callable[[str], Draft]:
    """Decoding graphs by the name of their flow, each traced once."""
    made: dict[str, Draft] = {}

    def get(name: str) -> Draft:
        if name not in made:
            made[name] = draft(flow_of(name), "z", "x")
        return made[name]

    return get


@pytest.mark.parametrize("inverse", INVERSES, ids=str)
@pytest.mark.parametrize("name", OPTIONS)
def test_every_way_agrees_with_the_float64_flow(
    name: str, inverse: Inverse, drafts: Callable[[str], Draft]
) -> None:
    content = drafts(name).finish(inverse)
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    reference = copy.deepcopy(flow_of(name)).double()
    for rows in (1, 5, 64):
        feed = feed_of(rows)
        x, log_prob = session.run(None, feed)
        with torch.no_grad():
            expected = reference.decode(*(torch.from_numpy(v).double() for v in feed.values()))
        np.testing.assert_allclose(x, expected[0], rtol=2e-5, atol=2e-5)
        np.testing.assert_allclose(log_prob, expected[1], rtol=2e-5, atol=1e-4)


@pytest.mark.parametrize("inverse", INVERSES, ids=str)
def test_a_row_beyond_all_numbers_leaves_its_neighbours_alone(
    inverse: Inverse, drafts: Callable[[str], Draft]
) -> None:
    content = drafts("affine, residual").finish(inverse)
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


def test_sweeps_stop_at_the_tolerance(drafts: Callable[[str], Draft]) -> None:
    feed = feed_of(64)
    errors = []
    for tolerance in (0.0, 1e-4, 1e-1):
        content = drafts("affine, residual").finish(Inverse("jacobi", 9, tolerance))
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        errors.append(session.run(None, feed)[0])
    near, far = (float(np.abs(found - errors[0]).max()) for found in errors[1:])
    assert 0 < near < 1e-3 < far


def test_few_coordinates_have_one_inverse_and_many_are_not_written_out_one_by_one() -> None:
    assert candidates(2, choice.FASTEST) == [Inverse("sequential", 2)]
    methods = {one.method for one in candidates(784, choice.FASTEST)}
    assert methods == {"jacobi"}
    for n in (1, 2, 9, 64, 784):
        for method in ("sequential", "jacobi"):
            found = candidates(n, InverseRequest(method))
            assert found
            assert {one.method for one in found} == {method}
            assert all(1 <= one.width <= max(n, 2) for one in found)


def test_the_fastest_is_chosen_and_all_are_reported(
    drafts: Callable[[str], Draft], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = drafts("affine, residual")
    wanted = candidates(9, choice.FASTEST)
    assert len(wanted) > 2
    times = {made.finish(one): {"1": 3.0 + i % 2, "256": 50.0} for i, one in enumerate(wanted)}
    best = wanted[-1]
    times[made.finish(best)] = {"1": 4.0, "256": 20.0}  # slower at one row, by less
    monkeypatch.setattr(choice, "ServedGraph", lambda content: content)
    monkeypatch.setattr(choice, "_milliseconds", lambda content, _: times[content])
    content, _, report = fastest(made, feed_of(256), choice.FASTEST)
    assert content == made.finish(best)
    assert report is not None
    assert (report.method, report.width) == (METHOD_WORDS[best.method], best.width)
    assert report.milliseconds == {"1": 4.0, "256": 20.0}
    assert {(one.method, one.width) for one in report.others} == {
        (METHOD_WORDS[one.method], one.width) for one in wanted[:-1]
    }


def test_a_flow_without_masked_layers_has_no_inverse_to_choose() -> None:
    flow = zoo.build("nice", (3,), options={"transforms": 2, "hidden": (4,)})
    assert fastest(draft(flow, "z", "x"), {}, choice.FASTEST)[2] is None


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
        assert set(how.milliseconds) == {"1", "256"}
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
    # the former name of `sequential`; manifests of format 1 keep it
    code, said = export("--inverse", "ordered")
    assert code == 0, said
    assert "decode by sequential blocks of 2" in said
    manifest = json.loads((tmp_path / "moons-maf" / "2" / "manifest.json").read_text())
    assert manifest["inverse"]["decode"]["method"] == "ordered"
    for options, message in (
        (("--tolerance", "1e-6"), "a tolerance is of jacobi"),
        (("--inverse", "jacobi", "--tolerance", "nan"), "at least 0, got nan"),
        (("--inverse", "newton"), "invalid choice: 'newton'"),
        # sweeps that stop so early miss the flow, and nothing is written
        (("--inverse", "jacobi", "--tolerance", "10"), "x_relative"),
    ):
        code, said = export(*options)
        assert code != 0
        assert message in said
    assert bundle.versions(tmp_path / "moons-maf") == [1, 2]
