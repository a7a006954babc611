"""Every family answers every question over HTTP, in its own shape and under its context."""

from typing import Any

import httpx
import numpy as np
import torch
from numpy.typing import NDArray

from tests.helpers.bundles import line_flow, slug
from tests.helpers.http import ask, assert_problem
from tests.laws.zoo_table import FLOWS, case, every_line

Float64 = NDArray[np.float64]

# what `assert_finite_or_refused` lets be null: log_prob −inf
BOUNDED = [name for name, line in FLOWS.items() if line.preprocessing and "logit" in name]


def rows(name: str, count: int = 7) -> tuple[Float64, dict[str, Any], dict[str, Any]]:
    """Rows that a line accepts; what names the line and each row's context; and the first's."""
    one = case(name, torch.float32, rows=count)
    every: dict[str, Any] = {"model": slug(name)}
    first = dict(every)
    if one.context is not None:
        every["context"] = one.context.tolist()
        first["context"] = one.context[0].tolist()
    return one.x.double().numpy(), every, first


def reference(name: str, encode: bool, values: Float64, context: Any) -> tuple[Float64, Float64]:
    """What the flow itself says, in float64."""
    flow = line_flow(name).double()
    go = flow.encode if encode else flow.decode
    given = None if context is None else torch.tensor(context, dtype=torch.float64)
    with torch.no_grad():
        out, log_prob = go(torch.from_numpy(values), given)
    return out.numpy(), log_prob.numpy()


@every_line
def test_scores_latents_and_rows_are_those_of_the_flow(families: httpx.Client, name: str) -> None:
    x, asked, _ = rows(name)
    z, log_prob = reference(name, True, x, asked.get("context"))
    bar = 1e-4 * x[0].size
    encoded = ask(families, "/encode", **asked, x=x.tolist())
    np.testing.assert_allclose(encoded["z"], z, rtol=0, atol=1e-4 * max(1, np.ptp(z)))
    np.testing.assert_allclose(encoded["log_prob"], log_prob, rtol=0, atol=bar)
    scored = ask(families, "/log_prob", **asked, x=x.tolist())
    np.testing.assert_allclose(scored["log_prob"], log_prob, rtol=0, atol=bar)
    decoded = ask(families, "/decode", **asked, z=encoded["z"].tolist())
    np.testing.assert_allclose(decoded["x"], x, rtol=0, atol=1e-3 * max(1, np.ptp(x)))
    again, there = reference(name, False, encoded["z"], asked.get("context"))
    np.testing.assert_allclose(decoded["x"], again, rtol=0, atol=1e-4 * max(1, np.ptp(x)))
    np.testing.assert_allclose(decoded["log_prob"], there, rtol=0, atol=bar)


@every_line
def test_samples_come_again_and_score_what_log_prob_says(families: httpx.Client, name: str) -> None:
    x, asked, _ = rows(name)
    drawn = ask(families, "/sample", **asked, n=len(x), seed=3)
    assert drawn["x"].shape == x.shape
    scored = ask(families, "/log_prob", **asked, x=drawn["x"].tolist())
    np.testing.assert_allclose(scored["log_prob"], drawn["log_prob"], rtol=0, atol=1e-3 * x[0].size)
    assert np.array_equal(ask(families, "/sample", **asked, n=len(x), seed=3)["x"], drawn["x"])
    assert not np.array_equal(ask(families, "/sample", **asked, n=len(x), seed=4)["x"], drawn["x"])


@every_line
def test_a_path_runs_from_row_to_row(families: httpx.Client, name: str) -> None:
    x, _, asked = rows(name)
    ends = {"start": x[0].tolist(), "end": x[1].tolist()}
    path = ask(families, "/interpolate", **asked, **ends, steps=4, path="linear")
    assert path["x"].shape == (4, *x.shape[1:])
    np.testing.assert_allclose(path["x"][[0, -1]], x[:2], rtol=0, atol=1e-3 * max(1, np.ptp(x)))
    decoded = ask(families, "/decode", **asked, z=path["z"].tolist())
    np.testing.assert_allclose(decoded["x"], path["x"], rtol=0, atol=1e-4 * max(1, np.ptp(x)))


@every_line
def test_a_context_is_asked_for_exactly_where_there_is_one(
    families: httpx.Client, name: str
) -> None:
    x, asked, _ = rows(name, 2)
    if "context" in asked:
        del asked["context"]
        words = "context is missing: this model is conditional on 'c0', a number"
    else:
        asked["context"], words = [[0.0]] * 2, "context"
    assert_problem(families.post("/log_prob", json={**asked, "x": x.tolist()}), 422, words)


@every_line
def test_wild_rows_and_latents_get_numbers_or_a_refusal(families: httpx.Client, name: str) -> None:
    x, _, asked = rows(name, 1)
    for sign in (1, -1):
        far = np.full((1, *x.shape[1:]), sign * 1e6)
        far.reshape(-1)[::2] *= -1
        for endpoint, key in (("/log_prob", "x"), ("/encode", "x"), ("/decode", "z")):
            answer = families.post(endpoint, json={**asked, key: far.tolist()})
            assert_finite_or_refused(answer, name)


def assert_finite_or_refused(answer: httpx.Response, name: str) -> None:
    if answer.status_code != 200:
        words = "outside" if name in BOUNDED and "/encode" in str(answer.url) else "no finite"
        assert_problem(answer, 422, words)
        return
    content = answer.json()
    for key in {"x", "z", "log_prob"} & content.keys():
        values = np.array(content[key], dtype=object).ravel()
        nulls = [value for value in values if value is None]
        assert not nulls or (key == "log_prob" and name in BOUNDED)
        assert all(np.isfinite(value) for value in values if value is not None)


@every_line
def test_manifests_say_how_rows_are_preprocessed_but_hold_no_matrix(
    families: httpx.Client, name: str
) -> None:
    manifest = families.get(f"/models/{slug(name)}").json()
    expected = [
        {key: value for key, value in step.items() if key != "matrix"}
        for step in FLOWS[name].preprocessing
    ]
    assert manifest["preprocessing"] == expected
