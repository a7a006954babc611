"""The five questions over HTTP, in JSON and npy, on flows trained on real data."""

import math
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest

from tests.helpers.http import DIGITS, MODELS, MOONS, NPY, ask, ask_npy, to_npy


@pytest.mark.parametrize("model", MODELS)
def test_log_prob_is_that_of_the_graph_whatever_the_neighbours(
    client: httpx.Client, store: Path, model: str
) -> None:
    x = MODELS[model]
    session = onnxruntime.InferenceSession(store / model / "1" / "encode.onnx")
    _, expected = session.run(None, {"x": x.astype(np.float32)})
    together = ask(client, "/log_prob", model=model, x=x.tolist())
    assert (together["model"], together["version"]) == (model, 1)
    np.testing.assert_allclose(together["log_prob"], expected, rtol=0, atol=1e-4 * x.shape[1])
    alone = ask(client, "/log_prob", model=model, x=x[:1].tolist())["log_prob"]
    np.testing.assert_allclose(alone, together["log_prob"][:1], rtol=0, atol=1e-5 * x.shape[1])


@pytest.mark.parametrize("model", MODELS)
def test_decode_of_encode_is_the_row(client: httpx.Client, model: str) -> None:
    x = MODELS[model]
    encoded = ask(client, "/encode", model=model, x=x.tolist())
    decoded = ask(client, "/decode", model=model, z=encoded["z"].tolist())
    # a thousandth of a grey level, or of a coordinate
    np.testing.assert_allclose(decoded["x"], x, rtol=0, atol=1e-3 if "digits" in model else 1e-5)
    np.testing.assert_allclose(decoded["log_prob"], encoded["log_prob"], atol=1e-3)


@pytest.mark.parametrize("model", MODELS)
def test_same_seed_same_rows_also_as_the_head_of_more(client: httpx.Client, model: str) -> None:
    few = ask(client, "/sample", model=model, n=3, seed=11)
    again = ask(client, "/sample", model=model, n=3, seed=11)
    # more than one run of the engine
    many = ask(client, "/sample", model=model, n=5000, seed=11)
    spread = np.ptp(many["x"])
    np.testing.assert_allclose(again["x"], few["x"], rtol=0, atol=1e-5 * spread)
    np.testing.assert_allclose(many["x"][:3], few["x"], rtol=0, atol=1e-5 * spread)
    assert few["seed"] == 11
    other = ask(client, "/sample", model=model, n=3)
    assert np.abs(other["x"] - few["x"]).max() > 1e-3
    repeated = ask(client, "/sample", model=model, n=3, seed=other["seed"])
    np.testing.assert_allclose(repeated["x"], other["x"], rtol=0, atol=1e-5 * spread)


@pytest.mark.parametrize("model", MODELS)
def test_log_prob_of_a_sample_is_what_sample_said(client: httpx.Client, model: str) -> None:
    drawn = ask(client, "/sample", model=model, n=500, seed=3)
    scored = ask(client, "/log_prob", model=model, x=drawn["x"].tolist())
    tolerance = np.full(500, 1e-3)
    if model == "digits-nice":
        # at the edges of its box a float32 x cannot say exactly which z it came from: what
        # rounding x by one unit in the last place may change is allowed there, anything at it
        edge = np.minimum(drawn["x"] + 0.67, 16.67 - drawn["x"])
        tolerance += (4e-6 / edge).sum(1)
        tolerance[edge.min(1) < 1e-5] = np.inf
        assert np.isfinite(tolerance).mean() > 0.9
    assert (np.abs(scored["log_prob"] - drawn["log_prob"]) <= tolerance).all()


def test_temperature_narrows_the_samples(client: httpx.Client) -> None:
    body = {"model": "moons-maf", "n": 400, "seed": 0}
    warm, cool = (ask(client, "/sample", **body, temperature=t) for t in (1, 0.3))
    z_warm, z_cool = (
        ask(client, "/encode", model="moons-maf", x=a["x"].tolist())["z"] for a in (warm, cool)
    )
    np.testing.assert_allclose(z_cool, 0.3 * z_warm, atol=1e-3)


def test_quantize_rounds_into_the_range(client: httpx.Client) -> None:
    drawn = ask(client, "/sample", model="digits-maf", n=100, seed=1, quantize=True)
    raw = ask(client, "/sample", model="digits-maf", n=100, seed=1)
    assert np.array_equal(drawn["x"], np.clip(np.round(raw["x"]), 0, 16))
    assert np.array_equal(drawn["log_prob"], raw["log_prob"])


def test_dequantize_is_the_log_of_the_mean_density(client: httpx.Client) -> None:
    x = DIGITS[:4].tolist()
    one = ask(client, "/log_prob", model="digits-maf", x=x, dequantize=1, seed=5)
    rng = np.random.Generator(np.random.Philox(5))
    noisy = DIGITS[:4] + rng.uniform(-0.5, 0.5, (4, 64))
    expected = ask(client, "/log_prob", model="digits-maf", x=noisy.tolist())
    np.testing.assert_allclose(one["log_prob"], expected["log_prob"], atol=1e-2)
    many = ask(client, "/log_prob", model="digits-maf", x=x, dequantize=300, seed=5)
    other = ask(client, "/log_prob", model="digits-maf", x=x, dequantize=300, seed=6)
    # over copies the answers settle
    assert np.abs(many["log_prob"] - other["log_prob"]).max() < 6
    bits = -many["log_prob"] / (64 * math.log(2))
    np.testing.assert_allclose(many["bits_per_dim"], bits, atol=1e-5)


def test_a_row_of_many_noisy_copies_is_named_once(client: httpx.Client) -> None:
    rows = DIGITS[:3].copy()
    rows[1, 0] = 1e38
    body = {"model": "digits-maf", "x": rows.tolist(), "dequantize": 4}
    problem = client.post("/log_prob", json=body).json()
    assert (problem["row"], problem["rows"]) == (1, [1])


def test_bits_per_dim_only_where_defined(client: httpx.Client) -> None:
    assert "bits_per_dim" in ask(client, "/log_prob", model="digits-maf", x=DIGITS[:1].tolist())
    assert "bits_per_dim" not in ask(client, "/log_prob", model="moons-maf", x=[[0, 0]])


@pytest.mark.parametrize("path", ["linear", "normalized", "geodesic"])
def test_interpolation_joins_its_ends(client: httpx.Client, path: str) -> None:
    start, end = DIGITS[0], DIGITS[1]
    body = {"start": start.tolist(), "end": end.tolist(), "steps": 7, "path": path}
    answer = ask(client, "/interpolate", model="digits-maf", **body)
    assert answer["x"].shape == answer["z"].shape == (7, 64)
    np.testing.assert_allclose(answer["x"][[0, -1]], [start, end], rtol=0, atol=1e-3)
    decoded = ask(client, "/decode", model="digits-maf", z=answer["z"].tolist())
    np.testing.assert_allclose(decoded["x"], answer["x"], atol=1e-4)


def test_interpolation_on_a_logistic_base_is_linear_only(client: httpx.Client) -> None:
    body: dict[str, Any] = {"model": "digits-nice", "steps": 3}
    body |= {"start": DIGITS[0].tolist(), "end": DIGITS[1].tolist()}
    ask(client, "/interpolate", **body)
    refused = client.post("/interpolate", json=body | {"path": "geodesic"})
    assert refused.status_code == 422
    assert "spherical" in refused.json()["detail"]


@pytest.mark.parametrize("model", ["moons-maf", pytest.param("moons-iaf", marks=pytest.mark.long)])
def test_density_integrates_to_one(client: httpx.Client, model: str) -> None:
    # midpoints of a grid that covers the density, in raw coordinates
    n, (x0, x1), (y0, y1) = 1500, (-6, 7), (-5, 6)
    xs = x0 + (np.arange(n) + 0.5) * (x1 - x0) / n
    ys = y0 + (np.arange(n) + 0.5) * (y1 - y0) / n
    total = 0.0
    for part in np.array_split(xs, 60):
        grid = np.stack(np.meshgrid(part, ys, indexing="ij"), -1).reshape(-1, 2)
        log_prob, _ = ask_npy(client, "/log_prob", grid.astype(np.float32), model=model)
        total += np.exp(log_prob.astype(np.float64)).sum()
    assert abs(total * (x1 - x0) * (y1 - y0) / n**2 - 1) < 1e-3


def test_npy_says_the_same_as_json(client: httpx.Client) -> None:
    x = MOONS[:5].astype(np.float32)
    text = ask(client, "/encode", model="moons-maf", x=x.tolist())
    z, headers = ask_npy(client, "/encode", x, model="moons-maf")
    np.testing.assert_allclose(z, text["z"], rtol=0, atol=1e-6)
    assert (headers["x-bijecta-model"], headers["x-bijecta-version"]) == ("moons-maf", "1")
    log_prob, _ = ask_npy(client, "/encode", x, model="moons-maf", output="log_prob")
    np.testing.assert_allclose(log_prob, text["log_prob"], rtol=0, atol=1e-6)
    decoded, _ = ask_npy(client, "/decode", z, model="moons-maf", version=1)
    np.testing.assert_allclose(decoded, x, atol=1e-5)
    path, _ = ask_npy(client, "/interpolate", x[:2], model="moons-maf", steps=4)
    body = {"start": x[0].tolist(), "end": x[1].tolist(), "steps": 4}
    expected = ask(client, "/interpolate", model="moons-maf", **body)
    np.testing.assert_allclose(path, expected["x"], rtol=0, atol=1e-6)
    drawn, headers = ask_npy(client, "/sample", None, model="moons-maf", n=3, seed=2)
    same = ask(client, "/sample", model="moons-maf", n=3, seed=2)
    np.testing.assert_allclose(drawn, same["x"], rtol=0, atol=1e-6)
    assert headers["x-bijecta-seed"] == "2"


def test_format_of_the_answer_follows_accept_then_the_request(client: httpx.Client) -> None:
    body = {"model": "moons-maf", "x": [[0, 0]]}
    as_npy = client.post("/log_prob", json=body, headers={"accept": NPY})
    assert as_npy.headers["content-type"] == NPY
    query = {"model": "moons-maf"}
    content, headers = to_npy(np.zeros((1, 2))), {"content-type": NPY}
    assert (
        client.post("/log_prob", content=content, params=query, headers=headers).headers[
            "content-type"
        ]
        == NPY
    )
    as_json = client.post(
        "/log_prob", content=content, params=query, headers=headers | {"accept": "application/json"}
    )
    assert "log_prob" in as_json.json()


def test_a_float32_is_printed_with_its_shortest_exact_digits(client: httpx.Client) -> None:
    text = client.post("/sample", json={"model": "moons-maf", "n": 1, "seed": 1}).text
    (row,), _ = ask_npy(client, "/sample", None, model="moons-maf", n=1, seed=1)
    assert all(str(value) in text for value in row)


def test_rows_outside_the_support(client: httpx.Client) -> None:
    rows = DIGITS[:3].copy()
    rows[1, 5] = 40
    answer = client.post("/log_prob", json={"model": "digits-nice", "x": rows.tolist()}).json()
    assert [v is None for v in answer["log_prob"]] == [False, True, False]
    log_prob, _ = ask_npy(client, "/log_prob", rows, model="digits-nice")
    assert np.isneginf(log_prob).tolist() == [False, True, False]
    refused = client.post("/encode", json={"model": "digits-nice", "x": rows.tolist()})
    assert refused.status_code == 422
    problem = refused.json()
    assert (problem["row"], problem["column"]) == (1, 5)
    np.testing.assert_allclose(problem["bounds"], [-0.67, 16.67], atol=1e-5)


def test_a_row_without_a_finite_answer_is_named_and_counted(client: httpx.Client) -> None:
    refused = client.post("/log_prob", json={"model": "moons-maf", "x": [[0, 0], [1e30, 1]]})
    assert refused.status_code == 422
    assert refused.json()["row"] == 1
    line = 'bijecta_nonfinite_outputs_total{model="moons-maf"}'
    assert float(client.get("/metrics").text.split(line)[1].split()[0]) >= 1
