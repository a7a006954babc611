"""Conditional models, images and bounded bases over HTTP."""

import shutil
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest

from service.bundle import files as bundle
from tests.helpers.contexts import CODED, CONTEXT, DIGITS, IMAGES, X
from tests.helpers.http import NPY, ask, ask_npy, assert_problem, to_npy
from tests.helpers.servers import Serve
from tests.helpers.stores import edit_manifest

MOONS = {"model": "moons-context"}
IMAGE = {"model": "digits-image"}


def test_each_row_is_scored_under_its_own_context(client: httpx.Client, store: Path) -> None:
    session = onnxruntime.InferenceSession(store / "moons-context" / "1" / "encode.onnx")
    z, log_prob = session.run(None, {"x": np.array(X, np.float32), "context": CODED})
    for context in (CONTEXT, CODED.tolist()):  # names of classes, or their numbers
        for endpoint in ("/log_prob", "/encode"):
            answer = ask(client, endpoint, **MOONS, x=X, context=context)
            np.testing.assert_allclose(answer["log_prob"], log_prob, atol=1e-5)
    np.testing.assert_allclose(answer["z"], z, atol=1e-5)
    one = ask(client, "/log_prob", **MOONS, x=X, context=CONTEXT[0])
    each = ask(client, "/log_prob", **MOONS, x=X, context=[CONTEXT[0]] * 3)
    assert np.array_equal(one["log_prob"], each["log_prob"])
    assert np.abs(one["log_prob"] - log_prob)[1:].min() > 1e-2


def test_decode_of_encode_is_the_row_under_its_context_alone(client: httpx.Client) -> None:
    encoded = ask(client, "/encode", **MOONS, x=X, context=CONTEXT)
    body = {**MOONS, "z": encoded["z"].tolist()}
    decoded = ask(client, "/decode", **body, context=CONTEXT)
    np.testing.assert_allclose(decoded["x"], X, atol=1e-5)
    np.testing.assert_allclose(decoded["log_prob"], encoded["log_prob"], atol=1e-4)
    other = ask(client, "/decode", **body, context=[0.5, "upper"])
    assert np.abs(other["x"] - X).max() > 1e-2


def test_samples_follow_their_context_in_chunks_too(client: httpx.Client) -> None:
    n = 5000  # more than one run of the engine
    context = [[1.5, "upper"] if i % 3 else [-1.5, "lower"] for i in range(n)]
    drawn = ask(client, "/sample", **MOONS, n=n, seed=3, context=context)
    x = drawn["x"].tolist()
    for rows in (slice(None), slice(4500, None)):
        scored = ask(client, "/log_prob", **MOONS, x=x[rows], context=context[rows])
        np.testing.assert_allclose(scored["log_prob"], drawn["log_prob"][rows], atol=1e-3)
    assert drawn["x"][1::3, 1].mean() > drawn["x"][::3, 1].mean() + 1
    few = ask(client, "/sample", **MOONS, n=3, seed=3, context=context[:3])
    np.testing.assert_allclose(few["x"], drawn["x"][:3], atol=1e-5)
    for one in (context[0], context[:1]):  # one row for all, in either form
        same = ask(client, "/sample", **MOONS, n=2, seed=3, context=one)
        np.testing.assert_allclose(same["x"][0], drawn["x"][0], atol=1e-5)


def test_a_path_has_one_context(client: httpx.Client) -> None:
    body = {**MOONS, "start": X[0], "end": X[1], "steps": 5}
    answer = ask(client, "/interpolate", **body, context=CONTEXT[0])
    np.testing.assert_allclose(answer["x"][[0, -1]], X[:2], atol=1e-5)
    decoded = ask(client, "/decode", **MOONS, z=answer["z"].tolist(), context=CONTEXT[0])
    np.testing.assert_allclose(decoded["x"], answer["x"], atol=1e-6)
    refused = client.post("/interpolate", json={**body, "context": CONTEXT[:2]})
    assert_problem(refused, 422, "expected 1 × 2 values, or one row of 2 for all")


def test_npy_takes_one_row_from_the_url_and_sample_all_from_the_body(client: httpx.Client) -> None:
    x = np.array(X, np.float32)
    expected = ask(client, "/log_prob", **MOONS, x=X, context=[0.5, "upper"])["log_prob"]
    for text in ("0.5,upper", "5e-1,upper"):
        found, _ = ask_npy(client, "/log_prob", x, **MOONS, context=text)
        np.testing.assert_allclose(found, expected, atol=1e-6)
    quoted, _ = ask_npy(client, "/log_prob", x, **MOONS, context='0.5,"upper"')
    np.testing.assert_allclose(quoted, expected, atol=1e-6)
    path, _ = ask_npy(client, "/interpolate", x[:2], **MOONS, context="0.5,lower", steps=3)
    np.testing.assert_allclose(path[[0, -1]], X[:2], atol=1e-5)
    body = {**MOONS, "n": 3, "seed": 1}
    drawn, _ = ask_npy(client, "/sample", CODED, **body)
    np.testing.assert_allclose(
        drawn, ask(client, "/sample", **body, context=CONTEXT)["x"], atol=1e-6
    )
    one, _ = ask_npy(client, "/sample", None, **body, context="0.5,lower")
    again, _ = ask_npy(client, "/sample", CODED[0], **body)
    assert np.array_equal(one, again)
    digit, _ = ask_npy(client, "/sample", np.array([7], np.uint8), **IMAGE, n=2, seed=1)
    number, _ = ask_npy(client, "/sample", None, **IMAGE, n=2, seed=1, context="7")
    assert np.array_equal(digit, number)


MISSING = "context is missing: this model is conditional on 'lift', a number (-1.99"
HUGE = "9" * 400
BAD: dict[str, tuple[str, str]] = {
    "none": ("", MISSING),
    "null": ("null", "in training); 'half', one of 'lower', 'upper'"),
    "text": ('"0.5,lower"', "got shape ()"),
    "too few rows": ('[[1, "lower"], [1, "lower"]]', "expected 3 × 2 values, or one row of 2"),
    "too few columns": ("[[1], [2], [3]]", "got shape (3, 1)"),
    "empty": ("[]", "got shape (0,)"),
    "ragged": ('[[1, "lower"], [1]]', "[1] has 1 values where [0] has 2"),
    "nan": ("[NaN, 0]", "row 0, column 0 is nan, expected 'lift', a number"),
    "nan beside text": ('[NaN, "lower"]', "row 0, column 0 is nan, expected 'lift', a number"),
    "huge": (f'[{HUGE}, "lower"]', "row 0, column 0 is 999"),
    "true": ('[true, "lower"]', "[0] is true"),
    "no number": ('["1", "lower"]', "row 0, column 0 is '1', expected 'lift', a number"),
    "no class": (
        '[[1, "lower"], [1, "middle"], [1, "upper"]]',
        "row 1, column 1 is 'middle', expected 'half', one of 'lower', 'upper'",
    ),
    "no code": ("[[1, 0], [1, 1], [1, 0.5]]", "row 2, column 1 is 0.5, expected 'half'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_contexts(client: httpx.Client, case: str) -> None:
    context, words = BAD[case]
    given = context and f', "context": {context}'
    body = f'"model": "moons-context", "x": {X}{given}'
    for endpoint in ("/log_prob", "/encode"):
        assert_problem(client.post(endpoint, content=f"{{{body}}}"), 422, words)
    decode = client.post("/decode", content=f"{{{body}}}".replace('"x"', '"z"'))
    assert_problem(decode, 422, words)
    sample = client.post("/sample", content=f'{{"model": "moons-context", "n": 3{given}}}')
    assert_problem(sample, 422, words)


def test_a_wrong_class_is_named_for_programs_too(client: httpx.Client) -> None:
    body = {**IMAGE, "x": IMAGES[:3].tolist(), "context": [[1], [10], [2]]}
    problem = client.post("/log_prob", json=body).json()
    assert (problem["row"], problem["column"]) == (1, 0)
    assert "is 10.0, expected 'digit', one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in problem["detail"]


def test_bad_contexts_of_npy_requests(client: httpx.Client) -> None:
    x, npy = to_npy(np.array(X)), {"content-type": NPY}
    for text, words in {
        "": "got shape (1,)",
        "1,a\nb": "expected a line of CSV",
        "1": "got shape (1,)",
        "old,lower": "row 0, column 0 is 'old'",
        "nan,lower": "row 0, column 0 is 'nan'",
        "1e39,lower": "row 0, column 0 is '1e39'",
        "1,1": "row 0, column 1 is '1', expected 'half', one of 'lower', 'upper'",
    }.items():
        answer = client.post("/log_prob", content=x, params=MOONS | {"context": text}, headers=npy)
        assert_problem(answer, 422, words)
    body, query = to_npy(CODED), MOONS | {"n": "3", "context": "1,lower"}
    answer = client.post("/sample", content=body, params=query, headers=npy)
    assert_problem(answer, 422, "context: in the body, and in the URL as well")


def test_a_model_without_context_takes_none(client: httpx.Client) -> None:
    body = {"model": "moons-maf", "x": [[0, 0]], "context": [[1]]}
    assert_problem(client.post("/log_prob", json=body), 422, "conditional on nothing")
    assert client.post("/log_prob", json=body | {"context": None}).status_code == 200


def test_models_say_what_they_are_conditional_on(client: httpx.Client) -> None:
    listed = {m["name"]: m["context"] for m in client.get("/models").json()["models"]}
    assert listed["moons-maf"] is None
    assert [c["name"] for c in listed["moons-context"]] == ["lift", "half"]
    manifest = client.get("/models/digits-image").json()
    assert manifest["context"][0]["classes"] == list(range(10))
    paths = client.get("/openapi.json").json()["paths"]
    for endpoint in ("/log_prob", "/encode", "/decode", "/sample", "/interpolate"):
        body = paths[endpoint]["post"]["requestBody"]["content"]["application/json"]
        of_flow = body["schema"]["anyOf"][0]
        assert "N × columns" in str(of_flow["properties"]["context"])


def test_images_are_nested_arrays_both_ways(client: httpx.Client) -> None:
    body: dict[str, Any] = {**IMAGE, "context": DIGITS.tolist()}
    encoded = ask(client, "/encode", **body, x=IMAGES.tolist())
    assert encoded["z"].shape == (20, 1, 8, 8)
    decoded = ask(client, "/decode", **body, z=encoded["z"].tolist())
    np.testing.assert_allclose(decoded["x"], IMAGES, atol=1e-3)
    scored = ask(client, "/log_prob", **body, x=IMAGES.tolist())
    bits = -scored["log_prob"] / (64 * np.log(2))
    np.testing.assert_allclose(scored["bits_per_dim"], bits, rtol=1e-5)
    drawn = ask(client, "/sample", **IMAGE, n=3, seed=1, quantize=True, context=[4])
    assert drawn["x"].shape == (3, 1, 8, 8)
    assert np.array_equal(drawn["x"], drawn["x"].round())
    ends = {"start": IMAGES[0].tolist(), "end": IMAGES[1].tolist()}
    path = ask(client, "/interpolate", **IMAGE, **ends, steps=3, context=[4])
    assert path["x"].shape == path["z"].shape == (3, 1, 8, 8)
    np.testing.assert_allclose(path["x"][0], IMAGES[0], atol=1e-3)


def test_noisy_copies_keep_their_rows_context(client: httpx.Client) -> None:
    body = {**IMAGE, "dequantize": 3, "seed": 5}
    found = ask(client, "/log_prob", **body, x=IMAGES.tolist(), context=DIGITS.tolist())
    rng = np.random.Generator(np.random.Philox(5))
    noisy = IMAGES + rng.uniform(-0.5, 0.5, (3, 20, 1, 8, 8))
    each = [
        ask(client, "/log_prob", **IMAGE, x=copy.tolist(), context=DIGITS.tolist())["log_prob"]
        for copy in noisy
    ]
    expected = np.logaddexp.reduce(each, axis=0) - np.log(3)
    np.testing.assert_allclose(found["log_prob"], expected, atol=1e-2)


def test_wrong_images_are_named_by_row_and_place(client: httpx.Client) -> None:
    flat = {**IMAGE, "context": [1], "x": IMAGES.reshape(20, 64).tolist()}
    assert_problem(client.post("/log_prob", json=flat), 422, "N × 1 × 8 × 8 numbers, got shape (20")
    rows = IMAGES[:2].tolist()
    rows[1][0][2][3] = None
    body = {**IMAGE, "context": [1], "x": rows}
    assert_problem(client.post("/log_prob", json=body), 422, "[1][0][2][3] is null")


@pytest.fixture(scope="module")
def bounded(store: Path, serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> httpx.Client:
    """Models whose manifests, not graphs, speak of a box: of latents, and of images."""
    folder = tmp_path_factory.mktemp("bounded")
    for name in ("moons-maf", "digits-image"):
        shutil.copytree(store / name, folder / name)
    box = {"base": "uniform", "base_parameters": {"low": -1, "high": 1}}
    edit_manifest(box)(folder / "moons-maf" / "1")
    edit_manifest({"support": {"low": -1, "high": 15}})(folder / "digits-image" / "1")
    return serve("--store", folder).client


def test_a_row_beyond_a_uniform_base_has_no_density(bounded: httpx.Client) -> None:
    name = {"model": "moons-maf"}
    inside = ask(bounded, "/decode", **name, z=[[0.5, -0.5]])["x"].tolist()
    x = [*inside, [6.0, 6.0]]
    answer = ask(bounded, "/log_prob", **name, x=x)
    assert np.isfinite(answer["log_prob"]).tolist() == [True, False]
    assert bounded.post("/log_prob", json={**name, "x": x}).json()["log_prob"][1] is None
    refused = bounded.post("/encode", json={**name, "x": x})
    assert_problem(refused, 422, "x: row 1 has no density: its latent holds")
    assert refused.json()["row"] == 1
    refused = bounded.post("/decode", json={**name, "z": [[0, 0], [0, 1.5]]})
    assert_problem(refused, 422, "z: row 1 has no density: its latent holds 1.5, outside the mod")
    refused = bounded.post("/interpolate", json={**name, "start": x[0], "end": x[1]})
    assert_problem(refused, 422, "start and end: row 1 has no density")
    refused = bounded.post("/sample", json={**name, "temperature": 2})
    assert_problem(refused, 422, "temperature: expected at most 1")
    z = ask(bounded, "/sample", **name, n=500, seed=1)["x"].tolist()
    encoded = ask(bounded, "/encode", **name, x=z)["z"]
    assert 0.95 < np.abs(encoded).max() <= 1
    path = {**name, "start": x[0], "end": x[0], "path": "geodesic"}
    assert_problem(bounded.post("/interpolate", json=path), 422, "this model's is uniform")


def test_a_pixel_outside_the_support_is_named_by_its_place(bounded: httpx.Client) -> None:
    rows = np.full((2, 1, 8, 8), 3.0)
    rows[1, 0, 2, 5] = 16
    body = {"model": "digits-image", "x": rows.tolist(), "context": [1]}
    refused = bounded.post("/encode", json=body)
    assert_problem(refused, 422, "x: row 1, column [0, 2, 5] is 16.0")
    assert refused.json()["column"] == [0, 2, 5]
    log_prob = bounded.post("/log_prob", json=body).json()["log_prob"]
    assert [value is None for value in log_prob] == [False, True]


@pytest.mark.parametrize(
    "change",
    [
        {"base": "mixture"},
        {"base_parameters": {"df": 3.0}},
        {"context_shape": [3]},
        {"context": None},
        {"context": [{"name": "lift"}, {"name": "half", "classes": [0, 1]}]},
        {"context": [{"name": "lift", "classes": [0, 1], "labels": ["a"]}] * 2},
    ],
)
def test_manifests_that_contradict_themselves_are_refused(
    store: Path, tmp_path: Path, serve: Serve, change: dict[str, Any]
) -> None:
    shutil.copytree(store / "moons-context", tmp_path / "moons-context")
    edit_manifest(change)(tmp_path / "moons-context" / "1")
    with pytest.raises(bundle.BundleError, match=r"manifest.json is damaged"):
        bundle.read(tmp_path / "moons-context" / "1")
